"""What the ERP tells us: an order that it wants paid, a request that it wants watched."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.domain.money import Money
from service.domain.request import Key
from service.errors import Conflict, Unavailable
from service.flow.judge import judge
from service.flow.look import Known, Look, look
from service.flow.register import (
    RegisteredOrder,
    RegisteredRequest,
    register_order,
    register_request,
)
from service.storage.unit_of_work import unit_of_work
from tests.flow.world import World, key_of, order, order_id


async def register(
    world: World,
    reference: str = "INV-1043",
    *numbers: int,
    minor: int = 4000,
    metadata: dict[str, object] | None = None,
) -> RegisteredOrder:
    return await register_order(
        world.pool,
        reference=reference,
        amount=Money(minor, "EUR"),
        requests=[key_of(number) for number in numbers],
        metadata=metadata or {},
        endpoints=world.parts.endpoints,
        now=world.parts.now(),
    )


async def track(world: World, number: int, reference: str | None = None) -> RegisteredRequest:
    return await register_request(
        world.pool,
        key=key_of(number),
        reference=reference,
        endpoints=world.parts.endpoints,
        now=world.parts.now(),
    )


async def members(world: World, reference: str) -> list[str]:
    rows = await world.rows(
        "select provider_id from requests join orders on orders.id = order_id"
        " where orders.reference = %s order by 1",
        reference,
    )
    return [row["provider_id"] for row in rows]


async def order_messages(world: World, reference: str) -> list[tuple[str, int]]:
    return [
        (message["type"], message["data"]["sequence"])
        for message in await world.messages()
        if message["type"].startswith("order.") and message["data"]["reference"] == reference
    ]


async def test_a_new_order_is_made_unpaid_told_and_its_requests_are_read(world: World) -> None:
    world.provider.shows(order(1))

    made = await register(world, "INV-1043", 1)
    assert await order_messages(world, "INV-1043") == [("order.unpaid", 1)]
    await world.sync()

    assert made.created
    assert await members(world, "INV-1043") == [order_id(1)]
    assert await order_messages(world, "INV-1043") == [("order.unpaid", 1), ("order.paid", 2)]
    (message,) = [m for m in await world.messages() if m["type"] == "payment_request.paid"]
    assert message["data"]["reference"] == "INV-1043"
    assert message["data"]["order_id"] == made.order_id


async def test_the_same_content_again_is_the_same_order(world: World) -> None:
    first = await register(world, "INV-1043", 1, 2, metadata={"b": 1, "a": [2]})

    again = await register(world, "INV-1043", 2, 1, metadata={"a": [2], "b": 1})

    assert (again.order_id, again.created) == (first.order_id, False)
    assert await order_messages(world, "INV-1043") == [("order.unpaid", 1)]


@pytest.mark.parametrize("other", ["amount", "requests", "metadata"])
async def test_other_content_under_the_same_reference_is_a_conflict(
    world: World, other: str
) -> None:
    await register(world, "INV-1043", 1)

    with pytest.raises(Conflict):
        await register(
            world,
            "INV-1043",
            *((1, 2) if other == "requests" else (1,)),
            minor=4001 if other == "amount" else 4000,
            metadata={"x": 1} if other == "metadata" else {},
        )

    assert (await world.order())["amount"] == 4000
    assert await world.request(2) is None


async def test_an_order_known_only_by_discovery_is_adopted(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    discovered = await world.order()

    made = await register(world, minor=5000)

    of_order = await world.order()
    assert (made.created, made.order_id) == (True, discovered["id"])
    assert (of_order["registered"], of_order["status"]) == (True, "part_paid")
    assert await order_messages(world, "INV-1043") == [("order.paid", 1), ("order.part_paid", 2)]


async def test_an_adoption_that_changes_nothing_is_not_told(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)

    assert (await register(world)).created

    assert await order_messages(world, "INV-1043") == [("order.paid", 1)]


async def test_a_request_registered_after_its_money_came_counts_at_once(world: World) -> None:
    world.provider.shows(order(1, reference=None))
    await world.read(1)

    await register(world, "INV-7", 1)

    of_order = await world.order("INV-7")
    assert (of_order["status"], of_order["received"]) == ("paid", 4000)
    request = await world.request(1)
    assert request is not None
    assert (request.registered, request.reference) == (True, "INV-7")


async def test_a_request_of_another_registered_order_is_a_conflict_and_stays(
    world: World,
) -> None:
    await register(world, "INV-1", 1)

    with pytest.raises(Conflict, match="INV-1"):
        await register(world, "INV-2", 1, 2)
    with pytest.raises(Conflict, match="INV-1"):
        await track(world, 1, "INV-2")

    assert await members(world, "INV-1") == [order_id(1)]
    assert await world.value("select count(*) from orders") == 1
    assert await world.value("select count(*) from requests") == 1


async def test_a_request_taken_from_a_discovered_order_rolls_up_both(world: World) -> None:
    world.provider.shows(order(1, reference="GUESSED"))
    await world.read(1)

    await register(world, "INV-1", 1)

    assert await order_messages(world, "GUESSED") == [("order.paid", 1), ("order.unpaid", 2)]
    assert await order_messages(world, "INV-1") == [("order.paid", 1)]
    assert (await world.order("GUESSED"))["received"] == 0


async def test_a_request_is_tracked_once_and_put_under_the_order_it_names(world: World) -> None:
    world.provider.shows(order(1, reference=None))

    first, again = await track(world, 1, "INV-1"), await track(world, 1, "INV-1")
    await world.sync()

    assert (first.created, again.created) == (True, False)
    assert first.request_id == again.request_id
    assert (await world.order("INV-1"))["status"] == "paid"


async def test_tracking_without_a_reference_leaves_the_order_to_the_provider(
    world: World,
) -> None:
    world.provider.shows(order(1))

    assert (await track(world, 1)).created
    await world.sync()

    assert await members(world, "INV-1043") == [order_id(1)]


async def test_a_request_that_was_never_read_has_no_time_of_observation(world: World) -> None:
    await track(world, 1, "INV-1")

    assert await world.value("select observed_at from requests") is None


async def test_two_registrations_of_one_order_at_once_make_one(world: World) -> None:
    made = await asyncio.gather(*(register(world, "INV-1", 1, 2) for _ in range(6)))

    assert sorted(registered.created for registered in made) == [False] * 5 + [True]
    assert len({registered.order_id for registered in made}) == 1
    assert await order_messages(world, "INV-1") == [("order.unpaid", 1)]


async def test_a_registration_waits_for_the_rows_of_a_read_and_sees_its_money(
    world: World,
) -> None:
    """Registering moves a request whose payment is recorded at the same instant, 100 times."""
    numbers = range(1, 101)
    await world.run(
        "insert into requests (id, account, kind, provider_id, status, provider_status,"
        " currency, amount, sequence, version, lease_no)"
        " select 'prq_' || n, 'ginger-nl', 'order', lpad(n::text, 8, '0')"
        " || '-0000-4000-8000-000000000000', 'open', 'new', 'EUR', 4000, 1, 1, 1"
        " from generate_series(1, 100) as n"
    )
    world.provider.shows(*(order(number, reference=f"GUESSED-{number}") for number in numbers))
    seen = await looks_at(world, numbers)

    for number, one in zip(numbers, seen, strict=True):
        await asyncio.gather(judge([one], world.parts), register(world, f"INV-{number}", number))

    found = await world.rows(
        "select status, received, count(*) from orders where registered group by 1, 2"
    )
    assert found == [{"status": "paid", "received": 4000, "count": 100}]
    strays = "select count(*) from orders where not registered and received > 0"
    assert await world.value(strays) == 0


async def looks_at(world: World, numbers: Sequence[int]) -> list[Look]:
    """Claim and read orders in the order of their numbers, and record nothing."""
    await world.trigger(*numbers)
    async with unit_of_work(world.pool) as work:
        claims = await work.due.claim(len(numbers))
    claims.sort(key=lambda claim: claim.provider_id)
    return [await look(claim, known=Known(), parts=world.parts) for claim in claims]


async def test_orders_and_reads_over_the_same_requests_never_fail_each_other(
    world: World,
) -> None:
    """Registrations and reads of overlapping requests at once, in different orders."""
    world.provider.shows(*(order(n, reference=f"INV-{n % 4}") for n in range(1, 9)))

    for turn in range(10):
        seen = await looks_at(world, range(1, 9))
        registering = [register(world, f"INV-{n}", n + 4, n) for n in (turn % 4, 3 - turn % 4)]
        results = await asyncio.gather(
            judge(seen[::2], world.parts),
            judge(seen[::-2], world.parts),
            *registering,
            return_exceptions=True,
        )
        assert not [failure for failure in results if isinstance(failure, Unavailable)]
        await world.let_time_pass()

    assert await world.value("select sum(received) from orders") == 8 * 4000


async def test_a_reference_may_be_any_text_that_can_be_stored(world: World) -> None:
    wild = "RG/2026\\'%s ünïcödé 🧾 \" --"

    made = await register(world, wild)

    assert (await world.order(wild))["id"] == made.order_id


async def test_a_registered_reference_stands_whatever_the_provider_says(world: World) -> None:
    await track(world, 1, "INV-1")
    world.provider.shows(order(1, reference="ELSEWHERE"))

    await world.sync()

    request = await world.request(1)
    assert request is not None
    assert (request.reference, request.order_id) == ("INV-1", (await world.order("INV-1"))["id"])


async def test_a_key_of_another_account_is_another_request(world: World) -> None:
    await track(world, 1, "INV-1")
    other = await register_request(
        world.pool,
        key=Key("ginger-be", key_of(1).kind, order_id(1)),
        reference="INV-1",
        endpoints=(),
        now=world.parts.now(),
    )

    assert other.created
    assert replace(key_of(1), account="ginger-be") != key_of(1)
    assert len(await members(world, "INV-1")) == 2
