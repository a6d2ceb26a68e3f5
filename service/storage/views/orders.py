"""Orders as the API shows them: one, and the list."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from psycopg import AsyncCursor, sql
from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.views.decisions import DECISIONS_OF
from service.storage.views.reading import (
    Condition,
    Json,
    Page,
    Position,
    Walk,
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


# How many orders one page of a search by q looks at: about 40 ms of PostgreSQL's time.
LOOKED_AT_MAX: Final = 20_000

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

    A page of q looks at LOOKED_AT_MAX orders at most: it may hold fewer than limit, or none, and
    say all the same where the next one starts.
    """
    walk = walk_of(chosen.updated_since)
    conditions: list[Condition] = [
        ("status = %s", chosen.status),
        ("updated_at >= %s", chosen.updated_since),
        ("attention <> '{}' and %s", chosen.attention),
        (_BEGINNING, chosen.begins, chosen.begins and chosen.begins + "\U0010ffff"),
        beyond(walk.beyond, after),
    ]
    async with reading(pool) as cursor:
        end = await _end_of_search(cursor, conditions, walk) if chosen.q else None
        where, values = narrowed(
            *conditions,
            ("position(lower(%s) in lower(reference)) > 0", chosen.q),
            beyond(walk.up_to, end),
        )
        ending = sql.SQL("{where} order by {order} limit %s").format(where=where, order=walk.order)
        await cursor.execute(_SELECT + ending, [*values, limit + 1], prepare=False)
        rows = await cursor.fetchall()
    briefs = await brief_requests(pool, [row["id"] for row in rows[:limit]])
    page = page_of(
        rows,
        limit,
        ordered_by="updated_at",
        show=lambda row: _show(row, briefs.get(row["id"], ())),
    )
    return page if page.after else replace(page, after=end)


async def search_orders(pool: Pool, chosen: OrderFilter, *, limit: int) -> Page:
    """Return the first orders that are like that, however many are looked at to find them."""
    page = await list_orders(pool, chosen, after=None, limit=limit)
    found = page.items
    while page.after and len(found) < limit:
        page = await list_orders(pool, chosen, after=page.after, limit=limit - len(found))
        found += page.items
    return Page(found, page.after)


async def _end_of_search(
    cursor: AsyncCursor[DictRow], conditions: Sequence[Condition], walk: Walk
) -> Position | None:
    """Return the last of the orders that a page looks at, None where it sees the end of them."""
    where, values = narrowed(*conditions)
    query = sql.SQL("select updated_at, id from orders {where} order by {order} offset %s limit 1")
    await cursor.execute(
        query.format(where=where, order=walk.order), [*values, LOOKED_AT_MAX - 1], prepare=False
    )
    row = await cursor.fetchone()
    return Position(row["updated_at"], row["id"]) if row else None


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
