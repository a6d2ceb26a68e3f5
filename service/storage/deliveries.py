"""Deliveries on their way to endpoints, their attempts, and the lanes they travel in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row

from service.domain.lane import Lane, LaneState

# Beyond the longest time-out of a delivery by this much: how long a killed worker's deliveries
# wait until another takes them.
LEASE_MARGIN_SECONDS = 5.0

_LANE_COLUMNS = tuple(field.name for field in fields(Lane))


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A leased delivery with the bytes to sign."""

    id: str
    notification_id: str
    endpoint: str
    type: str
    subject_id: str
    sequence: int
    attempts_made: int
    lease_no: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Closing:
    """How a claimed delivery goes back after an attempt.

    counts is False for an attempt outside the schedule, such as a probe. wait_seconds is the
    time until the next attempt, where state is still waiting.
    """

    claimed: ClaimedDelivery
    state: Literal["waiting", "delivered", "dead"]
    counts: bool
    wait_seconds: float
    at: datetime
    outcome: str
    status_code: int | None
    duration_ms: int
    excerpt: str


class Deliveries:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def ensure_endpoints(self, endpoints: Iterable[tuple[str, str]]) -> None:
        """Make rows for configured endpoints, given as (name, kind), and pause removed ones.

        A removed endpoint keeps its backlog; one that is back goes on where it stopped.
        """
        ordered = sorted(endpoints)
        names = [name for name, _ in ordered]
        await self._connection.execute(
            """
            insert into endpoints (name, kind)
            select * from unnest(%s::text[], %s::text[]) as e (name, kind) order by name
            on conflict (name) do update
               set kind = excluded.kind, configured = true,
                   state = case when endpoints.reason = 'removed' then 'open'
                                else endpoints.state end,
                   reason = case when endpoints.reason = 'removed' then null
                                 else endpoints.reason end
            """,
            [names, [kind for _, kind in ordered]],
        )
        await self._connection.execute(
            "update endpoints set configured = false, state = 'paused', reason = 'removed'"
            " where configured and not name = any(%s)",
            [names],
        )

    async def endpoints_with_work(self) -> list[str]:
        """Return the endpoints that have a delivery due now and are not known to be closed."""
        cursor = await self._connection.execute(
            """
            select name from endpoints as e
             where configured and state <> 'paused'
               and (state in ('open', 'draining') or probe_at <= now())
               and exists (select from deliveries as d
                            where d.endpoint = e.name and d.state = 'waiting'
                              and d.due_at <= now() and d.leased_until <= now())
             order by name
            """
        )
        return [row[0] for row in await cursor.fetchall()]

    async def lock_lanes(self, names: Iterable[str]) -> dict[str, Lane]:
        """Lock the lanes of endpoints by name, the one lock order, and return them."""
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                f"select name, {', '.join(_LANE_COLUMNS)} from endpoints"  # noqa: S608 - constant
                " where name = any(%s) order by name for update",
                [sorted(set(names))],
            )
            rows = await cursor.fetchall()
        return {row["name"]: _lane_of(row) for row in rows}

    async def save_lane(self, name: str, lane: Lane, *, succeeded_at: datetime | None) -> None:
        """Write a lane back; its row must be locked by this transaction."""
        columns = ", ".join(f"{column} = %({column})s" for column in _LANE_COLUMNS)
        await self._connection.execute(
            f"update endpoints set {columns},"  # noqa: S608 - constant list of columns
            " last_success_at = coalesce(%(succeeded_at)s, last_success_at) where name = %(name)s",
            {column: getattr(lane, column) for column in _LANE_COLUMNS}
            | {"state": str(lane.state), "name": name, "succeeded_at": succeeded_at},
        )

    async def under_way(self, endpoint: str) -> int:
        """Return how many deliveries to an endpoint are leased, over all workers."""
        cursor = await self._connection.execute(
            "select count(*) from deliveries"
            " where endpoint = %s and state = 'waiting' and leased_until > now()",
            [endpoint],
        )
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def waiting(self, endpoint: str) -> int:
        """Return how many deliveries to an endpoint wait, counting no further than 1,000."""
        cursor = await self._connection.execute(
            "select count(*) from (select from deliveries"
            " where endpoint = %s and state = 'waiting' limit 1000) as counted",
            [endpoint],
        )
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def claim(
        self, endpoint: str, limit: int, *, lease_seconds: float, whatever_is_due: bool = False
    ) -> list[ClaimedDelivery]:
        """Lease up to limit deliveries of an endpoint, only the first waiting of each subject.

        whatever_is_due is for a probe: the oldest waiting one, also before its time.
        """
        async with self._connection.cursor(row_factory=class_row(ClaimedDelivery)) as cursor:
            await cursor.execute(
                """
                with heads as materialized (
                    select d.id from deliveries as d
                     where d.endpoint = %(endpoint)s and d.state = 'waiting'
                       and (d.due_at <= now() or %(any)s) and d.leased_until <= now()
                       and not exists (
                           select from deliveries as earlier
                            where earlier.endpoint = d.endpoint
                              and earlier.subject_id = d.subject_id
                              and earlier.state = 'waiting'
                              and earlier.sequence < d.sequence)
                     order by d.due_at limit %(limit)s
                       for update of d skip locked
                )
                update deliveries as d
                   set leased_until = now() + make_interval(secs => %(lease)s),
                       lease_no = d.lease_no + 1
                  from heads join deliveries as h using (id)
                  join notifications as n on n.id = h.notification_id
                 where d.id = heads.id
                returning d.id, d.notification_id, d.endpoint, d.type, d.subject_id, d.sequence,
                          d.attempts_made, d.lease_no, n.body
                """,
                {
                    "endpoint": endpoint,
                    "limit": limit,
                    "lease": lease_seconds,
                    "any": whatever_is_due,
                },
            )
            return await cursor.fetchall()

    async def close(self, closings: Sequence[Closing]) -> set[str]:
        """Write attempts and their outcome; return the ids whose lease still was ours."""
        ordered = sorted(closings, key=lambda closing: closing.claimed.id)
        cursor = await self._connection.execute(
            """
            with back as (
                select * from unnest(%(ids)s::text[], %(leases)s::bigint[], %(states)s::text[],
                                     %(counts)s::integer[], %(waits)s::float8[])
                    as b (id, lease_no, state, counts, wait_seconds)
            ), ours as materialized (
                select d.id, back.state, back.counts, back.wait_seconds
                  from deliveries as d join back using (id, lease_no)
                 where d.state = 'waiting' order by d.id for update of d
            )
            update deliveries as d
               set state = ours.state, tries = d.tries + 1,
                   attempts_made = d.attempts_made + ours.counts,
                   leased_until = '-infinity',
                   due_at = case when ours.state = 'waiting'
                       then now() + make_interval(secs => ours.wait_seconds) else d.due_at end,
                   closed_at = case when ours.state = 'waiting' then null else now() end
              from ours where d.id = ours.id
            returning d.id, d.tries
            """,
            {
                "ids": [closing.claimed.id for closing in ordered],
                "leases": [closing.claimed.lease_no for closing in ordered],
                "states": [closing.state for closing in ordered],
                "counts": [int(closing.counts) for closing in ordered],
                "waits": [closing.wait_seconds for closing in ordered],
            },
        )
        numbers: dict[str, int] = dict(await cursor.fetchall())
        await self._append_attempts([c for c in ordered if c.claimed.id in numbers], numbers)
        return set(numbers)

    async def _append_attempts(self, closings: Sequence[Closing], numbers: dict[str, int]) -> None:
        await self._connection.execute(
            """
            insert into attempts (delivery_id, number, at, outcome, status_code, duration_ms,
                                  excerpt)
            select * from unnest(%s::text[], %s::integer[], %s::timestamptz[], %s::text[],
                                 %s::integer[], %s::integer[], %s::text[])
            """,
            [
                [closing.claimed.id for closing in closings],
                [numbers[closing.claimed.id] for closing in closings],
                [closing.at for closing in closings],
                [closing.outcome for closing in closings],
                [closing.status_code for closing in closings],
                [closing.duration_ms for closing in closings],
                [closing.excerpt for closing in closings],
            ],
        )


def _lane_of(row: dict[str, Any]) -> Lane:
    values = {column: row[column] for column in _LANE_COLUMNS}
    return Lane(**values | {"state": LaneState(row["state"])})
