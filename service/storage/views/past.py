"""A request as it stood: by the clock on which we learned, and by the one on which it happened."""

import json
from datetime import datetime

from service.domain.notification import time_text
from service.errors import NotFound
from service.storage.database import Pool
from service.storage.views.reading import Json, reading
from service.storage.views.requests import amounts_of, find_request

# Times are compared as they are shown, in milliseconds. A change whose own time the provider does
# not tell happened when we learned of it, as far as we know.
_PAST = """
    select t.*, body as told
      from transitions as t
      join notifications as n
           on (n.subject_id, n.sequence, n.created_at) = (t.subject_id, t.sequence, t.recorded_at)
     where t.subject_id = %(request)s
       and date_trunc('milliseconds', recorded_at) <= %(at)s
       and date_trunc('milliseconds', coalesce(occurred_at, recorded_at)) <= %(as_of)s
     order by t.sequence desc limit 1
"""

_FIRST = """
    select min(recorded_at) as at, min(coalesce(occurred_at, recorded_at)) as as_of
      from transitions where subject_id = %(request)s
"""


async def find_past(
    pool: Pool, request_id: str, *, at: datetime | None, as_of: datetime | None
) -> Json:
    """Return the request as we knew it at a time, of how things stood as_of another.

    None bounds nothing. reference, order_id and attention are as they were told with the change
    that stood then; registered and part_of, of which no history is kept, as they are now. Raises
    NotFound for no such request, and for a time before the first change.
    """
    now = await find_request(pool, request_id)
    if now is None:
        raise NotFound(f"no request {request_id!r}")
    values = {"request": request_id, "at": at or "infinity", "as_of": as_of or "infinity"}
    async with reading(pool) as cursor:
        await cursor.execute(_PAST, values)
        row = await cursor.fetchone()
        if row is None:
            await cursor.execute(_FIRST, values)
            first = await cursor.fetchone()
            assert first is not None, "an aggregate is always one row"
            raise NotFound(_why_not(request_id, first["at"], first["as_of"]))
    told = json.loads(row["told"])["data"]
    after = row["after"]
    return {
        **now,
        "status": after["status"],
        **amounts_of(after),
        "final": after["final"],
        "reference": told["reference"],
        "order_id": told["order_id"],
        "provider_status": after["provider_status"],
        "reason": after["reason"],
        "sequence": row["sequence"],
        "parked": None,  # a good read ends that, and no change is without one
        "attention": told["attention"],
        "occurred_at": time_text(row["occurred_at"]),
        "observed_at": told["observed_at"],
        "updated_at": time_text(row["recorded_at"]),
        "observed_by": row["observed_by"],
        "correction": row["correction"],
        "transition_id": row["id"],
        "hash": row["hash"].hex(),
    }


def _why_not(request_id: str, at: datetime | None, as_of: datetime | None) -> str:
    if at is None:
        return f"no change of {request_id} was ever recorded"
    return (
        f"nothing was known of {request_id} then: its first change was recorded at"
        f" {time_text(at)} and had happened at {time_text(as_of)}"
    )
