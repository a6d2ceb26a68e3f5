"""The pages that persons and programs look at, as the API and the console read them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import dict_row

from service.errors import Unavailable
from service.storage.database import Pool
from service.storage.views.deliveries import DeliveryFilter, list_deliveries
from service.storage.views.events import EventFilter, list_events
from service.storage.views.orders import OrderFilter, list_orders
from service.storage.views.reading import Position
from service.storage.views.requests import RequestFilter, list_requests
from service.storage.views.timeline import list_timeline
from tests.flow.world import ACCOUNT

LIMIT: Final = 100
ENTRIES: Final = 200


@dataclass(frozen=True)
class Anchors:
    """Where pages begin: in the middle of all there is, and at requests of any age."""

    middle: datetime
    first_reference: str
    references: list[str]
    request_ids: list[str]


Show = Callable[[Pool, Anchors, int], Awaitable[Any]]


async def find_anchors(pool: Pool, count: int) -> Anchors:
    """Return anchors with count requests chosen at random."""
    async with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "select min(updated_at) + (max(updated_at) - min(updated_at)) / 2 as middle,"
            " (select reference from orders order by updated_at limit 1) as reference from requests"
        )
        spread = await cursor.fetchone()
        assert spread is not None, "an aggregate is always one row"
        await cursor.execute(
            "select r.id, r.reference from generate_series(1, %s) as n,"
            " lateral (select gen_random_uuid()::text as near where n > 0) as chance,"
            " lateral (select * from requests where account = %s and kind = 'order'"
            "           and provider_id >= near order by provider_id limit 1) as r",
            [count, ACCOUNT],
        )
        chosen = await cursor.fetchall()
    return Anchors(
        spread["middle"],
        spread["reference"],
        [row["reference"] for row in chosen],
        [row["id"] for row in chosen],
    )


def _requests(**chosen: Any) -> Show:
    async def show(pool: Pool, anchors: Anchors, number: int) -> None:
        page = await list_requests(pool, RequestFilter(**chosen), after=None, limit=LIMIT)
        assert len(page.items) == LIMIT, "a page is full"

    return show


async def _requests_deep(pool: Pool, anchors: Anchors, number: int) -> None:
    after = Position(anchors.middle, "prq_")
    page = await list_requests(pool, RequestFilter(), after=after, limit=LIMIT)
    assert len(page.items) == LIMIT, "a page is full"


async def _request_by_reference(pool: Pool, anchors: Anchors, number: int) -> None:
    chosen = RequestFilter(reference=_of(anchors.references, number))
    assert (await list_requests(pool, chosen, after=None, limit=LIMIT)).items


async def _orders(pool: Pool, anchors: Anchors, number: int) -> None:
    page = await list_orders(pool, OrderFilter(), after=None, limit=LIMIT)
    assert len(page.items) == LIMIT, "a page is full"


async def _orders_that_contain(pool: Pool, anchors: Anchors, number: int) -> None:
    page = await list_orders(pool, OrderFilter(q="nv-"), after=None, limit=LIMIT)
    assert len(page.items) == LIMIT, "a page is full"


async def _orders_that_begin(pool: Pool, anchors: Anchors, number: int) -> None:
    chosen = OrderFilter(begins=_of(anchors.references, number))
    assert (await list_orders(pool, chosen, after=None, limit=LIMIT)).items


async def _events(pool: Pool, anchors: Anchors, number: int) -> None:
    page = await list_events(pool, EventFilter(), after=None, limit=LIMIT)
    assert len(page.items) == LIMIT, "a page is full"


async def _events_deep(pool: Pool, anchors: Anchors, number: int) -> None:
    after = Position(anchors.middle, "evt_z")
    page = await list_events(pool, EventFilter(account=ACCOUNT), after=after, limit=LIMIT)
    assert len(page.items) == LIMIT, "a page is full"


async def _deliveries(pool: Pool, anchors: Anchors, number: int) -> None:
    page = await list_deliveries(pool, DeliveryFilter(), after=None, limit=LIMIT)
    assert len(page.items) == LIMIT, "a page is full"


async def _deliveries_of(pool: Pool, anchors: Anchors, number: int) -> None:
    chosen = DeliveryFilter(request_id=_of(anchors.request_ids, number))
    assert (await list_deliveries(pool, chosen, after=None, limit=LIMIT)).items


async def _timeline(pool: Pool, anchors: Anchors, number: int) -> None:
    request_id = _of(anchors.request_ids, number)
    assert (await list_timeline(pool, request_id, after=None, limit=ENTRIES)).items


def _of(those: list[str], number: int) -> str:
    return those[number % len(those)]


PAGES: Final[dict[str, Show]] = {
    "requests": _requests(),
    "requests by status": _requests(status="paid"),
    "requests of an account": _requests(account=ACCOUNT),
    "requests, deep": _requests_deep,
    "request by reference": _request_by_reference,
    "orders": _orders,
    "orders that contain": _orders_that_contain,
    "orders that begin": _orders_that_begin,
    "events": _events,
    "events, deep": _events_deep,
    "deliveries": _deliveries,
    "deliveries of a request": _deliveries_of,
    "timeline": _timeline,
}


async def search_oldest(pool: Pool, anchors: Anchors) -> bool:
    """Search the order that a walk from the newest meets last; return whether that was in time."""
    chosen = OrderFilter(q=anchors.first_reference)
    try:
        await list_orders(pool, chosen, after=None, limit=LIMIT)
    except Unavailable:
        return False
    return True
