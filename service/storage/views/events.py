"""The inbox as the API shows it; bodies stay where they are."""

from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
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


async def list_events(
    pool: Pool, chosen: EventFilter, *, after: Position | None, limit: int
) -> Page:
    """Return a page of events, newest first; request_id is null until a good read made one."""
    where, values = narrowed(
        ("account = %s", chosen.account),
        ("kind = %s", chosen.kind),
        ("provider_id = %s", chosen.provider_id),
        ("verdict = %s", chosen.verdict),
        beyond("(day, id) < ((%s at time zone 'utc')::date, %s)", after),
    )
    query = sql.SQL(
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
          from events {where} order by day desc, id desc limit %s
        """
    ).format(where=where)
    async with reading(pool) as cursor:
        await cursor.execute(query, [*values, limit + 1])
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
