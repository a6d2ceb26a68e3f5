"""Everything that happened to one request, in time order, with the hashes of the evidence."""

from datetime import UTC, datetime

from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.unit_of_work import plan_once
from service.storage.views.reading import Json, Page, Position, page_of, reading

# Entries of the same moment stand in the order in which one leads to the other: the number in
# front of the id. Each part walks an index of its table from the request; "offset 0" has the next
# one looked up in the partition of the one before, where a join would read all of them. since, a
# day before we first saw the request, leaves older partitions out; events may be 35 days older, and
# each of their weeks, up to the newest, is looked up by itself: their index begins with it.
_ENTRIES = """
    with entries (at, id, what, occurred_at, detail) as (
        select received_at, '1' || events.id, 'event', null::timestamptz, jsonb_build_object(
                   'id', events.id, 'kind', events.kind, 'provider_id', events.provider_id,
                   'event_id', event_id, 'verdict', verdict, 'reason', reason,
                   'body_sha256', encode(body_sha256, 'hex'))
          from events
          join (select account, kind, provider_id from requests where id = %(request)s
                union
                select account, kind, provider_id from related where request_id = %(request)s)
               as known using (account, kind, provider_id)
         where events.day >= %(events_since)s
           and week_of(events.day) = any(array(select generate_series(
                   week_of(%(events_since)s), week_of((select max(day) from events)))))
        union all
        select read_at, '2' || id, 'observation', null, jsonb_build_object(
                   'id', id, 'observed_by', observed_by, 'verdict', verdict,
                   'lease_no', lease_no, 'version', version,
                   'answer_sha256', encode(answer_sha256, 'hex'))
          from observations where request_id = %(request)s and day >= %(since_day)s
        union all
        select recorded_at, '3' || id, 'transition', occurred_at, jsonb_build_object(
                   'id', id, 'sequence', sequence, 'type', type, 'before', before,
                   'after', after, 'correction', correction, 'observed_by', observed_by,
                   'observation_id', observation_id,
                   'answer_sha256', encode(answer_sha256, 'hex'),
                   'chained_from', encode(chained_from, 'hex'), 'hash', encode(hash, 'hex'))
          from transitions where subject_id = %(request)s and recorded_at >= %(since)s
        union all
        select created_at, '4' || id, 'notification', null, jsonb_build_object(
                   'id', id, 'sequence', sequence, 'type', type,
                   'body_sha256', encode(sha256(body), 'hex'))
          from notifications where subject_id = %(request)s and created_at >= %(since)s
        union all
        select at, '0' || id, 'intervention', null, jsonb_build_object(
                   'id', id, 'did', did, 'who', who, 'reason', reason, 'endpoint', endpoint,
                   'about', about)
          from interventions where subject_id = %(request)s
        union all
        select queued_at, '4' || recovery || ':' || notification_id, 'recovered', null,
               jsonb_build_object(
                   'recovery', recovery, 'endpoint', endpoint,
                   'notification_id', notification_id)
          from recovered join recoveries on recoveries.id = recovery
         where notification_id in (select id from notifications
                                    where subject_id = %(request)s and created_at >= %(since)s)
        union all
        select attempts.at, '5' || delivery_id || ':' || number, 'attempt', null,
               jsonb_build_object(
                   'delivery_id', delivery_id, 'endpoint', endpoint, 'sequence', d.sequence,
                   'number', number, 'outcome', outcome, 'status_code', status_code,
                   'duration_ms', duration_ms)
          from notifications as n,
               lateral (select * from deliveries
                         where (notification_id, notified_at) = (n.id, n.created_at)
                           and notified_at >= %(since)s
                        offset 0) as d,
               lateral (select * from attempts
                         where (delivery_id, notified_at) = (d.id, d.notified_at)
                           and notified_at >= %(since)s
                        offset 0) as attempts
         where n.subject_id = %(request)s and n.created_at >= %(since)s
        union all
        select at, '6' || id, what, null, jsonb_build_object(
                   'id', id, 'who', who, 'reason', reason) || detail
          from decisions where subject_id = %(request)s
    )
    select * from entries
     where (at, id) > (%(at)s, %(id)s)
     order by at, id
     limit %(limit)s
"""

_SINCE = """
    select first_seen_at - interval '1 day' as since, first_seen_at::date - 1 as since_day,
           first_seen_at::date - 37 as events_since
      from requests where id = %(request)s
"""

BEGINNING = Position(datetime.min.replace(tzinfo=UTC), "")


async def list_timeline(pool: Pool, request_id: str, *, after: Position | None, limit: int) -> Page:
    """Return a page of what happened to a request, oldest first.

    Each entry has at, what (event, observation, transition, notification, attempt, a person's
    acknowledgement, link or other intervention, or recovered: sent again in a recovery) and what
    belongs to it. Of bodies and answers only the SHA-256 is shown.
    """
    start = after or BEGINNING
    values = {"request": request_id, "at": start.at, "id": start.id, "limit": limit + 1}
    async with reading(pool) as cursor, cursor.connection.transaction():
        await plan_once(cursor.connection)
        await cursor.execute(_SINCE, values)
        since = await cursor.fetchone()
        if since is None:
            return Page([], None)
        await cursor.execute(_ENTRIES, values | since)
        rows = await cursor.fetchall()
    return page_of(rows, limit, ordered_by="at", show=_show)


def _show(row: DictRow) -> Json:
    entry = {"at": time_text(row["at"]), "what": row["what"], **row["detail"]}
    if row["occurred_at"] is not None:
        entry["occurred_at"] = time_text(row["occurred_at"])
    return entry
