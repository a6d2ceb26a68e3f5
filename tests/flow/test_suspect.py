"""A call about an order that nobody knows makes open payment links due, once a minute at most."""

import asyncio
from typing import Any

import pytest

from service.domain.request import Key, Kind, ObservedBy
from service.storage.links import Links
from service.storage.unit_of_work import unit_of_work
from tests.flow.test_links import link, link_key, newest, shows_link, told_in_all
from tests.flow.world import ACCOUNT, World, order, order_id

OPEN = (901, 902)


async def has_links(world: World, *numbers: int, **changed: Any) -> None:
    """Links that were read a while ago and that wait for their next look."""
    for number in numbers:
        body = {"status": "new", "merchant_order_id": f"INV-{number}", **changed}
        shows_link(world, link(number=number, **body))
    async with unit_of_work(world.pool) as work:
        await work.due.trigger(
            [link_key(number) for number in numbers], observed_by=ObservedBy.POLL, known=True
        )
    await world.sync()
    world.provider.calls.clear()


def reads_of(world: World, number: int) -> int:
    return world.provider.calls.count(f"/v1/paymentlinks/{order_id(number)}")


async def let_a_minute_pass(world: World) -> None:
    await world.run("update accounts set links_due_at = links_due_at - interval '61 s'")


async def wait_seconds(world: World, number: int) -> float:
    return float(
        await world.value(
            "select extract(epoch from due_at - now())::float8 from due where provider_id = %s",
            order_id(number),
        )
    )


async def suspect(world: World, account: str = ACCOUNT, *, again: bool = True) -> int:
    async with unit_of_work(world.pool) as work:
        return await Links(work.connection).suspect(account, again=again)


async def test_a_call_about_an_attempt_that_does_not_name_its_link_leads_to_the_link(
    world: World,
) -> None:
    await has_links(world, *OPEN)
    world.provider.shows(order(1, reference="INV-901"))
    paid = link(1, number=901, status="processing", merchant_order_id="INV-901", minute=6)
    shows_link(world, paid)

    await world.read(1)

    assert [reads_of(world, number) for number in OPEN] == [1, 1]
    of_order = await world.order("INV-901")
    assert (of_order["status"], of_order["received"]) == ("paid", 4000)
    assert await told_in_all(world) == 4000
    assert (await newest(world))[order_id(901)]["observed_by"] == "sweep"


async def test_while_no_link_is_open_an_unknown_order_takes_no_turn(world: World) -> None:
    world.provider.shows(order(1, reference="INV-1"), order(2, reference="INV-2"))
    await world.read(1)
    await has_links(world, 901)

    await world.read(2)

    assert reads_of(world, 901) == 1, "the first order left the turn to the second"


@pytest.mark.parametrize("answer", [404, 500, {"id": order_id(1), "status": 7}])
async def test_an_order_that_cannot_be_read_may_be_an_attempt_too(
    world: World, answer: Any
) -> None:
    await has_links(world, 901)
    world.provider.answers[order_id(1)] = answer

    await world.read(1)
    assert reads_of(world, 901) == 1

    await let_a_minute_pass(world)
    await world.run("update due set due_at = now() where provider_id = %s", order_id(1))
    await world.sync()
    assert reads_of(world, 901) == 1


async def test_links_are_read_once_a_minute_however_many_orders_nobody_knows(
    world: World,
) -> None:
    await has_links(world, *OPEN)

    await world.read(*range(1, 20))
    await world.read(*range(20, 40))

    assert [reads_of(world, number) for number in OPEN] == [1, 1]
    assert [50 < await wait_seconds(world, number) <= 60 for number in OPEN] == [True, True]
    await let_a_minute_pass(world)
    await world.let_time_pass()
    await world.sync()
    assert [reads_of(world, number) for number in OPEN] == [2, 2]


async def test_all_workers_together_take_one_turn_a_minute(world: World) -> None:
    await has_links(world, *OPEN)

    for again in (False, True) * 10:
        await let_a_minute_pass(world)
        await world.run("update due set due_at = now() + interval '1 hour'")

        found = await asyncio.gather(*(suspect(world, again=again) for _ in range(8)))

        assert sorted(found) == [0] * 7 + [2]


async def test_links_that_are_new_or_were_read_meanwhile_are_due_with_the_next_turn(
    world: World,
) -> None:
    await has_links(world, 901)
    await suspect(world)
    await suspect(world)
    await has_links(world, *OPEN)
    assert [await wait_seconds(world, number) > 60 for number in OPEN] == [True, True]

    assert await suspect(world, again=False) == 0
    assert await suspect(world) == 2

    assert [50 < await wait_seconds(world, number) <= 60 for number in OPEN] == [True, True]


async def test_a_link_that_is_being_read_in_its_turn_is_read_once_more(world: World) -> None:
    await has_links(world, 901)
    await world.run("update due set due_at = now() where kind = 'payment_link'")
    async with unit_of_work(world.pool) as work:
        (claim,) = await work.due.claim(1)

    assert await suspect(world) == 1
    assert await suspect(world) == 0

    async with unit_of_work(world.pool) as work:
        generation = await work.due.generation(claim.key)
    assert generation == (claim.wanted + 1, claim.wanted)


@pytest.mark.parametrize(
    "change",
    [
        "update requests set final = true, status = 'expired' where kind = 'payment_link'",
        "update due set parked = 'crashed_too_often' where kind = 'payment_link'",
        "update due set due_at = now(), urgency = 0 where kind = 'payment_link'",
    ],
)
async def test_links_that_have_ended_are_parked_or_are_due_anyway_are_left_alone(
    world: World, change: str
) -> None:
    await has_links(world, 901)
    await world.run(change)

    assert await suspect(world) == 0


async def test_the_links_of_another_account_are_left_alone(world: World) -> None:
    await has_links(world, 901)

    assert await suspect(world, "ginger-be") == 0
    assert await suspect(world) == 1


async def test_a_call_about_an_order_that_we_know_leaves_links_alone(world: World) -> None:
    await has_links(world, 901)
    await world.trigger(1, known=True)
    world.provider.shows(order(1))
    await world.sync()
    await world.read(1)

    assert reads_of(world, 901) == 0


async def test_an_order_that_names_its_link_leads_to_that_one_alone(world: World) -> None:
    await has_links(world, *OPEN)
    world.provider.shows(order(1, related_payment_link_id=order_id(902)))

    await world.read(1)

    assert [reads_of(world, number) for number in OPEN] == [0, 1]


async def test_an_order_that_a_list_named_leaves_links_alone(world: World) -> None:
    await has_links(world, 901)
    world.provider.shows(order(1))
    await world.trigger(1, observed_by=ObservedBy.SWEEP)

    await world.sync()

    assert reads_of(world, 901) == 0


async def test_without_discovery_an_attempt_is_still_found_by_its_link(
    closed_world: World,
) -> None:
    world = closed_world
    await has_links(world, 901)
    world.provider.shows(order(1))
    shows_link(world, link(1, number=901, status="processing", minute=6))

    await world.read(1)

    assert await world.request(1) is None
    assert await told_in_all(world) == 4000
    key = Key(ACCOUNT, Kind.ORDER, order_id(1))
    async with unit_of_work(world.pool) as work:
        assert await work.requests.owners([key]) == {key: link_key(901)}
