"""References at a provider that takes letters and digits only, matched where one order is meant."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.flow.judge import judge
from service.flow.look import Known, look
from service.storage.database import Pool
from service.storage.unit_of_work import unit_of_work
from tests.flow.ing_world import IngWorld, ginger_key, ing_key, ing_world_on
from tests.flow.persons import link, members_of, register, track

AMBIGUOUS = ["reference_ambiguous"]


@pytest.fixture
async def world(emptied: Pool) -> AsyncIterator[IngWorld]:
    async with ing_world_on(emptied) as made:
        yield made


async def test_what_is_left_of_one_orders_reference_names_that_order(world: IngWorld) -> None:
    await register(world.parts, "INV-2026/1043", 4000)
    world.ing_shows(1, "INV20261043", 40.0)

    await track(world.parts, ing_key(1))
    await world.sync()

    assert await world.orders() == {"INV-2026/1043": ("paid", 4000)}
    (row,) = await world.rows("select reference, linked_by from requests")
    assert row == {"reference": "INV-2026/1043", "linked_by": "reference"}


async def test_later_reads_keep_the_whole_reference(world: IngWorld) -> None:
    await register(world.parts, "INV-1043", 4000)
    world.ing_shows(1, "INV1043")
    await world.read(ing_key(1))
    world.ing_shows(1, "INV1043", 40.0)
    await world.read(ing_key(1))
    await world.read(ing_key(1))

    assert await world.rows("select reference from requests") == [{"reference": "INV-1043"}]
    assert await world.orders() == {"INV-1043": ("paid", 4000)}


async def test_an_order_of_exactly_that_reference_comes_before_all_others(world: IngWorld) -> None:
    for reference in ("INV-1043", "INV1043", "INV/1043"):
        await register(world.parts, reference, 4000)
    world.ing_shows(1, "INV1043", 40.0)

    await world.read(ing_key(1))

    assert (await world.orders())["INV1043"] == ("paid", 4000)
    assert await world.attention(ing_key(1)) == []


async def test_where_several_orders_may_be_meant_a_person_decides(world: IngWorld) -> None:
    for reference in ("INV-1043", "INV/1043"):
        await register(world.parts, reference, 4000)
    world.ing_shows(1, "INV1043", 40.0)

    await world.read(ing_key(1))
    await world.read(ing_key(1))
    assert await world.attention(ing_key(1)) == AMBIGUOUS
    unpaid = ("unpaid", 0)
    assert await world.orders() == {"INV-1043": unpaid, "INV/1043": unpaid}
    await link(world.parts, ing_key(1), "INV/1043")
    await world.sync()

    assert await world.attention(ing_key(1)) == []
    assert (await world.orders())["INV/1043"] == ("paid", 4000)


async def test_a_provider_that_takes_every_character_is_taken_at_its_word(
    world: IngWorld,
) -> None:
    await register(world.parts, "INV-1043", 4000)
    world.ginger_shows(1, "INV1043")

    await world.read(ginger_key(1))

    assert await world.orders() == {"INV-1043": ("unpaid", 0), "INV1043": ("paid", 4000)}


async def test_a_field_that_takes_every_character_is_taken_at_its_word(emptied: Pool) -> None:
    async with ing_world_on(emptied, reference_from="description") as world:
        await register(world.parts, "Invoice-1", 4000)
        world.ing_shows(1, "Invoice1", 40.0)
        path = f"/payment-requests/{ing_key(1).provider_id}"
        world.wire.bodies[path] |= {"description": "Invoice1"}

        await world.read(ing_key(1))

        assert (await world.orders())["Invoice-1"] == ("unpaid", 0)


async def test_an_order_registered_later_adopts_the_request_and_its_money_counts_once(
    world: IngWorld,
) -> None:
    world.ing_shows(1, "INV1043", 40.0)
    await world.read(ing_key(1))
    assert await world.orders() == {"INV1043": ("paid", 4000)}

    await register(world.parts, "INV-1043", 4000)
    await world.read(ing_key(1))

    assert await world.orders() == {"INV1043": ("unpaid", 0), "INV-1043": ("paid", 4000)}
    assert await world.told("INV1043") == ["order.paid", "order.unpaid"]
    assert await world.told("INV-1043") == ["order.paid"]


async def test_a_later_order_adopts_no_request_of_exactly_another_reference(
    world: IngWorld,
) -> None:
    """One that names it at a provider that takes all, one that the ERP named so, and one moved."""
    world.ginger_shows(1, "INV1043")
    world.ing_shows(2, "INV1043", 40.0)
    world.ing_shows(3, "OTHER", 40.0)
    world.ing_shows(4, "INV1043", 40.0)
    await track(world.parts, ing_key(2), "INV1043")
    await world.read(ginger_key(1), ing_key(2), ing_key(3), ing_key(4))
    await link(world.parts, ing_key(4), "OTHER")

    await register(world.parts, "INV-1043", 4000)

    assert await members_of(world.parts, "INV-1043") == []
    assert (await world.orders())["INV1043"] == ("paid", 8000)


async def test_the_second_of_two_orders_that_may_be_meant_adopts_nothing(world: IngWorld) -> None:
    await register(world.parts, "INV-1043", 4000)
    world.ing_shows(1, "INV1043", 40.0)
    await world.read(ing_key(1))

    await register(world.parts, "INV/1043", 4000)

    assert (await world.orders())["INV-1043"] == ("paid", 4000)
    assert (await world.orders())["INV/1043"] == ("unpaid", 0)


async def test_an_order_of_exactly_that_reference_ends_the_doubt(world: IngWorld) -> None:
    for reference in ("INV-1043", "INV/1043"):
        await register(world.parts, reference, 4000)
    world.ing_shows(1, "INV1043", 40.0)
    await world.read(ing_key(1))

    await register(world.parts, "INV1043", 4000)

    assert (await world.orders())["INV1043"] == ("paid", 4000)
    assert await world.attention(ing_key(1)) == []


async def test_a_registration_and_a_read_at_the_same_instant_always_find_each_other(
    world: IngWorld,
) -> None:
    """Twenty orders are registered while the first read of their requests is recorded."""
    numbers = range(1, 21)
    for number in numbers:
        world.ing_shows(number, f"INV{number}", 40.0)
        await track(world.parts, ing_key(number))
    async with unit_of_work(world.parts.pool) as work:
        claims = await work.due.claim(50)
    looks = [await look(claim, known=Known(), parts=world.parts) for claim in claims]

    for one in looks:
        number = int(one.claimed.provider_id)
        await asyncio.gather(
            judge([one], world.parts), register(world.parts, f"INV-{number}", 4000)
        )

    orders = await world.orders()
    assert [orders[f"INV-{number}"] for number in numbers] == [("paid", 4000)] * 20
    assert sum(received for _, received in orders.values()) == 20 * 4000


async def test_among_many_orders_the_one_that_is_meant_is_found_by_the_index(
    world: IngWorld,
) -> None:
    async with world.parts.pool.connection() as connection:
        await connection.execute(
            "insert into orders (id, reference, registered, currency, amount)"
            " select 'ord_' || n, 'INV-2026/' || n, true, 'EUR', 4000"
            " from generate_series(1, 20000) as n"
        )
        await connection.execute("analyze orders")
        cursor = await connection.execute(
            "explain select id from orders where registered"
            " and regexp_replace(reference, '[^A-Za-z0-9]', '', 'g') = 'INV202677'"
        )
        plan = str(await cursor.fetchall())
    async with unit_of_work(world.parts.pool) as work:
        found = await work.orders.reading(["INV202677"])

    assert "orders_by_stripped_reference" in plan
    assert [order.reference for order in found["INV202677"]] == ["INV-2026/77"]
