"""The lanes in which deliveries travel, one for each endpoint: what may go, and how it stands."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from service.domain.lane import Lane, LaneState, paused, resumed

# Why the lane of an endpoint that is no longer configured is paused.
REMOVED: Final = "removed"

_COLUMNS = tuple(field.name for field in fields(Lane))


@dataclass(frozen=True, slots=True)
class LaneSeen:
    """A lane with work as it stood at a time, which is the database's; nobody holds it.

    under_way is how many deliveries to its endpoint are leased, over all workers.
    """

    name: str
    lane: Lane
    under_way: int
    at: datetime


class Lanes:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def ensure(self, endpoints: Iterable[tuple[str, str]]) -> None:
        """Make rows for configured endpoints, given as (name, kind), and pause removed ones.

        A removed endpoint keeps its backlog; one that is back drains it gently. What an operator
        paused stays paused either way.
        """
        ordered = sorted(endpoints)
        names = [name for name, _ in ordered]
        await self._connection.execute(
            """
            insert into endpoints (name, kind)
            select * from unnest(%b::text[], %b::text[]) as e (name, kind) order by name
            on conflict (name) do update set kind = excluded.kind, configured = true
            """,
            [names, [kind for _, kind in ordered]],
        )
        removed = await self._connection.execute(
            "update endpoints set configured = false"
            " where configured and not name = any(%b) returning name",
            [names],
        )
        gone = [row[0] for row in await removed.fetchall()]
        lanes = await self.lock([*names, *gone])
        now = await self.clock()
        for name, lane in lanes.items():
            if name in gone and lane.state is not LaneState.PAUSED:
                await self.save(name, paused(lane, REMOVED))
            elif name in names and lane.reason == REMOVED:
                await self.save(name, resumed(lane, now=now))

    async def with_work(self, *, waited_seconds: float = 0.0) -> list[LaneSeen]:
        """Return the lanes into which something may go now, as far as is known without a lock.

        That is the first waiting delivery of a request or order once its time has come, and for
        a probe any that waits. Both here and in `Deliveries.claim` the first is asked for with
        min, never with `not exists`: that becomes a join, which the planner runs through all that
        wait. waited_seconds leaves out what has not waited for so long since its time came.
        """
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                f"""
                select name, {", ".join(_COLUMNS)}, clock_timestamp() as at,
                       (select count(*) from deliveries_waiting as d
                         where d.endpoint = e.name and d.closed_at is null
                           and d.leased_until > now()) as under_way
                  from endpoints as e
                 where configured and state <> 'paused'
                   and (state in ('open', 'draining') or probe_at <= now())
                   and (select true from deliveries_waiting as d
                         where d.endpoint = e.name and d.closed_at is null
                           and (d.due_at <= now() - make_interval(secs => %(waited)s)
                              or e.state in ('on_hold', 'probing'))
                           and d.leased_until <= now()
                           and d.sequence = (
                               select min(first.sequence) from deliveries_waiting as first
                                where first.endpoint = d.endpoint
                                  and first.subject_id = d.subject_id
                                  and first.state = 'waiting')
                         limit 1)
                 order by name
                """,  # noqa: S608 - constant list of columns
                {"waited": waited_seconds},
            )
            rows = await cursor.fetchall()
        return [
            LaneSeen(row["name"], _lane_of(row), under_way=row["under_way"], at=row["at"])
            for row in rows
        ]

    async def clock(self) -> datetime:
        """Return the database's time, the one clock that all workers share.

        Ask after locking: the time at which the transaction began may be older than the lane.
        """
        cursor = await self._connection.execute("select clock_timestamp()")
        row = await cursor.fetchone()
        assert row is not None, "a select without a table has one row"
        now: datetime = row[0]
        return now

    async def lock(self, names: Iterable[str]) -> dict[str, Lane]:
        """Lock the lanes of endpoints by name, the one lock order, and return them."""
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                f"select name, {', '.join(_COLUMNS)} from endpoints"  # noqa: S608 - constant
                " where name = any(%b) order by name for no key update",
                [sorted(set(names))],
            )
            rows = await cursor.fetchall()
        return {row["name"]: _lane_of(row) for row in rows}

    async def save(self, name: str, lane: Lane, *, succeeded: bool = False) -> None:
        """Write a lane back, and that a delivery arrived; this transaction holds its row."""
        columns = ", ".join(f"{column} = %({column})s" for column in _COLUMNS)
        await self._connection.execute(
            f"update endpoints set {columns},"  # noqa: S608 - constant list of columns
            " last_success_at = case when %(succeeded)s then now() else last_success_at end"
            " where name = %(name)s",
            {column: getattr(lane, column) for column in _COLUMNS}
            | {"state": str(lane.state), "name": name, "succeeded": succeeded},
        )

    async def waiting(self, endpoint: str) -> int:
        """Return how many deliveries to an endpoint wait, counting no further than 1,000."""
        cursor = await self._connection.execute(
            "select count(*) from (select from deliveries_waiting"
            " where endpoint = %s and closed_at is null limit 1000) as counted",
            [endpoint],
        )
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def put_oldest_first(self, endpoint: str) -> None:
        """Have the delivery to an endpoint that has waited longest be the first that is due.

        A lane that closes is probed with it. One that a probe has failed with falls in behind the
        others, so that no single message that the ERP chokes on keeps a lane closed.
        """
        await self._connection.execute(
            """
            update deliveries set due_at = created_at
             where state = 'waiting' and due_at > created_at
               and id = (select id from deliveries
                          where endpoint = %s and state = 'waiting' and closed_at is null
                          order by created_at, id limit 1)
            """,
            [endpoint],
        )


def _lane_of(row: dict[str, Any]) -> Lane:
    values = {column: row[column] for column in _COLUMNS}
    return Lane(**values | {"state": LaneState(row["state"])})
