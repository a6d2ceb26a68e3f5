"""Opens the pools, and brings the schema up to date with plain SQL files, forward only."""

import hashlib
import importlib.resources
import math
import re
import select
import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, TooManyRequests

from service.errors import Misconfigured, Unavailable

Pool = AsyncConnectionPool[psycopg.AsyncConnection[tuple[object, ...]]]

# One number for everybody who migrates this product, so that two migrations never run at once.
MIGRATION_LOCK = 5_137_021

# A pool's attempts to connect double their distance for so long, then it gives up and begins anew
# with whoever asks next. Without such an end the distance grows with the outage, and PostgreSQL
# would be back for as long as it was away before anybody looked.
RECONNECT_SECONDS = 5.0

WAITING_PER_CONNECTION = 8
LET_IN_SECONDS = 1.0

# Settings without which a commit that was answered could be lost. Source: RELIABILITY.md, G1.
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
WEAK = ("off", "local")


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file; its name never changes and neither does its text."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return all migrations that ship with this release, in order."""
    folder = importlib.resources.files("service.storage") / "migrations"
    found = [
        Migration(int(match[1]), file.name, file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if (match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name))
    ]
    return sorted(found, key=lambda migration: migration.number)


def conninfo(url: str, *, application: str) -> str:
    """Return url with the time-outs that we want on every connection, and no parallel plans.

    Over many partitions a plan looks costly although it reads a few rows: starting processes for
    it takes longer than all else. Source: RELIABILITY.md, sections 3.3 and 3.4.
    """
    return make_conninfo(
        url,
        application_name=f"settled {application}",
        connect_timeout=2,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=5000,
        options="-c timezone=UTC -c statement_timeout=10s -c lock_timeout=5s"
        " -c idle_in_transaction_session_timeout=30s -c max_parallel_workers_per_gather=0",
    )


def pool_of(url: str, *, application: str, connections_max: int) -> Pool:
    """Return a closed pool; the caller opens and closes it in its own event loop.

    Connections commit by themselves outside `transaction()`, and one that the server ended is
    never handed out; a caller waits at most 2 s for one. Of a PostgreSQL that is back they learn
    within some seconds, however long it was away.
    """
    return _Pool(
        conninfo(url, application=application),
        kwargs={"autocommit": True, "prepare_threshold": 0},
        min_size=1,
        max_size=connections_max,
        open=False,
        timeout=2.0,
        max_lifetime=3600.0,
        reconnect_timeout=RECONNECT_SECONDS,
        check=_check,
    )


class _Pool(Pool):
    """A pool with a bounded queue that begins anew by itself after any outage.

    Callers who gave up stay in its queue until the next connection comes. Its own bound would turn
    everybody away from then on, also those for whose sake it would connect again: one a second is
    let in beyond ours.
    """

    _last_let_in = -math.inf

    async def getconn(
        self, timeout: float | None = None
    ) -> psycopg.AsyncConnection[tuple[object, ...]]:
        waiting = self.get_stats()["requests_waiting"]
        if waiting >= self.max_size * WAITING_PER_CONNECTION:
            now = time.monotonic()
            if now < self._last_let_in + LET_IN_SECONDS:
                raise TooManyRequests(f"{waiting} wait for a connection")
            self._last_let_in = now
        return await super().getconn(timeout)


async def _check(connection: psycopg.AsyncConnection[Any]) -> None:
    """Ask a connection whether it lives, unless nothing has come over its line.

    A server that ended it has said so or closed the line. Asking each time is a round trip for
    every transaction; a line that is dead without a word is found by the first statement, as soon
    as asking would find it.
    """
    line = select.poll()
    line.register(connection.fileno(), select.POLLIN)
    if line.poll(0):
        await AsyncConnectionPool.check_connection(connection)


def upgrade(url: str) -> list[str]:
    """Apply what is missing and return the names applied; safe to run twice at once.

    Each file runs in a transaction of its own under one advisory lock. Raises Misconfigured
    when an applied file differs from ours or the server is not durable, Unavailable when
    PostgreSQL is away.
    """
    try:
        with psycopg.connect(conninfo(url, application="migration"), autocommit=True) as connection:
            _check_durability(connection)
            connection.execute("set statement_timeout = 0")
            connection.execute("set lock_timeout = 0")
            connection.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])
            return _apply_missing(connection)
    except psycopg.OperationalError as error:
        raise Unavailable(f"PostgreSQL does not answer: {error}") from error


def _apply_missing(connection: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    connection.execute(
        "create table if not exists migrations ("
        " number integer primary key, name text not null, sha256 text not null,"
        " applied_at timestamptz not null default now())"
    )
    rows = connection.execute("select number, sha256 from migrations").fetchall()
    applied = {row[0]: row[1] for row in rows}
    done = []
    for migration in migrations():
        recorded = applied.get(migration.number)
        if recorded is None:
            with connection.transaction():
                connection.execute(migration.sql.encode())
                connection.execute(
                    "insert into migrations (number, name, sha256) values (%s, %s, %s)",
                    [migration.number, migration.name, migration.sha256],
                )
            done.append(migration.name)
        elif recorded != migration.sha256:
            raise Misconfigured(
                f"database: migration {migration.name} was applied with another text;"
                " this database belongs to a different release of settled"
            )
    return done


def _check_durability(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    for name in DURABLE:
        row = connection.execute("select current_setting(%s)", [name]).fetchone()
        if row is None or row[0] in WEAK:
            raise Misconfigured(
                f"database: {name} is off; settled answers a webhook only when it is stored"
                f" durably. Set {name} = on in postgresql.conf."
            )


def pending(url: str) -> list[str]:
    """Return the names of migrations not yet applied. Raises Unavailable."""
    try:
        with psycopg.connect(conninfo(url, application="status"), autocommit=True) as connection:
            exists = connection.execute("select to_regclass('migrations')").fetchone()
            rows: list[tuple[object, ...]] = []
            if exists and exists[0]:
                rows = connection.execute("select number from migrations").fetchall()
    except psycopg.OperationalError as error:
        raise Unavailable(f"PostgreSQL does not answer: {error}") from error
    applied = {row[0] for row in rows}
    return [migration.name for migration in migrations() if migration.number not in applied]


async def is_current(pool: Pool) -> bool:
    """Return whether every migration of this release is applied."""
    async with pool.connection() as connection:
        exists = await (await connection.execute("select to_regclass('migrations')")).fetchone()
        if not exists or not exists[0]:
            return False
        cursor = await connection.execute("select number from migrations")
        applied = {row[0] for row in await cursor.fetchall()}
    return all(migration.number in applied for migration in migrations())
