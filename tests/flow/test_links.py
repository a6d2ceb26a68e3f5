"""A payment link and its attempts: one request, whatever comes first, and told so.

The brand of this world does not say at an order which link it was made through, so that only a
read of the link names its attempts.
"""

import asyncio
from typing import Any

import pytest

from service.domain.money import Money
from service.domain.request import Key, Kind, ObservedBy
from service.flow.judge import judge
from service.flow.look import Known, Look, look
from service.flow.register import register_order
from service.storage.unit_of_work import unit_of_work
from tests.flow.world import ACCOUNT, World, key_of, order, order_id, refund

LINK = 900


def link_key(number: int = LINK) -> Key:
    return Key(ACCOUNT, Kind.PAYMENT_LINK, order_id(number))


def link(
    *attempts: int, status: str = "completed", amount: int = 4000, minute: int = 5, **changed: Any
) -> dict[str, Any]:
    """A link that names attempts; what group they are in proves nothing."""
    return {
        "id": order_id(changed.pop("number", LINK)),
        "merchant_order_id": "INV-1043",
        "amount": amount,
        "currency": "EUR",
        "status": status,
        "created": "2026-11-20T14:00:00Z",
        "modified": f"2026-11-20T14:{minute:02d}:00Z",
        "orders": {"new": [order_id(number) for number in attempts]},
        **changed,
    }


def shows_link(world: World, body: dict[str, Any]) -> None:
    world.provider.answers[f"/v1/paymentlinks/{body['id']}"] = body


async def read_link(world: World, number: int = LINK) -> None:
    """Somebody asks for the link, and all that is due is read."""
    async with unit_of_work(world.pool) as work:
        await work.due.trigger([link_key(number)], observed_by=ObservedBy.POLL, known=True)
    await world.sync()


async def newest(world: World) -> dict[str, dict[str, Any]]:
    """The newest message about each request, by the request's id at the provider."""
    told = [m["data"] for m in await world.messages() if "request_id" in m["data"]]
    return {data["provider"]["id"]: data for data in told}


async def told_in_all(world: World) -> int:
    """What an ERP counts that adds up what it was last told of each request."""
    return sum(
        data["received"]["minor"] - data["refunded"]["minor"]
        for data in (await newest(world)).values()
    )


# An attempt that was an order of its own


