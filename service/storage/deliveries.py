"""Deliveries on their way to endpoints, and their attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import class_row

from service.domain.lane import Lane, LaneState
from service.storage.lanes import LaneSeen
from service.storage.untold import mark_told

# Beyond the longest time-out of a delivery by this much: how long a killed worker's deliveries
# wait until another takes them.
LEASE_MARGIN_SECONDS = 5.0

_AGAIN = """
    state = 'waiting', closed_at = null,
    due_at = case when state = 'waiting' then least(due_at, now()) else now() end,
    attempts_made = case when state = 'waiting' then attempts_made else 0 end
"""


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A leased delivery with the stored bytes of its message.

    dead and superseded are earlier sequences that it has to list, the same at every try.
    """

    id: str
    notification_id: str
    endpoint: str
    type: str
    subject_id: str
    sequence: int
    attempts_made: int
    lease_no: int
    notified_at: datetime
    body: bytes
    traceparent: str | None
    dead: list[int]
    superseded: list[int]

    @property
    def lease(self) -> tuple[str, int]:
        """What a close must still hold to change anything."""
        return (self.id, self.lease_no)


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

    @property
    def is_told(self) -> bool:
        """Whether what it lists has arrived with it."""
        return self.state == "delivered" and bool(self.claimed.dead or self.claimed.superseded)


