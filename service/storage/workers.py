"""Signs of life of worker processes: a process that is there is not yet one that works.

Every worker says every few seconds that it lives, and whether it got anywhere. It uses a
connection of its own, so that a pool in which everybody waits does not make it look dead.
"""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from service.errors import Unavailable
from service.storage.database import conninfo

# Without a sign of life, or without progress while work has been due, for this long.
# Source: RELIABILITY.md, G19.
STUCK_SECONDS = 30.0


async def note_worker(url: str, *, pid: int, progressed: bool) -> None:
    """Say that this process lives, and whether it finished work, or found none, since last time.

    Raises Unavailable when PostgreSQL is away.
    """
    async with _connected(url) as connection:
        await connection.execute(
            """
            insert into workers (host, pid) values (%(host)s, %(pid)s)
            on conflict (host, pid) do update set seen_at = now(),
                progressed_at = case when %(progressed)s then now()
                                     else workers.progressed_at end
            """,
            {"host": socket.gethostname(), "pid": pid, "progressed": progressed},
        )


async def forget_worker(url: str, *, pid: int) -> None:
    """Say that this process ends as it should. Raises Unavailable when PostgreSQL is away."""
    async with _connected(url) as connection:
        await connection.execute(
            "delete from workers where host = %s and pid = %s", [socket.gethostname(), pid]
        )


def forget_workers(url: str) -> None:
    """Forget this machine's workers of an earlier run, whose numbers others may have by now.

    Those that are there stay: they may be another supervisor's, and one that stands still would
    never be noticed again. Raises Unavailable when PostgreSQL is away.
    """
    with _asking(url) as connection:
        rows = connection.execute("select pid from workers where host = %s", [socket.gethostname()])
        gone = [pid for (pid,) in rows if not Path(f"/proc/{pid}").exists()]
        connection.execute(
            "delete from workers where host = %s and pid = any(%s)", [socket.gethostname(), gone]
        )


def stuck_workers(url: str) -> list[int]:
    """Return the pids here that show no sign of life, or finish nothing while work waits.

    Answers within about 4 s. Raises Unavailable when PostgreSQL is away: then nobody can know.
    """
    with _asking(url) as connection:
        rows = connection.execute(
            """
            select pid from workers
             where host = %(host)s
               and (seen_at < now() - make_interval(secs => %(stuck)s)
                    or progressed_at < now() - make_interval(secs => %(stuck)s)
                    and exists (select from due
                                 where urgency < 2
                                   and due_at < now() - make_interval(secs => %(stuck)s)
                                   and leased_until < now() - make_interval(secs => %(stuck)s)))
             order by pid
            """,
            {"host": socket.gethostname(), "stuck": STUCK_SECONDS},
        ).fetchall()
    return [row[0] for row in rows]


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    address = conninfo(url, application="worker")
    try:
        async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise Unavailable(f"postgresql: {type(error).__name__}") from error


@contextmanager
def _asking(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Lend a connection whose statements take at most 2 s. Raises Unavailable."""
    try:
        with psycopg.connect(conninfo(url, application="watchdog"), autocommit=True) as connection:
            connection.execute("set statement_timeout = '2s'")
            yield connection
    except psycopg.OperationalError as error:
        raise Unavailable(f"postgresql: {type(error).__name__}") from error
