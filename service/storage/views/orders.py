"""Orders as the API shows them: one, and the list."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from psycopg import sql
from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.views.decisions import DECISIONS_OF
from service.storage.views.reading import (
    Json,
    Page,
    Position,
    beyond,
    narrowed,
    page_of,
    reading,
    walk_of,
)
from service.storage.views.requests import amounts_of, brief_requests


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders a list shows; None does not narrow it.

    q is any part of a reference, begins its beginning; case does not matter to either.
    """

    status: str | None = None
    updated_since: datetime | None = None
    q: str | None = None
    begins: str | None = None
    attention: Literal[True] | None = None


# A stretch of the index by beginning: up to what would follow every reference that begins so.
_BEGINNING: Final = "lower(reference) ~>=~ lower(%s) and lower(reference) ~<~ lower(%s)"

_SELECT = sql.SQL("select *, {} from orders ").format(
    DECISIONS_OF.format(subject=sql.Identifier("orders"))
)


async def find_order(pool: Pool, reference: str) -> Json | None:
    """Return the order with this reference, or None."""
    async with reading(pool) as cursor:
        await cursor.execute(_SELECT + sql.SQL("where reference = %s"), [reference])
        row = await cursor.fetchone()
    if row is None:
        return None
    briefs = await brief_requests(pool, [row["id"]])
    return _show(row, briefs.get(row["id"], ()))


async def list_orders(
    pool: Pool, chosen: OrderFilter, *, after: Position | None, limit: int
) -> Page:
    """Return a page of orders with their requests, in the order of `walk_of`.

    q walks the orders by time until the page is full, so the rarer the match the longer the
    walk; the connection's statement time-out bounds it.
    """
    walk = walk_of(chosen.updated_since)
    where, values = narrowed(
        ("status = %s", chosen.status),
        ("updated_at >= %s", chosen.updated_since),
        ("attention <> '{}' and %s", chosen.attention),
        ("position(lower(%s) in lower(reference)) > 0", chosen.q),
        (_BEGINNING, chosen.begins, chosen.begins and chosen.begins + "\U0010ffff"),
        beyond(walk.beyond, after),
    )
    ending = sql.SQL("{where} order by {order} limit %s").format(where=where, order=walk.order)
    async with reading(pool) as cursor:
        await cursor.execute(_SELECT + ending, [*values, limit + 1], prepare=False)
        rows = await cursor.fetchall()
    briefs = await brief_requests(pool, [row["id"] for row in rows[:limit]])
    return page_of(
        rows,
        limit,
        ordered_by="updated_at",
        show=lambda row: _show(row, briefs.get(row["id"], ())),
    )


def _show(row: DictRow, briefs: Sequence[Json]) -> Json:
    return {
        "id": row["id"],
        "reference": row["reference"],
        "registered": row["registered"],
        "withdrawn": row["withdrawn"],
        "version": row["version"],
        "status": row["status"],
        "rule": row["rule"],
        **amounts_of(row),
        "sequence": row["sequence"],
        "attention": sorted(row["attention"]),
        "requests": list(briefs),
        "decisions": row["decisions"],
        "metadata": row["metadata"],
        "created_at": time_text(row["created_at"]),
        "updated_at": time_text(row["updated_at"]),
    }
