"""The rows of an evidence pack: all that is kept of one request, as of one moment."""

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from service.domain.evidence import FORMAT, Raw
from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.views.reading import Json, reading

_REQUEST = """
    select id, account, kind, provider_id, direction, reference, order_id, sequence, chain,
           first_seen_at
      from requests where id = %(request)s
"""

# A call's body lies with its first event only, found by what all its events share; that event may
# be of an older day, and past its retention before the others.
_EVENTS = """
    select e.id, e.kind, e.provider_id, e.event_id, e.received_at, e.verdict, e.reason,
           e.body_sha256,
           (select first.body from events as first
             where (first.account, first.received_at) = (e.account, e.received_at)
               and sha256(first.body) = e.body_sha256
             limit 1) as raw
      from events as e
      join (select account, kind, provider_id from requests where id = %(request)s
            union
            select account, kind, provider_id from related where request_id = %(request)s)
           as known using (account, kind, provider_id)
     order by e.received_at, e.id
"""

# What a part told the ERP is taken back on a read of the request that it belongs to. The day finds
# that read's partition.
_OBSERVATIONS = """
    select id, read_at, lease_no, version, observed_by, verdict, answer_sha256, answer as raw
      from observations where request_id = %(request)s
    union all
    select o.id, read_at, o.lease_no, o.version, o.observed_by, verdict, o.answer_sha256, answer
      from transitions as t
      join observations as o
        on o.id = observation_id and o.request_id <> subject_id
       and day between (recorded_at at time zone 'utc')::date - 1
                   and (recorded_at at time zone 'utc')::date + 1
     where subject_id = %(request)s
     order by read_at, id
"""

_TRANSITIONS = """
    select id, subject_id, sequence, type, before, after, correction, observed_by,
           observation_id, answer_sha256, lease_no, version, occurred_at, recorded_at,
           chained_from, hash
      from transitions where subject_id = %(request)s
     order by sequence
"""

_NOTIFICATIONS = """
    select id, type, sequence, created_at, sha256(body) as body_sha256,
           convert_from(body, 'utf8') as body
      from notifications where subject_id = %(request)s
     order by sequence
"""

# Not what the ERP answered: that may hold anything.
_ATTEMPTS = """
    select d.notification_id, d.id as delivery_id, d.endpoint, a.number, a.at, a.outcome,
           a.status_code, a.duration_ms
      from attempts as a
      join deliveries as d on d.id = a.delivery_id
      join notifications as n on n.id = d.notification_id
     where n.subject_id = %(request)s
     order by a.at, d.id, a.number
"""


async def read_evidence(
    pool: Pool, request_id: str, *, with_raw: bool, at: datetime
) -> list[Json] | None:
    """Return the rows of a pack about a request, None where there is no such request.

    Bodies and answers, which hold names and bank accounts, are in it only with_raw; of an answer
    that is no longer kept there is a row with its hash. at is the time of writing.
    """
    async with reading(pool) as cursor, cursor.connection.transaction():
        await cursor.execute("set transaction isolation level repeatable read, read only")
        await cursor.execute(_REQUEST, {"request": request_id})
        request = await cursor.fetchone()
        if request is None:
            return None
        events = await _rows(cursor, _EVENTS, request_id)
        observations = await _rows(cursor, _OBSERVATIONS, request_id)
        transitions = await _rows(cursor, _TRANSITIONS, request_id)
        notifications = await _rows(cursor, _NOTIFICATIONS, request_id)
        attempts = await _rows(cursor, _ATTEMPTS, request_id)
    about = {"format": FORMAT, "written_at": time_text(at), "with_raw": with_raw}
    return [
        _row("pack", request | about),
        *(_raw_row("event", "body", row, with_raw, absent=Raw.GONE) for row in events),
        *(_row("observation", row) for row in _gone(transitions, observations)),
        *(
            _raw_row("observation", "answer", row, with_raw, absent=Raw.NOT_KEPT)
            for row in observations
        ),
        *(_row("transition", row) for row in transitions),
        *(_row("notification", row) for row in notifications),
        *(_row("attempt", row) for row in attempts),
    ]


async def _rows(
    cursor: AsyncCursor[DictRow], query: LiteralString, request_id: str
) -> list[DictRow]:
    await cursor.execute(query, {"request": request_id})
    return await cursor.fetchall()


def _gone(transitions: Iterable[DictRow], observations: Iterable[DictRow]) -> list[Json]:
    """Return what is known of reads that are past their retention, from what rests on them."""
    kept = {row["id"] for row in observations}
    return [
        {
            "id": row["observation_id"],
            "observed_by": row["observed_by"],
            "answer_sha256": row["answer_sha256"],
            "answer_is": Raw.GONE,
        }
        for row in transitions
        if row["observation_id"] not in kept
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
