"""A person puts a request under another order, and there it stays."""

import asyncio

import pytest

from service.errors import Conflict, NotFound, Unavailable
from service.flow.judge import judge
from service.flow.look import Known, look
from service.storage.unit_of_work import unit_of_work
from service.storage.views.orders import find_order
from service.storage.views.timeline import list_timeline
from tests.flow.persons import WHO, id_of, link, members_of, register, track
from tests.flow.world import World, key_of, order, order_id


async def told(world: World, reference: str) -> list[tuple[str, int]]:
    """What the ERP is told of an order: type and received of each message."""
    return [
        (
            message["type"],
            message["data"]["received"]["minor"] if message["data"]["received"] else 0,
        )
        for message in await world.messages()
        if message["type"].startswith("order.") and message["data"]["reference"] == reference
    ]


async def test_money_under_a_mistyped_reference_is_put_where_it_belongs(world: World) -> None:
    await register(world.parts, "INV-1043", 4000)
    world.provider.shows(order(1, reference="INV-1034"))
    await world.read(1)

    assert await link(world.parts, key_of(1), "INV-1043")

    assert await told(world, "INV-1043") == [("order.unpaid", 0), ("order.paid", 4000)]
    assert await told(world, "INV-1034") == [("order.paid", 4000), ("order.unpaid", 0)]
    assert (await world.order("INV-1043"))["rule"] == "net_equals_amount"


async def test_a_request_may_be_moved_away_from_a_registered_order(world: World) -> None:
    await register(world.parts, "INV-1", 4000, key_of(1))
    await register(world.parts, "INV-2", 4000)
    world.provider.shows(order(1))
    await world.sync()
    with pytest.raises(Conflict, match="INV-1"):
        await track(world.parts, key_of(1), "INV-2")

    await link(world.parts, key_of(1), "INV-2")

    assert (await world.order("INV-1"))["status"] == "unpaid"
    assert (await world.order("INV-2"))["status"] == "paid"
    await track(world.parts, key_of(1), "INV-2")


async def test_later_reads_and_the_first_registration_again_do_not_move_it_back(
    world: World,
) -> None:
    await register(world.parts, "INV-1", 4000, key_of(1))
    await register(world.parts, "INV-2", 4000)
    world.provider.shows(order(1, "order_new", reference="INV-1"))
    await world.sync()
    await link(world.parts, key_of(1), "INV-2")

    world.provider.shows(order(1, reference="INV-1", minute=5))
    await world.read(1)
    await register(world.parts, "INV-1", 4000, key_of(1))
    await world.read(1)

    assert (await members_of(world.parts, "INV-1"), await members_of(world.parts, "INV-2")) == (
        [],
        [order_id(1)],
    )
    assert (await world.order("INV-2"))["status"] == "paid"
    request = await world.request(1)
    assert request is not None
    assert (request.reference, request.linked_by) == ("INV-2", "operator")


async def test_who_moved_it_from_where_and_why_stands_in_every_history(world: World) -> None:
    await register(world.parts, "INV-2", 4000)
    world.provider.shows(order(1, reference="INV-1"))
    await world.read(1)

    await link(world.parts, key_of(1), "INV-2")

    request_id = await id_of(world.parts, key_of(1))
    entries = (await list_timeline(world.pool, request_id, after=None, limit=50)).items
    (moved,) = [entry for entry in entries if entry["what"] == "link"]
    assert (moved["from"], moved["to"], moved["who"]) == ("INV-1", "INV-2", WHO)
    for reference in ("INV-1", "INV-2"):
        shown = await find_order(world.pool, reference)
        assert shown is not None
        (decision,) = shown["decisions"]
        assert (decision["request_id"], decision["reason"]) == (request_id, "the payer mistyped it")


async def test_the_same_link_again_is_none_and_writes_nothing(world: World) -> None:
    await register(world.parts, "INV-1", 4000)
    world.provider.shows(order(1, reference=None))
    await world.read(1)

    first, again = [await link(world.parts, key_of(1), "INV-1") for _ in range(2)]

    assert (first, again) == (True, False)
    assert await world.value("select count(*) from decisions where what = 'link'") == 2


async def test_a_request_under_no_order_or_never_read_can_be_linked(world: World) -> None:
    await register(world.parts, "INV-1", 4000)
    await track(world.parts, key_of(1))

    await link(world.parts, key_of(1), "INV-1")
    world.provider.shows(order(1, reference="ELSEWHERE"))
    await world.sync()

    assert (await world.order("INV-1"))["status"] == "paid"


async def test_a_request_is_read_again_once_it_was_moved(world: World) -> None:
    await register(world.parts, "INV-1", 4000)
    world.provider.shows(order(1, reference=None))
    await world.read(1)

    await link(world.parts, key_of(1), "INV-1")

    due = await world.due(1)
    assert (due["observed_by"], due["known"], due["wanted"] > due["done"]) == (
        "operator",
        True,
        True,
    )


async def test_an_order_that_nobody_knows_is_not_made(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)

    with pytest.raises(NotFound, match="POST /v1/orders"):
        await link(world.parts, key_of(1), "INV-1034")

    assert await world.value("select count(*) from orders") == 1


async def test_a_part_of_a_request_goes_where_that_goes(world: World) -> None:
    await register(world.parts, "INV-1", 4000)
    world.provider.shows(order(1))
    await world.read(1)
    await world.run(
        "insert into requests (id, account, kind, provider_id)"
        " values ('prq_link', 'ginger-nl', 'payment_link', 'the-link')"
    )
    await world.run(
        "insert into related (account, kind, provider_id, request_id, related_as)"
        " select account, kind, provider_id, 'prq_link', 'attempt' from requests"
        " where kind = 'order'"
    )

    with pytest.raises(Conflict, match="payment_link the-link"):
        await link(world.parts, key_of(1), "INV-1")


async def test_moving_and_reading_the_same_requests_never_fail_each_other(world: World) -> None:
    """Five times requests change places between two orders while both are being paid."""
    await register(world.parts, "INV-1", 4000, key_of(1))
    await register(world.parts, "INV-2", 4000, key_of(2))
    for turn in range(5):
        world.provider.shows(*(order(n, amount=4000, minute=2 + turn) for n in (1, 2)))
        await world.trigger(1, 2)
        async with unit_of_work(world.pool) as work:
            claims = await work.due.claim(10)
        looks = [await look(claim, known=Known(), parts=world.parts) for claim in claims]
        there, back = ("INV-1", "INV-2") if turn % 2 else ("INV-2", "INV-1")
        results = await asyncio.gather(
            *(judge([one], world.parts) for one in looks),
            link(world.parts, key_of(1), there),
            link(world.parts, key_of(2), back),
            return_exceptions=True,
        )
        assert not [failure for failure in results if isinstance(failure, Unavailable)]
        assert not [failure for failure in results if isinstance(failure, BaseException)]
        await world.let_time_pass()

    assert await world.value("select sum(received) from orders") == 8000
    assert await world.value(
        "select bool_and(o.received = (select coalesce(sum(r.received), 0) from requests as r"
        " where r.order_id = o.id)) from orders as o"
    )
