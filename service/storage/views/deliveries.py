"""The outbox as the API shows it: deliveries, each with its attempts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.views.reading import (
    Json,
    Page,
    Position,
    narrowed,
    page_of,
    reading,
)

STATES = ("waiting", "delivered", "dead", "superseded")


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries a list shows; None does not narrow it."""

    endpoint: str | None = None
    state: str | None = None
    reference: str | None = None
    request_id: str | None = None


async def list_deliveries(
    pool: Pool, chosen: DeliveryFilter, *, after: Position | None, limit: int
) -> Page:
    """Return a page of deliveries with their attempts, newest first: ids grow with time."""
    where, values = narrowed(
        ("d.endpoint = %s", chosen.endpoint),
        ("d.state = %s", chosen.state),
        ("d.reference = %s", chosen.reference),
        ("d.subject_id = %s", chosen.request_id),
        ("d.id < %s", after.id if after else None),
    )
    query = sql.SQL(
        """
        select d.id, d.notification_id, d.endpoint, d.type, d.reference, d.subject_id,
               d.sequence, d.state, d.due_at, d.created_at, d.closed_at, d.notified_at,
               n.subject
          from deliveries as d
          join notifications as n on (n.id, n.created_at) = (d.notification_id, d.notified_at)
         {where} order by d.id desc limit %s
        """
    ).format(where=where)
    async with reading(pool) as cursor:
        await cursor.execute(query, [*values, limit + 1])
        rows = await cursor.fetchall()
    attempts = await _attempts(pool, rows[:limit])
    return page_of(
        rows,
        limit,
        ordered_by="created_at",
        show=lambda row: _show(row, attempts.get(row["id"], ())),
    )


async def _attempts(pool: Pool, deliveries: Sequence[DictRow]) -> Mapping[str, list[Json]]:
    async with reading(pool) as cursor:
        await cursor.execute(
            """
            select delivery_id, at, outcome, status_code, duration_ms, excerpt
              from attempts join unnest(%b::text[], %b::timestamptz[])
                                 as d (id, notified_at)
                   on (d.id, d.notified_at) = (delivery_id, attempts.notified_at)
             order by delivery_id, number
            """,
            [
                [delivery["id"] for delivery in deliveries],
                [delivery["notified_at"] for delivery in deliveries],
            ],
        )
        attempts: dict[str, list[Json]] = defaultdict(list)
        for row in await cursor.fetchall():
            attempts[row.pop("delivery_id")].append({**row, "at": time_text(row["at"])})
    return attempts


def _show(row: DictRow, attempts: Sequence[Json]) -> Json:
    of_request = row["subject"] == "request"
    return {
        "id": row["id"],
        "notification_id": row["notification_id"],
        "endpoint": row["endpoint"],
        "type": row["type"],
        "reference": row["reference"],
        "request_id": row["subject_id"] if of_request else None,
        "order_id": None if of_request else row["subject_id"],
        "sequence": row["sequence"],
        "state": row["state"],
        "attempts": list(attempts),
        "next_at": time_text(row["due_at"]) if row["state"] == "waiting" else None,
        "created_at": time_text(row["created_at"]),
        "closed_at": time_text(row["closed_at"]),
    }
