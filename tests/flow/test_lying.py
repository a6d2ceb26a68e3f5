"""Webhooks that claim more than a read shows, and reads that show less than we know."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.storage.database import Pool
from tests.flow.town import Town, inquiry_path, order_path, town_on
from tests.flow.world import order, order_id
from tests.providers.bunq_bodies import inquiry, paged
from tests.providers.gocardless_bodies import (
    HERE,
    PAID_BY,
    PAST,
    billing_request,
    event,
    events,
    payment,
    step,
)
from tests.providers.table_bunq import PAYMENTS_PATH

INQUIRY = 2025724


@pytest.fixture
async def town(emptied: Pool, shared_url: str) -> AsyncIterator[Town]:
    async with town_on(emptied, shared_url) as made:
        yield made


def shows_order(town: Town, recorded: str = "order_completed", **changed: Any) -> None:
    town.shows(order_path(order_id(1)), order(1, recorded, **changed))


def shows_payment(town: Town, status: str, *past: object) -> None:
    town.shows(HERE, billing_request())
    town.shows(PAID_BY, payment(status))
    town.shows(PAST, events(*past))


def shows_inquiry(town: Town, file: str, **fields: Any) -> None:
    town.shows(inquiry_path(INQUIRY), inquiry(file, id=INQUIRY, **fields))
    town.shows(PAYMENTS_PATH, paged())


async def repeats(town: Town, count: int = 3) -> list[float]:
    """How long each of the coming looks had to wait, the first one included."""
    waits = [await town.wait_seconds()]
    for _ in range(count - 1):
        await town.next_look()
        waits.append(await town.wait_seconds())
    return waits


def soon(*seconds: float) -> Any:
    return pytest.approx(list(seconds), abs=2.0)


async def attention(town: Town) -> list[str]:
    ((codes,),) = await town.rows("select attention from requests")
    return list(codes)


# A webhook that claims more


async def test_ginger_says_completed_and_still_shows_new(town: Town) -> None:
    shows_order(town, "order_new")
    await town.told_by_ginger(order_id(1), order_status="completed")
    assert await repeats(town) == soon(5, 30, 300)

    shows_order(town, minute=2)
    await town.next_look()

    assert await town.moves() == ["open", "paid"]
    assert await town.rows("select observed_by from transitions where subject = 'request'") == [
        ("webhook",), ("webhook",)
    ]  # fmt: skip


async def test_gocardless_says_confirmed_and_still_shows_submitted(town: Town) -> None:
    shows_payment(town, "pending_submission")
    await town.told_by_gocardless(step("fulfilled", id="EV1"))
    shows_payment(town, "submitted")
    await town.told_by_gocardless(event("confirmed", id="EV2"))
    assert await repeats(town) == soon(5, 30, 300)

    shows_payment(town, "confirmed")
    await town.next_look()

    assert await town.moves() == ["accepted", "processing", "paid"]


async def test_bunq_says_accepted_and_still_shows_pending(town: Town) -> None:
    shows_inquiry(town, "pending")
    await town.told_by_bunq(id=INQUIRY, status="ACCEPTED")
    assert await repeats(town) == soon(5, 30, 300)

    shows_inquiry(town, "accepted")
    await town.next_look()

    assert await town.moves() == ["open", "settled"]


async def test_a_claim_is_repeated_three_times_and_then_left_to_the_plan(town: Town) -> None:
    shows_order(town, "order_new")
    await town.told_by_ginger(order_id(1), order_status="completed")
    for _ in range(3):
        await town.next_look()

    assert await town.wait_seconds() > 80
    assert await town.rows("select observed_by, rereads from due") == [("poll", 0)]
    assert len(town.calls) == 4
    assert await town.moves() == ["open"]


async def test_a_read_that_shows_what_is_claimed_is_not_repeated(town: Town) -> None:
    shows_order(town, "order_new")

    await town.told_by_ginger(order_id(1), order_status="new")

    assert await town.wait_seconds() > 80


async def test_a_claim_of_the_past_does_not_count(town: Town) -> None:
    """The order was missing for a while after the call, and shows up as it was made."""
    hint = {"event": "status_changed", "order_id": order_id(1), "order_status": "completed"}
    await town.told("ginger", hint, received_at=datetime.now(UTC) - timedelta(minutes=11))

    shows_order(town, "order_new")
    await town.next_look()

    assert await town.moves() == ["open"]
    assert await town.wait_seconds() > 80


# Reads that find nothing new, whatever was claimed


async def test_every_provider_that_calls_is_read_again_when_nothing_new_is_found(
    town: Town,
) -> None:
    shows_order(town, "order_new")
    shows_payment(town, "submitted")
    shows_inquiry(town, "pending")
    for number in (1, 2):
        await town.told_by_ginger(order_id(1))
        await town.told_by_gocardless(event("surcharge_fee_debited", id=f"EV{number}"))
        await town.told_by_gocardless(step("fulfilled", id=f"EV1{number}"))
        await town.told_by_bunq(id=INQUIRY)

    rows = await town.rows(
        "select extract(epoch from due_at - now())::float8 from due where parked is null"
    )

    assert [seconds for (seconds,) in rows] == soon(5, 5, 5)


# An older picture after a newer one


@pytest.mark.parametrize(("minute", "flags"), [(4, []), (9, ["regression_refused"])])
async def test_ginger_shows_an_order_open_again(town: Town, minute: int, flags: list[str]) -> None:
    """By its own version an older picture is no contradiction; one that is said to be new is."""
    shows_order(town, minute=5)
    await town.told_by_ginger(order_id(1))
    shows_order(town, "order_new", minute=minute)

    await town.told_by_ginger(order_id(1))

    assert (await town.moves(), await attention(town)) == (["paid"], flags)
    assert await town.wait_seconds() < 3


async def test_gocardless_shows_a_payment_before_its_money_again(town: Town) -> None:
    shows_payment(town, "paid_out")
    await town.told_by_gocardless(step("fulfilled", id="EV1"))
    shows_payment(town, "submitted")

    await town.told_by_gocardless(event("created", id="EV2"))

    assert (await town.moves(), await attention(town)) == (["settled"], ["regression_refused"])
    assert await town.wait_seconds() < 3


@pytest.mark.parametrize(
    ("updated", "flags"),
    [("2025-03-01 09:00:00.000000", []), ("2025-06-01 09:00:00.000000", ["regression_refused"])],
)
async def test_bunq_shows_an_inquiry_pending_again(
    town: Town, updated: str, flags: list[str]
) -> None:
    shows_inquiry(town, "accepted")
    await town.told_by_bunq(id=INQUIRY)
    shows_inquiry(town, "pending", updated=updated)

    await town.told_by_bunq(id=INQUIRY)

    assert (await town.moves(), await attention(town)) == (["settled"], flags)
    assert await town.wait_seconds() < 3


async def test_a_regression_that_mends_itself_stays_flagged_until_a_person_has_seen_it(
    town: Town,
) -> None:
    shows_order(town, minute=5)
    await town.told_by_ginger(order_id(1))
    shows_order(town, "order_new", minute=9)
    await town.told_by_ginger(order_id(1))

    shows_order(town, minute=10)
    await town.next_look()

    assert (await town.moves(), await attention(town)) == (["paid"], ["regression_refused"])
    assert await town.rows("select done = wanted from due") == [(True,)]


# A version from a time to come


async def test_an_order_modified_in_the_future_does_not_make_later_reads_stale(
    town: Town,
) -> None:
    shows_order(town, "order_new", modified="2036-01-01T00:00:00+00:00")
    await town.told_by_ginger(order_id(1))
    assert await attention(town) == ["version_in_future"]

    shows_order(town, minute=5)
    await town.next_look()

    assert (await town.moves(), await attention(town)) == (["open", "paid"], [])
    kept = await town.rows("select verdict, version is null from observations order by read_at")
    assert kept == [("transition", True), ("transition", False)]


async def test_an_inquiry_updated_in_the_future_leaves_the_order_of_reads_to_the_lease(
    town: Town,
) -> None:
    shows_inquiry(town, "pending", updated="2036-01-01 00:00:00.000000")
    await town.told_by_bunq(id=INQUIRY)
    shows_inquiry(town, "accepted", updated="2035-01-01 00:00:00.000000")

    await town.told_by_bunq(id=INQUIRY)

    assert await town.moves() == ["open", "settled"]
    assert "version_in_future" in await attention(town)
