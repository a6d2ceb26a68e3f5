"""Day partitions of the inbox and of the reads: made ahead, dropped by age."""

from datetime import date, timedelta
from typing import Any

from psycopg import AsyncConnection, sql

DAYS_AHEAD = 14

# Providers repeat a signed event for days: each is known again at least this long.
DAYS_BACK_MIN = 35

# How long the rows of each table are kept at least, in days, whatever the configuration says.
PARTITIONED = {"events": DAYS_BACK_MIN, "observations": 0}

# One number for whoever makes partitions, so that two never do at once.
PARTITION_LOCK = 5_137_023


async def keep_partitions(
    connection: AsyncConnection[Any], *, today: date, raw_bodies: timedelta
) -> list[str]:
    """Make the partitions from yesterday to a fortnight ahead, drop those past their time.

    Return the names of dropped ones. A day whose rows already lie in the default partition
    stays there: moving them would change history. That one is dropped, for an empty one, when the
    newest of its days is past its time. Waits half a second at most for a table, because the
    receiver waits behind us for one.
    """
    dropped = []
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", [PARTITION_LOCK])
        await connection.execute("set local lock_timeout = '500ms'")
        for table, days_min in PARTITIONED.items():
            existing = await _existing(connection, table)
            oldest = today - max(raw_bodies, timedelta(days=days_min))
            for ahead in range(-1, DAYS_AHEAD + 1):
                day = today + timedelta(days=ahead)
                if day >= oldest:
                    await _make(connection, table, day, existing)
            for name in sorted(existing):
                if name < _name(table, oldest):
                    await connection.execute(sql.SQL("drop table {}").format(sql.Identifier(name)))
                    dropped.append(name)
            if await _is_default_past(connection, table, oldest):
                await _lock(connection, table)
                # Again: no row of a later day may have come in before the lock.
                if await _is_default_past(connection, table, oldest):
                    await _renew_default(connection, table)
                    dropped.append(f"{table}_default")
    return dropped


async def _existing(connection: AsyncConnection[Any], table: str) -> set[str]:
    cursor = await connection.execute(
        "select c.relname from pg_inherits join pg_class as c on c.oid = inhrelid"
        " where inhparent = %s::regclass and c.relname ~ '_[0-9]{8}$'",
        [table],
    )
    return {row[0] for row in await cursor.fetchall()}


async def _make(
    connection: AsyncConnection[Any], table: str, day: date, existing: set[str]
) -> None:
    name = _name(table, day)
    if name in existing:
        return
    # Before the look at the default partition: no row of that day may come in between.
    await _lock(connection, table)
    taken = await connection.execute(
        sql.SQL("select exists (select from {} where day = {})").format(
            sql.Identifier(f"{table}_default"), sql.Literal(day)
        )
    )
    row = await taken.fetchone()
    if row and row[0]:
        return
    await connection.execute(
        sql.SQL("create table {} partition of {} for values from ({}) to ({})").format(
            sql.Identifier(name),
            sql.Identifier(table),
            sql.Literal(day),
            sql.Literal(day + timedelta(days=1)),
        )
    )


async def _is_default_past(connection: AsyncConnection[Any], table: str, oldest: date) -> bool:
    """Return whether the default partition has rows, all of them of days before oldest."""
    cursor = await connection.execute(
        sql.SQL("select max(day) < {} from {}").format(
            sql.Literal(oldest), sql.Identifier(f"{table}_default")
        )
    )
    row = await cursor.fetchone()
    return bool(row and row[0])


async def _renew_default(connection: AsyncConnection[Any], table: str) -> None:
    default = sql.Identifier(f"{table}_default")
    await connection.execute(sql.SQL("drop table {}").format(default))
    await connection.execute(
        sql.SQL("create table {} partition of {} default").format(default, sql.Identifier(table))
    )


async def _lock(connection: AsyncConnection[Any], table: str) -> None:
    await connection.execute(
        sql.SQL("lock table {} in access exclusive mode").format(sql.Identifier(table))
    )


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"
