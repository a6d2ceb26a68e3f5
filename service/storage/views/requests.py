"""Requests as the API shows them: one, the list, and in brief under their orders."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import sql
from psycopg.rows import DictRow

from service.domain.lifecycle import PERSON_CODES_ORDER
from service.domain.notification import amounts, time_text
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


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests a list shows; None does not narrow it."""

    status: str | None = None
    account: str | None = None
    provider_id: str | None = None
    reference: str | None = None
    updated_since: datetime | None = None
    attention: Literal[True] | None = None


_SELECT = sql.SQL(
    """
    select *, (select attention from orders where orders.id = order_id) as order_attention,
           (select request_id from related
             where (related.account, related.kind, related.provider_id)
                   = (requests.account, requests.kind, requests.provider_id)) as part_of,
           {decisions}
      from requests
    """
).format(decisions=DECISIONS_OF.format(subject=sql.Identifier("requests")))


async def find_request(pool: Pool, request_id: str) -> Json | None:
    """Return the request with this id, or None."""
    async with reading(pool) as cursor:
        await cursor.execute(_SELECT + sql.SQL("where id = %s"), [request_id])
        row = await cursor.fetchone()
    return _show(row) if row else None


async def list_requests(
    pool: Pool, chosen: RequestFilter, *, after: Position | None, limit: int
) -> Page:
    """Return a page of requests, in the order of `walk_of`."""
    walk = walk_of(chosen.updated_since)
    where, values = narrowed(
        ("status = %s", chosen.status),
        ("account = %s", chosen.account),
        ("provider_id = %s", chosen.provider_id),
        ("reference = %s", chosen.reference),
        ("updated_at >= %s", chosen.updated_since),
        ("attention <> '{}' and %s", chosen.attention),
        beyond(walk.beyond, after),
    )
    ending = sql.SQL("{where} order by {order} limit %s").format(where=where, order=walk.order)
    async with reading(pool) as cursor:
        await cursor.execute(_SELECT + ending, [*values, limit + 1], prepare=False)
        rows = await cursor.fetchall()
    return page_of(rows, limit, ordered_by="updated_at", show=_show)


async def brief_requests(pool: Pool, order_ids: Sequence[str]) -> Mapping[str, list[Json]]:
    """Return the requests of each order, in brief and in the order we first saw them.

    What turned out to be a part of another request counts there and is left out.
    """
    async with reading(pool) as cursor:
        await cursor.execute(
            """
            select * from requests as r
             where order_id = any(%b)
               and not exists (select from related as part
                                where (part.account, part.kind, part.provider_id)
                                      = (r.account, r.kind, r.provider_id))
             order by first_seen_at, id
            """,
            [list(order_ids)],
        )
        briefs: dict[str, list[Json]] = defaultdict(list)
        for row in await cursor.fetchall():
            briefs[row["order_id"]].append(_brief(row))
    return briefs


def amounts_of(row: Mapping[str, Any]) -> Json:
    """Return the five amounts of a request or an order; null until their currency is known."""
    money = (row["received"], row["refunded"], row["taken_back"], row["booked"])
    return amounts(row["currency"], row["amount"], money)


def _brief(row: DictRow) -> Json:
    return {
        "id": row["id"],
        "account": row["account"],
        "kind": row["kind"],
        "direction": row["direction"],
        "provider_id": row["provider_id"],
        "status": row["status"],
        **amounts_of(row),
        "final": row["final"],
    }


def _show(row: DictRow) -> Json:
    from_order = PERSON_CODES_ORDER.intersection(row["order_attention"] or ())
    return {
        **_brief(row),
        "registered": row["registered"],
        "reference": row["reference"],
        "order_id": row["order_id"],
        "linked_by": row["linked_by"],
        "provider_status": row["provider_status"],
        "reason": row["reason"],
        "part_of": row["part_of"],
        "sequence": row["sequence"],
        "parked": row["parked"],
        "attention": sorted(from_order.union(row["attention"])),
        "decisions": row["decisions"],
        "first_seen_at": time_text(row["first_seen_at"]),
        "occurred_at": time_text(row["occurred_at"]),
        "observed_at": time_text(row["observed_at"]),
        "updated_at": time_text(row["updated_at"]),
    }
