"""The rows of an evidence pack: all that is kept of one request and its order, as of one moment."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from service.domain.evidence_story import FORMAT, Raw
from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.unit_of_work import plan_once
from service.storage.views.reading import Json, reading

_REQUEST = """
    select id, account, kind, provider_id, direction, reference, order_id, sequence, chain,
           first_seen_at
      from requests where id = %(request)s
"""

_ORDER = """
    select id, reference, registered, sequence, chain, created_at
      from orders where id = %(order)s
"""

# All that was recorded before is dropped, as far as it is not held back.
_DROPPED_BEFORE = "select max(ends_at) as at from forgotten"

# since, a day before we first saw any of it, leaves older partitions out here and below; events may
# be 35 days older, and each of their weeks, up to the newest, is looked up by itself: their index
# begins with it.
_EVENTS = """
    select e.id, e.kind, e.provider_id, e.event_id, e.received_at, e.verdict, e.reason,
           e.body_sha256,
           (select body from event_bodies
             where (day, sha256) = ((e.received_at at time zone 'utc')::date, e.body_sha256)) as raw
      from events as e
      join (select account, kind, provider_id from requests where id = %(request)s
            union
            select account, kind, provider_id from related where request_id = %(request)s)
           as known using (account, kind, provider_id)
     where e.day >= %(events_since)s
       and week_of(e.day) = any(array(select generate_series(
               week_of(%(events_since)s), week_of((select max(day) from events)))))
     order by e.received_at, e.id
"""

# What a part told the ERP is taken back on a read of the request that it belongs to. The day finds
# that read's partition.
_OBSERVATIONS = """
    select id, read_at, lease_no, version, observed_by, verdict, answer_sha256, answer as raw
      from observations where request_id = %(request)s and day >= %(since_day)s
    union all
    select o.id, read_at, o.lease_no, o.version, o.observed_by, verdict, o.answer_sha256, answer
      from transitions as t
      join observations as o
        on o.id = observation_id and o.request_id <> subject_id
       and day between (recorded_at at time zone 'utc')::date - 1
                   and (recorded_at at time zone 'utc')::date + 1
     where subject_id = %(request)s and recorded_at >= %(since)s
     order by read_at, id
"""

_TRANSITIONS = """
    select id, subject_id, sequence, type, before, after, correction, observed_by,
           observation_id, answer_sha256, lease_no, version, occurred_at, recorded_at,
           chained_from, hash
      from transitions where subject_id = any(%(subjects)b) and recorded_at >= %(since)s
     order by subject_id = %(request)s desc, sequence
"""

_NOTIFICATIONS = """
    select id, type, subject_id, sequence, created_at, sha256(body) as body_sha256,
           convert_from(body, 'utf8') as body
      from notifications where subject_id = any(%(subjects)b) and created_at >= %(since)s
     order by subject_id = %(request)s desc, sequence
"""

# Not what the ERP answered: that may hold anything. "offset 0" has each looked up in the partition
# of its notification, where a join would read all of them.
_ATTEMPTS = """
    select d.notification_id, d.id as delivery_id, d.endpoint, a.number, a.at, a.outcome,
           a.status_code, a.duration_ms
      from notifications as n,
           lateral (select * from deliveries
                     where (notification_id, notified_at) = (n.id, n.created_at)
                       and notified_at >= %(since)s
                    offset 0) as d,
           lateral (select * from attempts
                     where (delivery_id, notified_at) = (d.id, d.notified_at)
                       and notified_at >= %(since)s
                    offset 0) as a
     where n.subject_id = any(%(subjects)b) and n.created_at >= %(since)s
     order by a.at, d.id, a.number
"""

_ACTS = """
    select id, at, did, who, reason, endpoint, subject_id, about, detail
      from acts where subject_id = any(%(subjects)b) order by at, id
