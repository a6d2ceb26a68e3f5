"""A worker counts as stuck when it finishes nothing although work has long been due."""

import os
import socket
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from service.errors import Unavailable
from service.storage.workers import STUCK_SECONDS, forget_workers, note_worker, stuck_workers

LONG = timedelta(seconds=STUCK_SECONDS + 1)
SHORT = timedelta(seconds=STUCK_SECONDS / 2)
OUR_HOST = socket.gethostname()

# Above what the kernel gives out. See proc(5), pid_max.
NOBODY = 2**22 + 1


def worker(
    url: str,
    *,
    pid: int = 7,
    host: str = OUR_HOST,
    idle: timedelta = LONG,
    silent: timedelta = SHORT,
) -> None:
    """A worker that lives and has finished nothing for long."""
    statement = (
        "insert into workers (host, pid, progressed_at, seen_at)"
        " values (%s, %s, now() - %s, now() - %s)"
    )
    execute(url, statement, host, pid, idle, silent)


def due(url: str, *, since: timedelta = LONG, **columns: Any) -> None:
    row = {"account": "a", "kind": "order", "provider_id": "1", "urgency": 0} | columns
    names, places = ", ".join(row), ", ".join(["%s"] * len(row))
    statement = f"insert into due (due_at, {names}) values (now() - %s, {places})"
    execute(url, statement, since, *row.values())


def execute(url: str, statement: str, *values: object) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode(), values)


def test_a_worker_without_progress_is_named_while_work_is_overdue(database_url: str) -> None:
    worker(database_url, pid=7)
    worker(database_url, pid=8, idle=SHORT)
    worker(database_url, pid=9, host="elsewhere")
    due(database_url)

    assert stuck_workers(database_url) == [7]


def test_a_worker_without_a_sign_of_life_is_named_whatever_waits(database_url: str) -> None:
    worker(database_url, pid=7, silent=LONG)
    worker(database_url, pid=8)

    assert stuck_workers(database_url) == [7]


async def test_a_worker_that_notes_its_life_without_progress_stays_without(
    database_url: str,
) -> None:
    worker(database_url, pid=7, silent=LONG)
    await note_worker(database_url, pid=7, progressed=False)
    assert stuck_workers(database_url) == []
    due(database_url)
    assert stuck_workers(database_url) == [7]

    await note_worker(database_url, pid=7, progressed=True)

    assert stuck_workers(database_url) == []


def test_an_idle_worker_is_not_stuck(database_url: str) -> None:
    worker(database_url)

    assert stuck_workers(database_url) == []


@pytest.mark.parametrize(
    "columns",
    [{"since": SHORT}, {"since": -LONG}, {"urgency": 2}, {"leased_until": "infinity"}],
    ids=["not due for long", "not due yet", "an id nobody knows", "leased"],
)
def test_work_that_may_wait_makes_nobody_stuck(database_url: str, columns: dict[str, Any]) -> None:
    worker(database_url)
    due(database_url, **columns)

    assert stuck_workers(database_url) == []


def test_workers_of_an_earlier_run_are_forgotten_on_this_machine_alone(database_url: str) -> None:
    worker(database_url, pid=NOBODY)
    worker(database_url, pid=NOBODY, host="elsewhere")
    due(database_url)
    forget_workers(database_url)

    assert stuck_workers(database_url) == []
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select host from workers").fetchall() == [("elsewhere",)]


def test_a_worker_that_stands_still_is_noticed_after_another_supervisor_has_started(
    database_url: str,
) -> None:
    worker(database_url, pid=os.getpid(), silent=LONG)
    forget_workers(database_url)

    assert stuck_workers(database_url) == [os.getpid()]


def test_without_postgresql_the_watchdog_says_that_it_cannot_know() -> None:
    with pytest.raises(Unavailable):
        stuck_workers("postgresql://127.0.0.1:1/none")
