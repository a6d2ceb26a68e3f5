"""The raw bytes behind an entry: an event's body, a read's answer, a message's body.

They hold names and bank accounts: whoever shows them redacts them first.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from service.storage.database import Pool
from service.storage.views.events import days_of
from service.storage.views.reading import reading

_EVENT: Final = """
    select received_at as at, body_sha256 as sha256, null::timestamptz as same_as,
           (select body from event_bodies
             where (day, sha256) = ((events.received_at at time zone 'utc')::date, body_sha256))
               as raw,
           true as was_kept
      from events where day = any(%(days)s::date[]) and id = %(id)s
"""

# A read that confirmed what we knew keeps its hash: an earlier one may have the same answer.
_READ: Final = """
    select asked.read_at as at, answer_sha256 as sha256, same.read_at as same_as,
           coalesce(answer, same.raw) as raw, coalesce(answer, same.raw) is not null as was_kept
      from (select * from observations
             where request_id = %(request)s and id = %(id)s
               and day >= (select first_seen_at::date - 1 from requests where id = %(request)s)
           ) as asked
      left join lateral (
           select read_at, answer as raw from observations as other
            where asked.answer is null and other.request_id = %(request)s
              and other.answer_sha256 = asked.answer_sha256 and other.answer is not null
              and day >= (select first_seen_at::date - 1 from requests where id = %(request)s)
            order by read_at desc limit 1) as same on true
"""

# What a part told is taken back on a read of the request that it belongs to. The day finds that
# read's partition.
_READ_OF_ANOTHER: Final = """
    select read_at as at, o.answer_sha256 as sha256, null::timestamptz as same_as, answer as raw,
           answer is not null as was_kept
      from transitions as t
      join observations as o
        on o.id = observation_id
       and day between (recorded_at at time zone 'utc')::date - 1
                   and (recorded_at at time zone 'utc')::date + 1
     where subject_id = %(request)s and observation_id = %(id)s
     limit 1
"""

# What rests on a read is kept longer than the read.
_READ_DROPPED: Final = """
    select recorded_at as at, answer_sha256 as sha256, null::timestamptz as same_as,
           null::bytea as raw, true as was_kept
      from transitions
     where subject_id = %(request)s and observation_id = %(id)s and answer_sha256 is not null
     limit 1
"""

_MESSAGE: Final = """
    select created_at as at, sha256(body) as sha256, null::timestamptz as same_as, body as raw,
           true as was_kept
      from notifications where subject_id = %(request)s and id = %(id)s
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of some bytes; raw is None where they were never kept or are dropped by now.

    same_as is when the read was whose answer this is, None for its own.
    """

    at: datetime
    sha256: str
    raw: bytes | None
    was_kept: bool
    same_as: datetime | None


async def find_event_body(pool: Pool, event_id: str) -> Kept | None:
    """Return the body of the call that brought an event, None where there is no such event."""
    days = days_of(event_id)
    return await _find(pool, [_EVENT], id=event_id, days=days) if days else None


async def find_answer(pool: Pool, request_id: str, read_id: str) -> Kept | None:
    """Return the answers that one read of a request came to, None where there is no such read."""
    queries: list[LiteralString] = [_READ, _READ_OF_ANOTHER, _READ_DROPPED]
    return await _find(pool, queries, id=read_id, request=request_id)


async def find_message(pool: Pool, request_id: str, notification_id: str) -> Kept | None:
    """Return the bare body of a notification about a request, None where there is no such one."""
    return await _find(pool, [_MESSAGE], id=notification_id, request=request_id)


async def _find(pool: Pool, queries: list[LiteralString], **values: object) -> Kept | None:
    """Return what the first query that finds a row finds."""
    async with reading(pool) as cursor:
        for query in queries:
            await cursor.execute(query, values)
            row = await cursor.fetchone()
            if row is not None:
                return Kept(
                    row["at"], row["sha256"].hex(), row["raw"], row["was_kept"], row["same_as"]
                )
    return None
