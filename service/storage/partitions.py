"""Partitions: made ahead of time, dropped by age. No row of history is deleted by itself.

What was received and read leaves by the day, what was recorded and said by the quarter of a year:
ten years of quarters are few enough that a question about all of them stays quick.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import structlog
from psycopg import AsyncConnection, sql

from service.storage.periods import DAYS, QUARTERS, Period, Periods

log = structlog.get_logger()

# Providers repeat a signed event for days: each is known again at least this long.
EVENTS_KEPT_MIN: Final = timedelta(days=36)

# One number for whoever makes partitions, so that two never do at once.
PARTITION_LOCK: Final = 5_137_023


@dataclass(frozen=True, slots=True)
class Shelf:
    """Tables that are parted at the same times, each with the column that parts it.

    They are locked in this order, which is that of whoever writes to them.
    """

    tables: dict[str, str]
    periods: Periods


BODIES: Final = Shelf({"event_bodies": "day"}, DAYS)
READS: Final = Shelf({"observations": "day"}, DAYS)
EVENTS: Final = Shelf({"events": "day"}, QUARTERS)
# A transition and all that was said of it have one time, so that they leave together.
FACTS: Final = Shelf(
    {
        "untold_changes": "recorded_at",
        "transitions": "recorded_at",
        "notifications": "created_at",
        "deliveries_closed": "notified_at",
        "attempts": "notified_at",
    },
    QUARTERS,
)
SHELVES: Final = (BODIES, READS, EVENTS, FACTS)


async def keep_partitions(
    connection: AsyncConnection[Any], *, today: date, raw_bodies: timedelta, facts: timedelta
) -> list[str]:
    """Make the partitions of the time to come, drop those of which every row is too old.

    Return the names of dropped ones. raw_bodies is how long bodies and reads are kept, to the
    day; facts how long all else is, to the quarter. Rows that already lie in a default partition
    stay there: moving them would change history. It is dropped, for an empty one, when the newest
    of them is too old. Each shelf is a transaction that waits half a second at most for a table,
    because others, the receiver too, wait behind us for it.
    """
    kept = (
        (BODIES, raw_bodies),
        (READS, raw_bodies),
        (EVENTS, max(facts, EVENTS_KEPT_MIN)),
        (FACTS, facts),
    )
    dropped = []
    for shelf, age in kept:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(%s)", [PARTITION_LOCK])
            await connection.execute("set local lock_timeout = '500ms'")
            keeper = _Keeper(connection, shelf, oldest=today - age)
            await keeper.make_ahead(today)
            dropped += await keeper.drop_past()
    return dropped


class _Keeper:
    """Makes and drops the partitions of a shelf, in the transaction that it is given.

    oldest is the first day that is kept.
    """

    def __init__(self, connection: AsyncConnection[Any], shelf: Shelf, *, oldest: date) -> None:
        self._connection = connection
        self._shelf = shelf
        self._oldest = oldest

    async def make_ahead(self, today: date) -> None:
        existing = await self._existing()
        for period in self._shelf.periods.around(today):
            if period not in existing and period.ends > self._oldest:
                # Before the look at the default partition: no such row may come in between.
                await self._lock()
                if not await self._is_in_default(period):
                    for table in self._shelf.tables:
                        await self._make(table, period)

    async def drop_past(self) -> list[str]:
        """Drop what is too old, oldest first; what is held back keeps all that is newer.

        So that what is left of a history is its end, without a gap.
        """
        dropped = await self._drop_past_default()
        past = [period for period in await self._existing() if period.ends <= self._oldest]
        for period in sorted(past):
            await self._lock()
            if not await self._may_leave(period):
                break
            for table in reversed(self._shelf.tables):
                await self._drop(period.name_in(table))
                dropped.append(period.name_in(table))
        return dropped

    async def _drop_past_default(self) -> list[str]:
        newest = await self._newest_in_default()
        if newest is None:
            return []
        log.error("partition.missed", table=next(iter(self._shelf.tables)), newest=str(newest))
        if newest >= self._oldest:
            return []
        await self._lock()
        # Again: no row of a later day may have come in before the lock.
        newest = await self._newest_in_default() or newest
        default = Period(date.min, newest + timedelta(days=1), "default")
        if default.ends > self._oldest or not await self._may_leave(default):
            return []
        await self._renew_default()
        return [default.name_in(table) for table in self._shelf.tables]

    async def _existing(self) -> set[Period]:
        cursor = await self._connection.execute(
            "select c.relname from pg_inherits join pg_class as c on c.oid = inhrelid"
            " where inhparent = %s::regclass",
            [next(iter(self._shelf.tables))],
        )
        suffixes = [row[0].rpartition("_")[2] for row in await cursor.fetchall()]
        return {self._shelf.periods.named(suffix) for suffix in suffixes if suffix != "default"}

    async def _make(self, table: str, period: Period) -> None:
        bounds = f"for values from ('{period.begins}') to ('{period.ends}')"
        await self._connection.execute(
            "select make_partition(%s, %s, %s, %s)",
            [table, period.name_in(table), f"{table}_default", bounds],
        )

    async def _drop(self, partition: str) -> None:
        await self._connection.execute(sql.SQL("drop table {}").format(sql.Identifier(partition)))

    async def _is_in_default(self, period: Period) -> bool:
        """Return whether rows of a period lie in a default partition of the shelf."""
        for table, column in self._shelf.tables.items():
            query = sql.SQL("select exists (select from {} where {} >= {} and {} < {})").format(
                sql.Identifier(f"{table}_default"),
                sql.Identifier(column),
                sql.Literal(period.begins),
                sql.Identifier(column),
                sql.Literal(period.ends),
            )
            if await self._value(query):
                return True
        return False

    async def _newest_in_default(self) -> date | None:
        """Return the newest day of which rows lie in a default partition, None for no rows."""
        found = [
            await self._value(
                sql.SQL("select max({})::date from {}").format(
                    sql.Identifier(column), sql.Identifier(f"{table}_default")
                )
            )
            for table, column in self._shelf.tables.items()
        ]
        return max((day for day in found if day is not None), default=None)

    async def _may_leave(self, period: Period) -> bool:
        """Return whether nothing holds a period back; note what of the feed leaves with it.

        A message that is still to be placed or delivered does, and so does one that was delivered,
        or tried, too lately: that is a fact as well. So do older rows in a default partition.
        """
        if self._shelf is not FACTS:
            return True
        waiting = await self._value(
            "select count(*) from deliveries_waiting"
            " where notified_at >= %(begins)s and notified_at < %(ends)s",
            period,
        )
        is_needed = await self._value(
            sql.SQL(
                "select exists (select from {} where position is null)"
                "    or exists (select from {} where closed_at >= {oldest})"
                "    or exists (select from {} where at >= {oldest})"
            ).format(
                sql.Identifier(period.name_in("notifications")),
                sql.Identifier(period.name_in("deliveries_closed")),
                sql.Identifier(period.name_in("attempts")),
                oldest=sql.Literal(self._oldest),
            )
        )
        if period.suffix != "default":
            is_needed |= await self._is_in_default(Period(date.min, period.ends, ""))
        if waiting or is_needed:
            log.warning("partition.held", partition=period.suffix, waiting=waiting)
            return False
        await self._connection.execute(
            sql.SQL(
                "insert into forgotten (ends_at, position)"
                " select {}::timestamptz, max(position) from {}"
                " on conflict (ends_at) do update"
                " set position = greatest(forgotten.position, excluded.position)"
            ).format(sql.Literal(period.ends), sql.Identifier(period.name_in("notifications")))
        )
        return True

    async def _renew_default(self) -> None:
        """Put an empty default partition in the place of each."""
        tables = self._shelf.tables
        for table in tables:
            names = {
                "parent": sql.Identifier(table),
                "default": sql.Identifier(f"{table}_default"),
                "past": sql.Identifier(f"{table}_past"),
            }
            for statement in (
                "alter table {default} rename to {past}",
                "alter table {parent} detach partition {past}",
            ):
                await self._connection.execute(sql.SQL(statement).format(**names))
        for table in tables:
            await self._connection.execute(
                "select make_partition(%s, %s, %s, 'default')",
                [table, f"{table}_default", f"{table}_past"],
            )
        for table in reversed(tables):
            await self._drop(f"{table}_past")

    async def _lock(self) -> None:
        """Keep everybody out of the shelf until the transaction ends."""
        await self._connection.execute(
            sql.SQL("lock table {} in access exclusive mode").format(
                sql.SQL(", ").join(map(sql.Identifier, self._shelf.tables))
            )
        )

    async def _value(self, query: sql.Composed | str, period: Period | None = None) -> Any:
        values = {"begins": period.begins, "ends": period.ends} if period else None
        cursor = await self._connection.execute(query, values)
        row = await cursor.fetchone()
        return row[0] if row else None
