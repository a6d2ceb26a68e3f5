"""The outbox as the API shows it: deliveries, each with its attempts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg import sql
from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.identifiers import first_id
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
    """Which deliveries a list shows; None does not narrow it.

    reference is as it was when the notification was made, about that of an order or request now.
    """

    endpoint: str | None = None
    state: str | None = None
    reference: str | None = None
    request_id: str | None = None
    type: str | None = None
    since: datetime | None = None
    id: str | None = None
    about: str | None = None


# Looked up from the notifications down: deliveries have no index by their subject.
_OF_SUBJECT: Final = """
    d.notification_id in (select n.id from notifications as n where n.subject_id = %s)
"""
_ABOUT: Final = """
    d.notification_id in (
        select n.id from notifications as n
         where n.subject_id in (select requests.id from requests where requests.reference = %s
                                union
                                select orders.id from orders where orders.reference = %s))
"""


async def find_delivery(pool: Pool, delivery_id: str) -> Json | None:
    """Return the delivery with this id and its attempts, or None."""
    found = await list_deliveries(pool, DeliveryFilter(id=delivery_id), after=None, limit=1)
    return found.items[0] if found.items else None


async def list_deliveries(
    pool: Pool, chosen: DeliveryFilter, *, after: Position | None, limit: int
) -> Page:
    """Return a page of deliveries with their attempts, newest first: ids grow with time."""
    where, values = narrowed(
        ("d.endpoint = %s", chosen.endpoint),
        ("d.state = %s", chosen.state),
        ("d.reference = %s", chosen.reference),
        (_OF_SUBJECT, chosen.request_id),
        ("d.type = %s", chosen.type),
        ("d.created_at >= %s", chosen.since),
        ("d.id >= %s", _first_since(chosen.since)),
        ("d.id = %s", chosen.id),
        ("d.id < %s", after.id if after else None),
        (_ABOUT, chosen.about, chosen.about),
    )
    query = sql.SQL(
        """
        select id, notification_id, endpoint, type, reference, subject_id, sequence, state,
               due_at, created_at, closed_at, notified_at,
               exists (select from orders where orders.id = subject_id) as is_of_order
          from deliveries as d {where} order by d.id desc limit %s
        """
    ).format(where=where)
    async with reading(pool) as cursor:
        await cursor.execute(query, [*values, limit + 1], prepare=False)
        rows = await cursor.fetchall()
    attempts = await _attempts(pool, rows[:limit])
    return page_of(
        rows,
        limit,
        ordered_by="created_at",
        show=lambda row: _show(row, attempts.get(row["id"], ())),
    )


async def _attempts(pool: Pool, deliveries: Sequence[DictRow]) -> Mapping[str, list[Json]]:
    if not deliveries:
        return {}
    times = [delivery["notified_at"] for delivery in deliveries]
    async with reading(pool) as cursor:
        await cursor.execute(
            """
            select delivery_id, at, outcome, status_code, duration_ms, excerpt
              from attempts
             where delivery_id = any(%b) and notified_at between %s and %s
             order by delivery_id, number
            """,
            [[delivery["id"] for delivery in deliveries], min(times), max(times)],
        )
        attempts: dict[str, list[Json]] = defaultdict(list)
        for row in await cursor.fetchall():
            attempts[row.pop("delivery_id")].append({**row, "at": time_text(row["at"])})
    return attempts


def _show(row: DictRow, attempts: Sequence[Json]) -> Json:
    return {
        "id": row["id"],
        "notification_id": row["notification_id"],
        "endpoint": row["endpoint"],
        "type": row["type"],
        "reference": row["reference"],
        "request_id": None if row["is_of_order"] else row["subject_id"],
        "order_id": row["subject_id"] if row["is_of_order"] else None,
        "sequence": row["sequence"],
        "state": row["state"],
        "attempts": [{"number": number, **one} for number, one in enumerate(attempts, start=1)],
        "next_at": time_text(row["due_at"]) if row["state"] == "waiting" else None,
        "created_at": time_text(row["created_at"]),
        "closed_at": time_text(row["closed_at"]),
    }


def _first_since(since: datetime | None) -> str | None:
    """Return where in the order of ids to end: an hour early, whatever clocks made them."""
    return first_id("dlv", since - timedelta(hours=1)) if since else None
