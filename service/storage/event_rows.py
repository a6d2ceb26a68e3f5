"""The rows that a call becomes, and the one statement that stores them and makes work of them.

The body of a call is kept once, whatever events of it are new: an event finds it by body_sha256
and the day of its received_at.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import chain

from service.domain.event import Call, Event
from service.domain.status import RANK
from service.domain.trace import traceparent_of
from service.storage.identifiers import new_ids

# How far an event's own day may lie from the day it arrives: there are partitions for that long.
# Source: LAYOUT.md, "Partitions of events".
DAYS_BACK = timedelta(days=35)
DAYS_AHEAD = timedelta(days=1)

# The columns of STORE, in its order, less the identifier.
Row = tuple[
    date, str, str | None, str | None, str | None, datetime, str, str | None, bytes,
    str | None, int | None,
]  # fmt: skip

# A body's key, the day on which it came in and its SHA-256, and its bytes.
Body = tuple[date, bytes, bytes]


def rows_of(account: str, call: Call, events: Sequence[Event]) -> tuple[list[Row], Body]:
    """Return one row of the table events for each event of a call, and that of event_bodies."""
    body_sha256 = hashlib.sha256(call.body).digest()
    carried = call.headers.get("traceparent")
    traceparent = None if carried is None else traceparent_of(carried)
    rows = [
        (
            day_of(event.created_at, received_at=call.received_at),
            account,
            event.kind and str(event.kind),
            event.provider_id,
            event.event_id,
            call.received_at,
            str(event.verdict),
            event.reason,
            body_sha256,
            traceparent,
            None if event.claims is None else RANK.get(event.claims),
        )
        for event in events
    ]
    return rows, (call.received_at.astimezone(UTC).date(), body_sha256, call.body)


def values_of(calls: Iterable[tuple[list[Row], Body]]) -> list[list[object]]:
    """Return what STORE takes for the rows of some calls: a list for each of its columns."""
    of_calls, bodies = zip(*calls, strict=True)
    rows = list(chain.from_iterable(of_calls))
    columns = (new_ids("evt", len(rows)), *zip(*rows, strict=True))
    return [list(column) for column in (*columns, *zip(*sorted(set(bodies)), strict=True))]


def day_of(created_at: datetime | None, *, received_at: datetime) -> date:
    """Return the partition of an event: the same for each redelivery, so that it is found again.

    That is the day on which the provider made it, in UTC, from 35 days ago to tomorrow; without
    such a time the day of arrival.
    """
    if created_at is None:
        return received_at.astimezone(UTC).date()
    kept = min(max(created_at, received_at - DAYS_BACK), received_at + DAYS_AHEAD)
    return kept.astimezone(UTC).date()


# All inserts go in the order of the key that they lock: unsorted locks deadlock. The bodies come
# sorted, each once.
# Source: PERFORMANCE.md, section 0, number 8.
STORE = """
with stored as (
    insert into events (id, day, account, kind, provider_id, event_id, received_at, verdict,
                        reason, body_sha256, traceparent, claims)
    select id, day, account, kind, provider_id, event_id, received_at, verdict,
           reason, body_sha256, traceparent, claims
      from unnest(%b::text[], %b::date[], %b::text[], %b::text[], %b::text[], %b::text[],
                  %b::timestamptz[], %b::text[], %b::text[], %b::bytea[],
                  %b::text[], %b::smallint[])
           as item (id, day, account, kind, provider_id, event_id, received_at, verdict,
                    reason, body_sha256, traceparent, claims)
     order by account, event_id, day
    on conflict (account, event_id, day) where event_id is not null do nothing
    returning account, kind, provider_id, verdict, traceparent
), bodies as (
    insert into event_bodies (day, sha256, body)
    select * from unnest(%b::date[], %b::bytea[], %b::bytea[])
    on conflict (day, sha256) do nothing
), named as (
    select account, kind, provider_id, count(*) as times, max(traceparent) as traceparent
      from stored
     where verdict = 'accepted' and kind is not null and provider_id is not null
     group by account, kind, provider_id
)
insert into due (account, kind, provider_id, wanted, told, urgency, observed_by, traceparent)
select account, kind, provider_id, times, times, 2, 'webhook', traceparent
  from named
 order by account, kind, provider_id
on conflict (account, kind, provider_id) do update
   set wanted = due.wanted + excluded.wanted,
       told = due.wanted + excluded.wanted,
       due_at = least(due.due_at, greatest(now(), due.not_before)),
       observed_by = 'webhook',
       traceparent = excluded.traceparent,
       rereads = 0,
       urgency = case when due.known then 0 else 2 end,
       parked = null
"""
