"""Claims for endpoints that take a whole batch at once."""

from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from service.domain.lane import Lane
from service.storage.deliveries import ClaimedDelivery
from service.storage.lanes import Lanes, LaneSeen
from service.storage.untold import list_untold

# Deliveries in one batch: closing them is one statement, which has 10 s.
BATCH_MAX: Final = 5000


async def claim_batch(
    connection: AsyncConnection[Any], seen: LaneSeen, after: Lane, *, lease_seconds: float
) -> list[ClaimedDelivery]:
    """Lease what is due at an endpoint, at most 5,000, in the order in which it was written.

    Unlike `Deliveries.claim` not only the first of each request or order: they travel together,
    in order. Whatever stands behind one that is not due stays. What the endpoint never got is
    listed in the first of its subject. after is the lane once the batch is on its way; nothing is
    claimed where the lane has moved since it was seen, with nothing of it under way. Needs a
    transaction.
    """
    lanes = Lanes(connection)
    if (await lanes.lock([seen.name]))[seen.name] != seen.lane:
        return []
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            with batch as materialized (
                select d.id, n.serial from deliveries_waiting as d
                  join notifications as n
                    on (n.id, n.created_at) = (d.notification_id, d.notified_at)
                 where d.endpoint = %(endpoint)s and d.closed_at is null and d.due_at <= now()
                   and d.sequence < coalesce((
                       select min(later.sequence) from deliveries_waiting as later
                        where later.endpoint = d.endpoint and later.subject_id = d.subject_id
                          and later.state = 'waiting' and later.due_at > now()), d.sequence + 1)
                 order by n.serial limit %(limit)s
                   for update of d
            ), leased as (
                update deliveries_waiting as d
                   set leased_until = clock_timestamp() + make_interval(secs => %(lease)s),
                       lease_no = d.lease_no + 1
                  from batch where d.id = batch.id
                returning d.id, d.notification_id, d.endpoint, d.type, d.subject_id, d.sequence,
                          d.attempts_made, d.lease_no, d.notified_at, d.dead, d.superseded
            )
            select leased.*, n.body, n.traceparent,
                   leased.lease_no = 1
                   and leased.sequence = min(leased.sequence) over (partition by leased.subject_id)
                   and coalesce((
                       select true from deliveries_closed as other
                        where other.endpoint = leased.endpoint
                          and other.subject_id = leased.subject_id
                          and other.sequence < leased.sequence
                          and other.state in ('dead', 'superseded') and not other.is_told
                        limit 1), false) as has_untold
              from leased
              join notifications as n
                on (n.id, n.created_at) = (leased.notification_id, leased.notified_at)
             order by n.serial
            """,
            {"endpoint": seen.name, "limit": BATCH_MAX, "lease": lease_seconds},
        )
        rows = await cursor.fetchall()
    first_after = [row["id"] for row in rows if row.pop("has_untold")]
    if rows:
        await lanes.save(seen.name, after)
    lists = await list_untold(connection, first_after) if first_after else {}
    return [ClaimedDelivery(**row | lists.get(row["id"], {})) for row in rows]
