"""The rows that the growth benchmark copies are as the product would have written them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from service.domain.request import Kind
from service.errors import Misconfigured
from service.storage.database import Pool, pool_of
from service.storage.views.deliveries import DeliveryFilter, list_deliveries
from service.storage.views.events import EventFilter, list_events
from service.storage.views.orders import find_order
from service.storage.views.reading import Json
from service.storage.views.requests import RequestFilter, list_requests
from service.storage.views.timeline import list_timeline
from tests.bench.grow import copies, store
from tests.bench.grow.indexes import shape_of
from tests.bench.grow.mould import EVENTS_PER_REQUEST, make_moulds
from tests.bench.grow.sides import side_of

REQUESTS = 2_000
KEPT = timedelta(days=5)  # each more would be two partitions more to make


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def built_url(shared_url: str) -> str:
    await store.make_partitions(shared_url)
    await make_moulds(shared_url)
    store.make_past_partitions(shared_url, KEPT)
    with psycopg.connect(shared_url) as connection:
        before = shape_of(connection)
    copies.fill(shared_url, REQUESTS, kept=KEPT)
    with psycopg.connect(shared_url) as connection:
        assert shape_of(connection) == before
    return shared_url


@pytest.fixture
async def pool(built_url: str) -> AsyncIterator[Pool]:
    async with pool_of(built_url, application="tests", connections_max=4) as opened:
        yield opened


async def copies_of(pool: Pool, status: str) -> list[Json]:
    page = await list_requests(pool, RequestFilter(status=status), after=None, limit=REQUESTS * 2)
    return [item for item in page.items if item["reference"].startswith("INV-")]


async def count(pool: Pool, query: str) -> Any:
    async with pool.connection() as connection:
        row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return row[0]


async def test_there_are_as_many_as_asked_the_newest_of_them_open(pool: Pool) -> None:
    paid, still_open = await copies_of(pool, "paid"), await copies_of(pool, "open")

    assert (len(paid), len(still_open)) == (1960, 40)
    assert max(one["first_seen_at"] for one in paid) < min(
        one["first_seen_at"] for one in still_open
    )


async def test_a_copy_has_all_that_belongs_to_a_request_and_shares_nothing(pool: Pool) -> None:
    one, other = (await copies_of(pool, "paid"))[:2]

    timeline = (await list_timeline(pool, one["id"], after=None, limit=100)).items
    order_of_one = await find_order(pool, one["reference"])
    deliveries = await list_deliveries(
        pool, DeliveryFilter(request_id=one["id"]), after=None, limit=10
    )

    kinds = [entry["what"] for entry in timeline]
    assert kinds.count("event") == kinds.count("observation") == EVENTS_PER_REQUEST
    assert {"transition", "notification", "attempt"} < set(kinds)
    assert order_of_one is not None
    assert order_of_one["id"] == one["order_id"]
    assert [request["id"] for request in order_of_one["requests"]] == [one["id"]]
    (delivery,) = deliveries.items
    assert (delivery["state"], len(delivery["attempts"])) == ("delivered", 1)
    assert not {one[name] for name in ("id", "order_id", "provider_id", "reference")} & {
        other[name] for name in ("id", "order_id", "provider_id", "reference")
    }


async def test_what_one_row_says_of_another_is_so(pool: Pool) -> None:
    """Those are the checks that the copying did without: keys, sequences, chains, and bodies."""
    assert await count(pool, _STRAY) == 0
    assert await count(pool, "select count(*) from notifications_default") == 0
    assert await count(pool, "select count(*) from events_default") == 0


_STRAY = """
    select (select count(*) from requests as r left join orders as o on o.id = r.order_id
             where o.id is null or o.reference <> r.reference)
         + (select count(*) from requests as r
              left join transitions as t on (t.subject_id, t.sequence) = (r.id, r.sequence)
             where t.hash is distinct from r.chain)
         + (select count(*) from transitions as t
              left join notifications as n on (n.subject_id, n.sequence, n.created_at)
                                              = (t.subject_id, t.sequence, t.recorded_at)
             where n.id is null or position(n.id in convert_from(n.body, 'UTF8')) = 0)
         + (select count(*) from deliveries as d
              left join notifications as n
                on (n.id, n.created_at) = (d.notification_id, d.notified_at)
              left join attempts as a on (a.delivery_id, a.notified_at) = (d.id, d.notified_at)
             where n.id is null or a.number is null)
         + (select count(*) from requests left join due using (account, kind, provider_id)
             where due.wanted is distinct from 3)
"""


async def test_a_webhook_for_a_copy_is_taken_and_what_it_says_is_told(built_url: str) -> None:
    async with side_of(built_url, REQUESTS) as side:
        (one, *_) = await copies_of(side.pool, "open")
        await side.receive([one["provider_id"]])
        await side.world.sync()

        (now,) = (
            await list_requests(
                side.pool, RequestFilter(provider_id=one["provider_id"]), after=None, limit=2
            )
        ).items
        timeline = (await list_timeline(side.pool, one["id"], after=None, limit=100)).items
    assert (now["id"], now["status"], now["sequence"]) == (one["id"], "paid", 2)
    assert [entry["type"] for entry in timeline if entry["what"] == "transition"] == [
        "payment_request.open",
        "payment_request.paid",
    ]


async def test_every_event_of_a_copy_leads_to_its_request(pool: Pool) -> None:
    page = await list_events(pool, EventFilter(kind=Kind.ORDER), after=None, limit=10)

    assert len(page.items) == 10
    assert all(event["request_id"] for event in page.items)


@pytest.mark.parametrize(
    ("free_gb", "sizes"),
    [
        (300, (1_000_000, 10_000_000)),
        (76, (1_000_000, 3_000_000)),
        (38, (2_000_000,)),
    ],
)
def test_no_more_is_built_than_half_of_the_free_disk_holds(
    free_gb: int, sizes: tuple[int, ...]
) -> None:
    assert store.fitting((1_000_000, 10_000_000), free_gb * 10**9) == sizes


def test_a_folder_with_data_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()

    with pytest.raises(Misconfigured, match="choose another --folder"):
        store.ensure(tmp_path, None)

    assert (tmp_path / "postgres").exists()
