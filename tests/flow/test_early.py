"""Events that come before what they are about: kept, and bound when that appears."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from service.domain.money import Money
from service.domain.request import Key, Kind, ObservedBy
from service.flow.register import register_order
from service.storage.database import Pool
from service.storage.unit_of_work import unit_of_work
from tests.flow.town import Town, inquiry_key, inquiry_path, order_path, town_on
from tests.flow.world import order, order_id, refund
from tests.providers.bunq_bodies import inquiry
from tests.providers.gocardless_bodies import (
    HERE,
    PAID_BY,
    PAYMENT,
    REQUEST,
    billing_request,
    event,
    payment,
    step,
)

INQUIRY = 2025724
A_DAY_LATER = "update due set first_due_at = first_due_at - interval '1 day'"
FAILING_FOR_A_DAY = "update due set failing_since = now() - interval '1 day'"


@pytest.fixture
async def town(emptied: Pool, shared_url: str) -> AsyncIterator[Town]:
    async with town_on(emptied, shared_url) as made:
        yield made


@pytest.fixture
async def closed_town(emptied: Pool, shared_url: str) -> AsyncIterator[Town]:
    """One whose accounts do not discover."""
    async with town_on(emptied, shared_url, discover=False) as made:
        yield made


async def listed(town: Town, key: Key) -> None:
    """The provider's list names it, as a sweep would find."""
    async with unit_of_work(town.pool) as work:
        await work.due.trigger([key], observed_by=ObservedBy.SWEEP)
    await town.sync()


async def registered(town: Town, key: Key) -> None:
    await register_order(
        town.pool,
        reference="INV-1",
        amount=Money(12500, "GBP"),
        requests=[key],
        metadata={},
        endpoints=[],
        now=datetime.now(UTC),
    )
    await town.sync()


# Ginger


async def test_an_order_that_cannot_be_seen_yet_is_kept_and_bound_once_it_can(town: Town) -> None:
    await town.told_by_ginger(order_id(1))
    assert await town.statuses() == []
    assert await town.due() == [(order_id(1), None)]

    town.shows(order_path(order_id(1)), order(1))
    await town.next_look()

    assert await town.statuses() == [(order_id(1), "paid")]
    assert await town.inbox() == [("accepted", None)]


async def test_an_order_that_appears_after_more_than_a_day_is_bound_by_itself(town: Town) -> None:
    await town.told_by_ginger(order_id(1))
    await town.run(FAILING_FOR_A_DAY)
    await town.next_look()
    assert await town.due() == [(order_id(1), "not_found_at_provider")]

    town.shows(order_path(order_id(1)), order(1))
    await town.next_look()

    assert await town.due() == [(order_id(1), None)]
    assert await town.moves() == ["paid"]


async def test_a_refund_of_an_order_nobody_knows_leads_to_that_order(town: Town) -> None:
    original = order(1, refund_orders=[order_id(2)], minute=3)
    town.shows(order_path(order_id(1)), original)
    town.shows(order_path(order_id(2)), refund(2, of=1))

    await town.told_by_ginger(order_id(2))

    assert await town.statuses() == [(order_id(1), "paid")]
    assert await town.rows("select received, refunded from requests") == [(4000, 1000)]
    assert await town.due() == [(order_id(1), None), (order_id(2), "part_of_another")]


async def test_without_discovery_an_order_waits_parked_and_is_bound_when_it_is_registered(
    closed_town: Town,
) -> None:
    town = closed_town
    town.shows(order_path(order_id(1)), order(1))
    await town.told_by_ginger(order_id(1))
    assert (await town.due(), await town.statuses()) == ([(order_id(1), "unregistered")], [])

    await registered(town, Key("ginger", Kind.ORDER, order_id(1)))

    assert await town.statuses() == [(order_id(1), "paid")]
    assert await town.due() == [(order_id(1), None)]


# GoCardless


async def test_a_payment_without_its_request_is_parked_costs_no_call_and_is_bound(
    town: Town,
) -> None:
    await town.told_by_gocardless(event("confirmed", id="EV1"), event("submitted", id="EV0"))
    assert await town.due() == [(PAYMENT, "unclaimed")]
    assert town.calls == []

    town.shows(HERE, billing_request())
    town.shows(PAID_BY, payment("confirmed"))
    await town.told_by_gocardless(step("fulfilled", id="EV2"))

    assert await town.moves() == ["paid"]
    assert await town.due() == [(REQUEST, None), (PAYMENT, "part_of_another")]
    assert {HERE, PAID_BY} == set(town.calls)


async def test_a_payment_that_nobody_claims_for_a_day_is_set_aside_and_still_bound_later(
    town: Town,
) -> None:
    await town.told_by_gocardless(event("confirmed", id="EV1"))
    await town.run(A_DAY_LATER)
    await town.next_look()
    assert await town.due() == [(PAYMENT, "not_a_billing_request")]
    assert town.calls == []

    town.shows(HERE, billing_request())
    town.shows(PAID_BY, payment("confirmed"))
    await listed(town, Key("gc", Kind.BILLING_REQUEST, REQUEST))

    assert await town.moves() == ["paid"]
    assert await town.due() == [(REQUEST, None), (PAYMENT, "part_of_another")]


async def test_a_billing_request_that_appears_later_is_bound_when_it_is_registered(
    town: Town,
) -> None:
    await town.told_by_gocardless(event("confirmed", id="EV1"), step("fulfilled", id="EV2"))
    await town.run(FAILING_FOR_A_DAY)
    await town.next_look()
    assert await town.due() == [(REQUEST, "not_found_at_provider"), (PAYMENT, "unclaimed")]

    town.shows(HERE, billing_request())
    town.shows(PAID_BY, payment("paid_out"))
    await registered(town, Key("gc", Kind.BILLING_REQUEST, REQUEST))

    assert await town.moves() == ["settled"]
    assert await town.rows("select status, received from orders") == [("settled", 12500)]
    assert await town.due() == [(REQUEST, None), (PAYMENT, "part_of_another")]


# bunq


async def test_an_inquiry_that_cannot_be_seen_yet_is_kept_and_bound_once_it_can(
    town: Town,
) -> None:
    await town.told_by_bunq(id=INQUIRY)
    assert (await town.due(), await town.statuses()) == ([(str(INQUIRY), None)], [])

    town.shows(inquiry_path(INQUIRY), inquiry("pending", id=INQUIRY))
    await town.next_look()

    assert await town.statuses() == [(str(INQUIRY), "open")]


async def test_an_inquiry_that_was_missing_for_a_day_is_bound_when_a_list_names_it(
    town: Town,
) -> None:
    await town.told_by_bunq(id=INQUIRY)
    await town.run(FAILING_FOR_A_DAY)
    await town.next_look()
    assert await town.due() == [(str(INQUIRY), "not_found_at_provider")]

    town.shows(inquiry_path(INQUIRY), inquiry("pending", id=INQUIRY))
    await listed(town, inquiry_key(INQUIRY))

    assert await town.due() == [(str(INQUIRY), None)]
    assert await town.moves() == ["open"]
