"""The inbox as the API shows it; bodies stay where they are."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from psycopg import sql
from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.event_rows import DAYS_AHEAD, DAYS_BACK
from service.storage.identifiers import time_in
from service.storage.views.reading import (
    Json,
    Page,
    Position,
    beyond,
    narrowed,
    page_of,
    reading,
)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a list shows; None does not narrow it."""

    account: str | None = None
    kind: str | None = None
    provider_id: str | None = None
    verdict: str | None = None
    since: datetime | None = None


_SELECT = sql.SQL(
    """
    select id, account, kind, provider_id, event_id, received_at, verdict, reason,
           body_sha256, day::timestamp at time zone 'utc' as day_at,
           coalesce(
               (select requests.id from requests
                 where (requests.account, requests.kind, requests.provider_id)
                       = (events.account, events.kind, events.provider_id)),
               (select related.request_id from related
                 where (related.account, related.kind, related.provider_id)
                       = (events.account, events.kind, events.provider_id))
           ) as request_id
      from events
    """
)

# Each week by itself, because the index begins with it.
_OF_ID: Final = """
    provider_id = %s and week_of(day) = any(array(select generate_series(
        week_of((select min(day) from events)), week_of((select max(day) from events)))))
"""


async def find_event(pool: Pool, event_id: str) -> Json | None:
    """Return the event with this id, or None.

    Its id tells when it came, and so which days it may lie in: no other is looked through.
    """
    days = days_of(event_id)
    if not days:
        return None
    async with reading(pool) as cursor:
        await cursor.execute(
            _SELECT + sql.SQL("where day = any(%s::date[]) and id = %s"), [days, event_id]
        )
        row = await cursor.fetchone()
    return _show(row) if row else None


def days_of(event_id: str) -> list[date]:
    """Return the days in which the row of an event may lie, none for what is no id of ours."""
    received_at = time_in(event_id)
    if received_at is None:
        return []
    spare = timedelta(days=1)  # The id and received_at were taken at two moments.
    first = (received_at - DAYS_BACK - spare).date()
    length = (DAYS_BACK + DAYS_AHEAD + 2 * spare).days
    return [first + timedelta(days=number) for number in range(length + 1)]


async def list_events(
    pool: Pool, chosen: EventFilter, *, after: Position | None, limit: int
) -> Page:
    """Return a page of events, newest first; request_id is null until a good read made one."""
    where, values = narrowed(
        ("account = %s", chosen.account),
        ("kind = %s", chosen.kind),
        (_OF_ID, chosen.provider_id),
        ("verdict = %s", chosen.verdict),
        ("received_at >= %s", chosen.since),
        beyond("(day, id) < ((%s at time zone 'utc')::date, %s)", after),
    )
    query = _SELECT + sql.SQL("{where} order by day desc, id desc limit %s").format(where=where)
    async with reading(pool) as cursor:
        await cursor.execute(query, [*values, limit + 1], prepare=False)
        rows = await cursor.fetchall()
    return page_of(rows, limit, ordered_by="day_at", show=_show)


def _show(row: DictRow) -> Json:
    return {
        "id": row["id"],
        "account": row["account"],
        "kind": row["kind"],
        "provider_id": row["provider_id"],
        "event_id": row["event_id"],
        "received_at": time_text(row["received_at"]),
        "verdict": row["verdict"],
        "reason": row["reason"],
        "request_id": row["request_id"],
        "body_sha256": row["body_sha256"].hex(),
    }