"""


async def read_evidence(
    pool: Pool, request_id: str, *, with_raw: bool, at: datetime
) -> list[Json] | None:
    """Return the rows of a pack about a request, None where there is no such request.

    With it goes the order that it belongs to now. Bodies and answers, which hold names and bank
    accounts, are in it only with_raw; of one that is no longer kept there is its hash. at is the
    time of writing.
    """
    async with reading(pool) as cursor, cursor.connection.transaction():
        await cursor.execute("set transaction isolation level repeatable read, read only")
        await plan_once(cursor.connection)
        found = await _rows(cursor, _REQUEST, {"request": request_id})
        if not found:
            return None
        (request,) = found
        orders = await _rows(cursor, _ORDER, {"order": request["order_id"]})
        began_at = min([request["first_seen_at"], *(row["created_at"] for row in orders)])
        names = {
            "request": request_id,
            "subjects": [row["id"] for row in (request, *orders)],
            "since": began_at - timedelta(days=1),
            "since_day": began_at.date() - timedelta(days=1),
            "events_since": began_at.date() - timedelta(days=37),
        }
        events = await _rows(cursor, _EVENTS, names)
        observations = await _rows(cursor, _OBSERVATIONS, names)
        transitions = await _rows(cursor, _TRANSITIONS, names)
        notifications = await _rows(cursor, _NOTIFICATIONS, names)
        attempts = await _rows(cursor, _ATTEMPTS, names)
        acts = await _rows(cursor, _ACTS, names)
        (dropped,) = await _rows(cursor, _DROPPED_BEFORE, {})
    about = {"format": FORMAT, "written_at": time_text(at), "with_raw": with_raw}
    cut = {row["id"]: _kept_from(row, transitions, dropped["at"]) for row in (request, *orders)}
    return [
        _row("pack", request | about | cut[request_id]),
        *(_row("order", row | cut[row["id"]]) for row in orders),
        *(_raw_row("event", "body", row, with_raw, absent=Raw.REDACTED) for row in events),
        *(_row("observation", row) for row in _redacted(transitions, observations)),
        *(
            _raw_row("observation", "answer", row, with_raw, absent=Raw.NOT_KEPT)
            for row in observations
        ),
        *(_row("transition", row) for row in transitions),
        *(_row("notification", row) for row in notifications),
        *(_row("attempt", row) for row in attempts),
        *(_row("act", row) for row in acts),
    ]


async def _rows(
    cursor: AsyncCursor[DictRow], query: LiteralString, values: Mapping[str, object]
) -> list[DictRow]:
    await cursor.execute(query, values)
    return await cursor.fetchall()


def _kept_from(
    subject: DictRow, transitions: Sequence[DictRow], dropped_before: datetime | None
) -> Json:
    """Return where the history of a request or order begins, nothing where that is its start.

    Only what retention dropped is said to be missing: anything else is for the check to find.
    """
    kept = [row for row in transitions if row["subject_id"] == subject["id"]]
    first = kept[0] if kept else None
    sequence = first["sequence"] if first else subject["sequence"] + 1
    if sequence == 1 or dropped_before is None:
        return {}
    if first and first["recorded_at"] < dropped_before:
        return {}
    return {
        "kept_from": {
            "sequence": sequence,
            "chained_from": (first["chained_from"] if first else subject["chain"]).hex(),
            "dropped_before": time_text(dropped_before),
        }
    }


def _redacted(transitions: Iterable[DictRow], observations: Iterable[DictRow]) -> list[Json]:
    """Return what is known of reads that are past their retention, from what rests on them."""
    kept = {row["id"] for row in observations}
    return [
        {
            "id": row["observation_id"],
            "observed_by": row["observed_by"],
            "answer_sha256": row["answer_sha256"],
            "answer_is": Raw.REDACTED,
        }
        for row in transitions
        if row["observation_id"] and row["observation_id"] not in kept
    ]


def _raw_row(
    what: str, name: str, columns: Mapping[str, Any], is_asked_for: bool, *, absent: Raw
) -> Json:
    """Return a row with its raw bytes under name, or with why they are not there."""
    raw = columns["raw"]
    row = _row(what, {key: value for key, value in columns.items() if key != "raw"})
    if raw is None:
        return {**row, f"{name}_is": absent}
    if not is_asked_for:
        return {**row, f"{name}_is": Raw.WITHHELD}
    return {**row, f"{name}_is": Raw.HERE, name: base64.b64encode(raw).decode()}


def _row(what: str, columns: Mapping[str, Any]) -> Json:
    return {"what": what, **{name: _as_json(value) for name, value in columns.items()}}


def _as_json(value: object) -> object:
    match value:
        case datetime():
            return time_text(value)
        case bytes():
            return value.hex()
        case _:
            return value
