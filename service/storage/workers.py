"""Progress of worker processes: a process that is alive is not yet one that works."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection

from service.errors import Unavailable
from service.storage.database import conninfo

# Work that has been waiting this long, and a worker that finished nothing in this time.
STUCK_SECONDS = 30.0


async def note_progress(connection: AsyncConnection[Any], *, pid: int) -> None:
    """Say that this process just finished a piece of work, or found none to do."""
    await connection.execute(
        """
        insert into workers (host, pid) values (%s, %s)
        on conflict (host, pid) do update set progressed_at = now()
        """,
        [socket.gethostname(), pid],
    )


async def forget_worker(connection: AsyncConnection[Any], *, pid: int) -> None:
    await connection.execute(
        "delete from workers where host = %s and pid = %s", [socket.gethostname(), pid]
    )


def forget_workers(url: str) -> None:
    """Forget this machine's workers of an earlier run, whose numbers others may have by now.

    Raises Unavailable when PostgreSQL is away.
    """
    with _asking(url) as connection:
        connection.execute("delete from workers where host = %s", [socket.gethostname()])


def stuck_workers(url: str) -> list[int]:
    """Return the pids of this machine that finish nothing although work has long been due.

    Answers within about 4 s. Raises Unavailable when PostgreSQL is away: then nobody is stuck.
    """
    with _asking(url) as connection:
        rows = connection.execute(
            """
            select pid from workers
             where host = %(host)s
               and progressed_at < now() - make_interval(secs => %(stuck)s)
               and exists (select from due
                            where urgency < 2
                              and due_at < now() - make_interval(secs => %(stuck)s)
                              and leased_until < now() - make_interval(secs => %(stuck)s))
            """,
            {"host": socket.gethostname(), "stuck": STUCK_SECONDS},
        ).fetchall()
    return [row[0] for row in rows]


@contextmanager
def _asking(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Lend a connection whose statements take at most 2 s. Raises Unavailable."""
    try:
        with psycopg.connect(conninfo(url, application="watchdog"), autocommit=True) as connection:
            connection.execute("set statement_timeout = '2s'")
            yield connection
    except psycopg.OperationalError as error:
        raise Unavailable(f"postgresql: {type(error).__name__}") from error