async def test_an_attempt_recorded_before_its_link_was_known_counts_once(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    assert (await world.order())["received"] == 4000

    shows_link(world, link(1))
    await read_link(world)

    of_order = await world.order()
    assert (of_order["status"], of_order["received"], of_order["sequence"]) == ("paid", 4000, 1)
    assert of_order["attention"] == []
    assert await told_in_all(world) == 4000


async def test_the_erp_is_told_that_the_attempt_is_part_of_another(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    shows_link(world, link(1))

    await read_link(world)

    told = await newest(world)
    attempt, whole = told[order_id(1)], told[order_id(LINK)]
    assert (attempt["status"], attempt["previous_status"]) == ("cancelled", "paid")
    assert (attempt["reason"], attempt["correction"], attempt["final"]) == (
        "part_of_another", True, True
    )  # fmt: skip
    assert (attempt["received"]["minor"], attempt["sequence"]) == (0, 2)
    assert (whole["status"], whole["received"]["minor"]) == ("paid", 4000)
    kinds = [m["type"] for m in await world.messages()]
    assert kinds == [
        "payment_request.paid",
        "order.paid",
        "payment_request.paid",
        "payment_request.cancelled",
    ]


async def test_the_history_of_the_attempt_stays_and_goes_on(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    first = await world.rows("select * from transitions order by recorded_at")
    shows_link(world, link(1))

    await read_link(world)

    rows = await world.rows(
        "select t.* from transitions as t join requests as r on r.id = subject_id"
        " where provider_id = %s order by sequence",
        order_id(1),
    )
    assert rows[0] == next(row for row in first if row["subject"] == "request")
    assert [row["after"]["received"] for row in rows] == [4000, 0]
    assert rows[1]["chained_from"] == rows[0]["hash"]
    read_of_link = await world.value(
        "select answer is not null from observations where id = %s and request_id ="
        " (select id from requests where kind = 'payment_link')",
        rows[1]["observation_id"],
    )
    assert read_of_link is True


async def test_an_attempt_is_never_read_again_by_itself_but_leads_to_its_link(
    world: World,
) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    shows_link(world, link(1))
    await read_link(world)
    world.provider.shows(order(1, refund_orders=[order_id(3)], minute=9), refund(3, of=1))
    calls = len(world.provider.calls)

    await world.read(1)

    assert world.provider.calls[calls] == f"/v1/paymentlinks/{order_id(LINK)}"
    row = await world.due(1)
    assert (row["parked"], row["wait_seconds"]) == ("part_of_another", None)
    assert (await world.order())["refunded"] == 1000
    assert await told_in_all(world) == 3000


async def test_a_failed_attempt_that_nobody_may_retry_any_more_is_ended_too(world: World) -> None:
    world.provider.shows(order(1, "order_error"), order(2))
    await world.read(1)
    assert await world.status(1) == "failed"

    shows_link(world, link(1, 2))
    await read_link(world)

    told = (await newest(world))[order_id(1)]
    assert (told["status"], told["correction"]) == ("cancelled", False)
    assert (await world.order())["status"] == "paid"


async def test_of_an_attempt_that_ended_without_money_there_is_nothing_to_tell(
    world: World,
) -> None:
    world.provider.shows(order(1, "order_expired"), order(2))
    await world.read(1)
    messages = len(await world.messages())

    shows_link(world, link(1, 2))
    await read_link(world)

    request = await world.request(1)
    assert request is not None
    assert (await world.status(1), request.sequence) == ("expired", 1)
    assert len(await world.messages()) == messages + 2


async def test_reading_the_link_again_tells_nothing_twice(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    shows_link(world, link(1))
    await read_link(world)
    messages = await world.messages()

    await read_link(world)

    assert await world.messages() == messages


async def test_an_order_that_was_under_another_reference_loses_what_was_the_links(
    world: World,
) -> None:
    world.provider.shows(order(1, reference="INV-7"))
    await world.read(1)

    shows_link(world, link(1))
    await read_link(world)

    assert (await world.order("INV-7"))["status"] == "unpaid"
    assert (await world.order("INV-7"))["received"] == 0
    assert (await world.order())["received"] == 4000


async def test_a_link_comes_under_the_order_that_its_attempt_was_registered_for(
    world: World,
) -> None:
    world.provider.shows(order(1, reference=None))
    await register(world, "SO-5", key_of(1))
    await world.sync()
    assert (await world.order("SO-5"))["status"] == "paid"

    shows_link(world, link(1))
    await read_link(world)

    of_order = await world.order("SO-5")
    assert (of_order["status"], of_order["received"], of_order["sequence"]) == ("paid", 4000, 2)
    assert (await newest(world))[order_id(LINK)]["reference"] == "SO-5"
    assert await told_in_all(world) == 4000


async def test_an_attempt_registered_after_its_link_was_read_brings_the_link_along(
    world: World,
) -> None:
    world.provider.shows(order(1))
    shows_link(world, link(1))
    await read_link(world)

    await register(world, "SO-5", key_of(1))
    await world.sync()

    assert (await world.order("SO-5"))["status"] == "paid"
    assert (await world.order())["received"] == 0
    assert await told_in_all(world) == 4000


async def test_what_the_erp_said_of_the_link_itself_stands(world: World) -> None:
    world.provider.shows(order(1, reference=None))
    await register(world, "SO-5", key_of(1))
    await world.sync()
    shows_link(world, link(1))
    await register(world, "SO-6", link_key())

    await world.sync()

    assert (await world.order("SO-6"))["status"] == "paid"
    assert (await world.order("SO-5"))["received"] == 0


async def register(world: World, reference: str, key: Key) -> None:
    await register_order(
        world.pool,
        reference=reference,
        amount=Money(4000, "EUR"),
        requests=[key],
        metadata={},
        endpoints=world.parts.endpoints,
        now=world.parts.now(),
    )


async def test_a_stale_read_of_the_link_takes_nothing_over(world: World) -> None:
    world.provider.shows(order(1), order(2, minute=4))
    shows_link(world, link(2, minute=9))
    await read_link(world)
    await world.read(1)
    assert (await world.order())["received"] == 8000

    shows_link(world, link(1, 2, minute=8))
    await read_link(world)
    world.provider.shows(order(1, refund_orders=[order_id(3)], minute=9), refund(3, of=1))
    await world.read(1)

    of_order = await world.order()
    assert (of_order["received"], of_order["refunded"]) == (8000, 1000)
    assert await told_in_all(world) == 7000


async def test_an_order_whose_only_request_was_an_attempt_that_failed_is_owed_again(
    world: World,
) -> None:
    world.provider.shows(order(1, "order_expired", reference="INV-7"), order(2))
    await world.read(1)
    assert (await world.order("INV-7"))["status"] == "closed"

    shows_link(world, link(1, 2))
    await read_link(world)

    of_order = await world.order("INV-7")
    assert (of_order["status"], of_order["rule"]) == ("unpaid", "no_request")


async def test_a_read_that_brings_the_link_nothing_is_still_evidence_for_its_attempt(
    world: World,
) -> None:
    shows_link(world, link(status="new"))
    await read_link(world)
    world.provider.shows(order(1, "order_error"))
    await world.read(1)

    shows_link(world, link(1, status="all_unsuccessful", minute=6))
    await read_link(world)

    assert await world.status(1) == "cancelled"
    kept = await world.rows(
        "select o.verdict, answer is not null as kept from transitions as t"
        " join observations as o on o.id = observation_id"
        " where t.after ->> 'reason' = 'part_of_another'"
    )
    assert kept == [{"verdict": "no_change", "kept": True}]


# Two at the same time


async def looks_at(world: World, *keys: Key) -> list[Look]:
    """Claim and read what is due, and record nothing."""
    async with unit_of_work(world.pool) as work:
        for key in keys:
            await work.due.trigger([key], observed_by=ObservedBy.WEBHOOK, known=False)
        claims = await work.due.claim(50)
    return [await look(claim, known=Known(), parts=world.parts) for claim in claims]


async def test_a_link_and_its_attempt_in_one_batch_are_one_request(world: World) -> None:
    world.provider.shows(order(1))
    shows_link(world, link(1))

    await judge(await looks_at(world, key_of(1), link_key()), world.parts)
    await world.sync()

    assert await world.request(1) is None
    assert (await world.order())["received"] == 4000
    assert [m["type"] for m in await world.messages()] == ["payment_request.paid", "order.paid"]


async def test_an_attempt_that_was_being_read_when_its_link_named_it_is_no_request(
    world: World,
) -> None:
    world.provider.shows(order(1))
    shows_link(world, link(1))
    (of_attempt,) = await looks_at(world, key_of(1))
    await read_link(world)

    await judge([of_attempt], world.parts)
    await world.sync()

    assert await world.request(1) is None
    assert await told_in_all(world) == 4000
    assert (await world.due(1))["parked"] == "part_of_another"


async def test_an_attempt_in_one_batch_with_a_stale_read_of_its_link_is_recorded(
    world: World,
) -> None:
    world.provider.shows(order(1, minute=3), order(2, minute=4))
    shows_link(world, link(2, minute=9))
    await read_link(world)
    shows_link(world, link(1, 2, minute=8))

    await judge(await looks_at(world, key_of(1), link_key()), world.parts)

    assert await world.status(1) == "paid"
    assert (await world.order())["received"] == 8000


async def test_a_refund_of_an_attempt_in_one_batch_with_its_link_is_the_links(
    world: World,
) -> None:
    world.provider.shows(order(1, refund_orders=[order_id(3)]), order(3, amount=1000))
    await world.read(3)
    shows_link(world, link(1))

    await judge(await looks_at(world, key_of(1), link_key()), world.parts)

    key = key_of(3)
    async with unit_of_work(world.pool) as work:
        assert await work.requests.owners([key]) == {key: link_key()}
    of_order = await world.order()
    assert (of_order["received"], of_order["refunded"]) == (4000, 1000)
    assert await told_in_all(world) == 3000


async def test_what_a_look_at_an_attempt_ran_into_is_nothing_once_it_is_taken_over(
    world: World,
) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    world.provider.answers[order_id(1)] = [order(1, status="sleeping", minute=2), order(1)]
    shows_link(world, link(1))
    looks = await looks_at(world, key_of(1)) + await looks_at(world, link_key())

    await judge(looks, world.parts)

    request = await world.request(1)
    assert request is not None
    assert (await world.status(1), request.sequence) == ("cancelled", 2)
    assert (request.parked, request.attention) == (None, frozenset())


@pytest.mark.parametrize("reference", ["INV-1043", "INV-7"])
async def test_links_and_attempts_recorded_at_the_same_instant_always_end_as_one(
    world: World, reference: str
) -> None:
    """Many rounds, each judged by two hands at once, whose order chance decides."""
    rounds = 60
    for number in range(1, rounds + 1):
        world.provider.shows(order(number, reference=f"{reference}-{number}"))
        body = link(number, number=LINK + number, merchant_order_id=f"INV-1043-{number}")
        shows_link(world, body)
        # Looks at rounds before, which are repeated after a while, may be among them.
        attempts = await looks_at(world, key_of(number))
        links = await looks_at(world, link_key(LINK + number))

        await asyncio.gather(judge(attempts, world.parts), judge(links, world.parts))
        await world.sync()

    # What is read often waits a little before the next read: all of it comes to rest.
    async with asyncio.timeout(20):
        while await world.value("select count(*) from due where done < wanted"):
            await world.sync()
    assert await world.value("select sum(received) from orders") == rounds * 4000
    assert await told_in_all(world) == rounds * 4000


# What payers do with a link


async def test_an_error_attempt_reported_after_the_successful_one_changes_nothing(
    world: World,
) -> None:
    world.provider.shows(order(1))
    shows_link(world, link(1))
    await read_link(world)
    messages = await world.messages()

    world.provider.shows(order(2, "order_error", minute=8))
    shows_link(world, link(1, 2, minute=8))
    await world.read(1)
    await read_link(world)

    assert await world.messages() == messages
    assert (await world.order())["status"] == "paid"


async def test_two_tabs_that_both_pay_are_more_than_asked_and_told_as_it_is(world: World) -> None:
    world.provider.shows(order(1), order(2, minute=6))
    shows_link(world, link(1, minute=4))
    await register(world, "SO-5", link_key())
    await world.sync()

    shows_link(world, link(1, 2, minute=7))
    await read_link(world)

    of_order = await world.order("SO-5")
    assert (of_order["status"], of_order["received"]) == ("overpaid", 8000)
    told = (await newest(world))[order_id(LINK)]
    assert (told["status"], told["received"]["minor"]) == ("paid", 8000)
    assert "more_than_asked" in told["attention"]