class Deliveries:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def overtaken(self, claims: Sequence[ClaimedDelivery]) -> frozenset[str]:
        """Return the ids of those of claims that are sent again behind a later one.

        That is, the same endpoint was already told a later one of the same request or order, be
        it that this is on its way again as well. Goes by way of the notifications, which have an
        index by subject and number.
        """
        cursor = await self._connection.execute(
            """
            select d.id from deliveries_waiting as d
             where d.id = any(%b) and exists (
                   select from notifications as n
                     join deliveries as later
                       on (later.notification_id, later.notified_at) = (n.id, n.created_at)
                      and later.endpoint = d.endpoint
                    where n.subject_id = d.subject_id and n.sequence > d.sequence
                      and later.tries > 0 and later.state <> 'dead')
            """,
            [[claimed.id for claimed in claims]],
        )
        return frozenset(row[0] for row in await cursor.fetchall())

    async def claim(
        self, seen: LaneSeen, after: Lane, limit: int, *, lease_seconds: float
    ) -> list[ClaimedDelivery]:
        """Lease up to limit deliveries of a lane, only the first waiting of each subject.

        after is the lane once limit are on their way; what is left of its credit is given back.
        Nothing is claimed where another has claimed since the lane was seen. For a probe it is
        the oldest waiting one, also before its time. What the endpoint never got of a subject is
        fixed in the delivery that is claimed first after it.

        Of a bare equation the planner expects so few rows that it looks at all that wait before
        it takes any; with coalesce it goes by the time that they are due and ends with the last
        it needs.
        """
        async with self._connection.cursor(row_factory=class_row(ClaimedDelivery)) as cursor:
            await cursor.execute(
                """
                with lane as materialized (
                    select name from endpoints
                     where name = %(endpoint)s
                       and (state, probe_at, credit, credited_at) is not distinct from
                           (%(state)s, %(probe_at)s::timestamptz, %(credit)s::float8,
                            %(credited_at)s::timestamptz)
                       for no key update
                ), heads as materialized (
                    select d.id, d.subject_id, d.sequence, d.lease_no from deliveries_waiting as d
                     where exists (select from lane)
                       and d.endpoint = %(endpoint)s and d.closed_at is null
                       and (d.due_at <= now() or %(any)s) and d.leased_until <= now()
                       and coalesce(d.sequence = (
                           select min(first.sequence) from deliveries_waiting as first
                            where first.endpoint = d.endpoint
                              and first.subject_id = d.subject_id
                              and first.state = 'waiting'), false)
                     order by d.due_at limit %(limit)s
                       for update of d skip locked
                ), leased as (
                    update deliveries_waiting as d
                       set leased_until = clock_timestamp() + make_interval(secs => %(lease)s),
                           lease_no = d.lease_no + 1,
                           dead = coalesce(untold.dead, d.dead),
                           superseded = coalesce(untold.superseded, d.superseded)
                      from heads cross join lateral (
                           select array_agg(other.sequence order by other.sequence)
                                      filter (where other.state = 'dead') as dead,
                                  array_agg(other.sequence order by other.sequence)
                                      filter (where other.state = 'superseded') as superseded
                             from deliveries_closed as other
                            where heads.lease_no = 0 and other.endpoint = %(endpoint)s
                              and other.subject_id = heads.subject_id
                              and other.sequence < heads.sequence
                              and other.state in ('dead', 'superseded')
                              and not other.is_told) as untold
                     where d.id = heads.id
                    returning d.id, d.notification_id, d.endpoint, d.type, d.subject_id,
                              d.sequence, d.attempts_made, d.lease_no, d.notified_at, d.dead,
                              d.superseded
                ), paid as (
                    update endpoints
                       set state = %(state_after)s, probe_at = %(probe_at_after)s,
                           credit = %(credit_after)s::float8 + %(limit)s - taken.count,
                           credited_at = %(credited_at_after)s
                      from (select count(*) from leased) as taken
                     where name = %(endpoint)s and taken.count > 0
                )
                select leased.*, n.body, n.traceparent
                  from leased join notifications as n
                    on (n.id, n.created_at) = (leased.notification_id, leased.notified_at)
                """,
                {
                    "endpoint": seen.name,
                    "limit": limit,
                    "lease": lease_seconds,
                    "any": after.state is LaneState.PROBING,
                    "state": str(seen.lane.state),
                    "probe_at": seen.lane.probe_at,
                    "credit": seen.lane.credit,
                    "credited_at": seen.lane.credited_at,
                    "state_after": str(after.state),
                    "probe_at_after": after.probe_at,
                    "credit_after": after.credit,
                    "credited_at_after": after.credited_at,
                },
            )
            return await cursor.fetchall()

    async def close(
        self, closings: Sequence[Closing], *, calm: bool = False
    ) -> set[tuple[str, int]]:
        """Write attempts and their outcome; return the leases that still were ours.

        Closing a lease again changes nothing, so a close whose commit went unanswered may be
        repeated. With calm, all of them have arrived, and nothing is written unless that is no
        news about any of their lanes: each is open and did not fail last. Without it, this
        transaction holds their lanes.
        """
        ordered = sorted(closings, key=lambda closing: closing.claimed.id)
        cursor = await self._connection.execute(
            """
            with lanes as materialized (
                select name from endpoints
                 where name = any(%(lanes)b) and state = 'open' and failures_in_row = 0
                 order by name for no key update
            ), back as (
                select * from unnest(%(ids)b::text[], %(leases)b::bigint[], %(states)b::text[],
                                     %(counts)b::integer[], %(waits)b::float8[],
                                     %(times)b::timestamptz[], %(outcomes)b::text[],
                                     %(codes)b::integer[], %(durations)b::integer[],
                                     %(excerpts)b::text[])
                    as b (id, lease_no, state, counts, wait_seconds, at, outcome, status_code,
                          duration_ms, excerpt)
            ), ours as materialized (
                select d.id, back.state, back.counts, back.wait_seconds
                  from deliveries_waiting as d join back using (id, lease_no)
                 where d.leased_until > '-infinity'
                   and (select count(*) from lanes) = cardinality(%(lanes)b::text[])
                 order by d.id for update of d
            ), closed as (
                update deliveries as d
                   set state = ours.state, tries = d.tries + 1,
                       attempts_made = d.attempts_made + ours.counts,
                       leased_until = '-infinity',
                       due_at = case when ours.state = 'waiting'
                           then now() + make_interval(secs => ours.wait_seconds)
                           else d.due_at end,
                       closed_at = case when ours.state = 'waiting' then null else now() end
                  from ours where d.id = ours.id and d.state = 'waiting'
                returning d.id, d.lease_no, d.tries, d.notified_at
            ), tried as (
                insert into attempts (delivery_id, number, at, outcome, status_code, duration_ms,
                                      excerpt, notified_at, failed)
                select id, closed.tries, back.at, back.outcome, back.status_code,
                       back.duration_ms, back.excerpt, closed.notified_at,
                       back.state <> 'delivered'
                  from closed join back using (id, lease_no)
            ), arrived as (
                update endpoints as e set last_success_at = now()
                  from lanes where e.name = lanes.name and exists (select from closed)
                   and coalesce(e.last_success_at, '-infinity') < now() - interval '1 second'
            )
            select id, lease_no from closed
            """,
            {
                "lanes": sorted({closing.claimed.endpoint for closing in ordered}) if calm else [],
                **_columns_of(ordered),
            },
        )
        kept = {(id_, lease_no) for id_, lease_no in await cursor.fetchall()}
        listing = [
            closing.claimed.id
            for closing in ordered
            if closing.is_told and closing.claimed.lease in kept
        ]
        if listing:
            await mark_told(self._connection, listing)
        return kept

    async def endpoint_of(self, delivery_id: str) -> str | None:
        """Return where a delivery goes, None where there is no such one."""
        cursor = await self._connection.execute(
            "select endpoint from deliveries where id = %s", [delivery_id]
        )
        row = await cursor.fetchone()
        return str(row[0]) if row else None

    async def resend(self, delivery_id: str) -> str:
        """Have a delivery go out at once, whatever became of it; return what it is about.

        One that was closed begins its schedule anew; the numbers of its attempts go on. The
        caller holds the lane, so that no attempt is closed meanwhile.
        """
        cursor = await self._connection.execute(
            f"update deliveries set {_AGAIN} where id = %s returning subject_id",  # noqa: S608
            [delivery_id],
        )
        row = await cursor.fetchone()
        assert row is not None, "deliveries stay"
        return str(row[0])

    async def resend_all(self, endpoint: str, notification_ids: Sequence[str]) -> set[str]:
        """Have closed deliveries to an endpoint go out again; return which notifications'.

        What still waits is left as it is. The caller holds the lane, so nobody does so twice.
        """
        cursor = await self._connection.execute(
            f"update deliveries set {_AGAIN}"  # noqa: S608 - constant
            " where endpoint = %s and notification_id = any(%b) and state <> 'waiting'"
            " returning notification_id",
            [endpoint, list(notification_ids)],
        )
        return {row[0] for row in await cursor.fetchall()}

    async def had(self, endpoint: str, notification_ids: Sequence[str]) -> set[str]:
        """Return those of the notifications that have a delivery to an endpoint."""
        cursor = await self._connection.execute(
            "select notification_id from deliveries"
            " where endpoint = %s and notification_id = any(%b)",
            [endpoint, list(notification_ids)],
        )
        return {row[0] for row in await cursor.fetchall()}


def _columns_of(closings: Sequence[Closing]) -> dict[str, list[Any]]:
    """Return what is written of closings, each value in a list for all of them."""
    return {
        "ids": [closing.claimed.id for closing in closings],
        "leases": [closing.claimed.lease_no for closing in closings],
        "states": [closing.state for closing in closings],
        "counts": [int(closing.counts) for closing in closings],
        "waits": [closing.wait_seconds for closing in closings],
        "times": [closing.at for closing in closings],
        "outcomes": [closing.outcome for closing in closings],
        "codes": [closing.status_code for closing in closings],
        "durations": [closing.duration_ms for closing in closings],
        "excerpts": [closing.excerpt for closing in closings],
    }
