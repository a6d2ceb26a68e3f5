"""Claim, read, compare, record: what a trigger leads to, and what stalls and crashes do not."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pytest

from service.domain.request import BelongsTo, ObservedBy
from service.flow.judge import judge
from service.flow.look import Known, Look, look
from service.flow.sync import sync_due
from service.storage.due import CRASHES_MAX, SUSPICIOUS_CRASHES, Claimed
from service.storage.unit_of_work import unit_of_work
from tests.flow.world import ACCOUNT, World, key_of, order, order_id, refund


async def claim(world: World, limit: int = 16) -> list[Claimed]:
    async with unit_of_work(world.pool) as work:
        return await work.due.claim(limit)


async def looked(world: World, claimed: Claimed) -> Look:
    return await look(claimed, known=Known(), parts=world.parts)


async def test_a_webhook_leads_to_one_read_and_the_erp_is_told(world: World) -> None:
    world.provider.shows(order(1))

    await world.read(1)

    assert world.provider.calls == [order_id(1)]
    request, of_order = await world.messages()
    assert (request["type"], request["data"]["sequence"]) == ("payment_request.paid", 1)
    assert request["data"]["observed_by"] == "webhook"
    assert (of_order["type"], of_order["data"]["reference"]) == ("order.paid", "INV-1043")
    assert await world.value("select count(*) from deliveries where state = 'waiting'") == 2


async def test_a_trigger_during_a_read_forces_one_more_read(world: World) -> None:
    async def meanwhile() -> Mapping[str, object]:
        await world.trigger(1)
        return order(1, "order_new")

    world.provider.answers[order_id(1)] = [meanwhile, order(1, minute=2)]
    await world.read(1)

    assert world.provider.asked_for(1) == 2
    assert await world.status(1) == "paid"
    row = await world.due(1)
    assert (row["wanted"], row["done"]) == (2, 2)


async def test_a_read_covers_only_the_triggers_raised_before_it_began(world: World) -> None:
    world.provider.shows(order(1))
    await world.trigger(1, 1)
    (claimed,) = await claim(world)
    seen = await looked(world, claimed)
    await world.trigger(1, 1, 1)

    await judge([seen], world.parts)

    row = await world.due(1)
    assert (row["wanted"], row["done"]) == (5, 2)
    assert row["wait_seconds"] <= 0


async def test_a_hundred_triggers_cost_a_few_reads(world: World) -> None:
    world.provider.shows(order(1))
    started = time.monotonic()

    for _ in range(100):
        await world.read(1)

    # Three at once, then one after a second or more each.
    assert world.provider.asked_for(1) <= 4 + (time.monotonic() - started)
    await world.let_time_pass()
    await world.sync()
    row = await world.due(1)
    assert row["done"] == row["wanted"] == 100


async def test_a_worker_that_outlived_its_lease_changes_nothing(world: World) -> None:
    await world.trigger(1)
    world.provider.shows(order(1, "order_new", minute=1))
    (stalled,) = await claim(world)
    old = await looked(world, stalled)
    await world.let_time_pass()
    world.provider.shows(order(1, minute=1))
    await world.sync()

    await judge([old], world.parts)

    assert await world.status(1) == "paid"
    assert await world.value("select count(*) from observations") == 1
    assert (await world.due(1))["lease_no"] == 2


async def test_a_first_read_that_outlived_its_lease_is_not_recorded(world: World) -> None:
    await world.trigger(1)
    world.provider.shows(order(1))
    (stalled,) = await claim(world)
    old = await looked(world, stalled)
    await world.let_time_pass()
    await claim(world)

    await judge([old], world.parts)

    assert await world.request(1) is None
    assert (await world.due(1))["done"] == 0


async def test_two_leases_of_one_row_in_one_batch_are_one_read(world: World) -> None:
    world.provider.shows(order(1))
    await world.trigger(1)
    (stalled,) = await claim(world)
    await world.let_time_pass()
    (newer,) = await claim(world)

    await judge([await looked(world, stalled), await looked(world, newer)], world.parts)

    assert [message["type"] for message in await world.messages()] == [
        "payment_request.paid", "order.paid"
    ]  # fmt: skip


async def test_recording_again_after_a_commit_without_an_answer_tells_nothing_twice(
    world: World,
) -> None:
    world.provider.shows(order(1))
    await world.trigger(1)
    (claimed,) = await claim(world)
    seen = await looked(world, claimed)

    await judge([seen], world.parts)
    await judge([seen], world.parts)

    assert len(await world.messages()) == 2


async def test_what_a_killed_worker_held_comes_back_when_its_lease_ends(world: World) -> None:
    world.provider.shows(order(1))
    await world.trigger(1)
    await claim(world)
    assert await world.sync() == 0

    await world.run("update due set leased_until = now()")
    await world.sync()

    assert await world.status(1) == "paid"
    assert (await world.due(1))["crashes"] == 0


async def test_a_row_that_ends_its_worker_is_parked_after_eight_crashes(world: World) -> None:
    world.provider.shows(order(1))
    await world.trigger(1)
    await world.run("update due set crashes = %s", CRASHES_MAX)

    await world.sync()

    row = await world.due(1)
    assert world.provider.calls == []
    assert (row["parked"], row["done"]) == ("crashed_too_often", 0)
    assert row["wait_seconds"] == pytest.approx(24 * 3600, abs=5)


async def test_a_row_with_eight_crashes_is_still_tried_by_the_eighth_claim(world: World) -> None:
    world.provider.shows(order(1))
    await world.trigger(1)
    await world.run("update due set crashes = %s", CRASHES_MAX - 1)

    await world.sync()

    assert await world.status(1) == "paid"


async def crash(world: World, poison: int) -> None:
    """Sync as a process that dies, without a word, of the order that is its poison."""

    async def die() -> Mapping[str, object]:
        raise MemoryError

    world.provider.answers[order_id(poison)] = die
    with pytest.raises(MemoryError):
        await world.sync()
    await world.let_time_pass()


async def test_a_poisoned_row_never_takes_its_neighbours_along(world: World) -> None:
    """The neighbours answer slowly, so that each crash of the early ones hits them all."""
    neighbours = range(2, 6)
    world.provider.shows(*(order(number, reference=None) for number in neighbours))
    await world.trigger(1, *neighbours)

    crashes = 0
    while not (await world.due(1))["parked"]:
        await crash(world, 1) if crashes < CRASHES_MAX else await world.sync()
        crashes += 1

    assert crashes == CRASHES_MAX + 1
    assert [await world.status(number) for number in neighbours] == ["paid"] * 4
    assert (await world.due(1))["parked"] == "crashed_too_often"


async def test_suspicious_rows_are_read_one_at_a_time_and_alone(world: World) -> None:
    reading = 0
    together: list[int] = []

    async def slowly(number: int) -> Mapping[str, object]:
        nonlocal reading
        reading += 1
        together.append(reading)
        await asyncio.sleep(0)
        reading -= 1
        return order(number, reference=None)

    for number in range(1, 7):
        world.provider.answers[order_id(number)] = partial(slowly, number)
    await world.trigger(*range(1, 7))
    await world.run(
        "update due set crashes = %s where provider_id > %s", SUSPICIOUS_CRASHES + 1, order_id(3)
    )

    await world.sync()

    assert together == [1, 2, 3, 1, 1, 1]


async def test_a_suspicious_row_is_not_leased_while_it_waits_for_another(world: World) -> None:
    leases: list[int] = []

    async def counted() -> Mapping[str, object]:
        leases.append(await world.value("select count(*) from due where leased_until > now()"))
        return order(1, reference=None)

    world.provider.answers = {order_id(number): counted for number in (1, 2, 3)}
    await world.trigger(1, 2, 3)
    await world.run("update due set crashes = %s", SUSPICIOUS_CRASHES + 1)

    await world.sync()

    assert leases == [1, 1, 1]


class CountingBell(asyncio.Event):
    """Counts how often somebody listens."""

    heard = 0

    async def wait(self) -> bool:  # type: ignore[override]
        self.heard += 1
        return await super().wait()


async def test_a_bell_that_rings_while_all_slots_are_taken_does_not_spin(world: World) -> None:
    gate = asyncio.Event()

    async def held() -> Mapping[str, object]:
        await gate.wait()
        return order(1, reference=None)

    world.provider.answers = {order_id(number): held for number in range(1, 5)}
    await world.trigger(*range(1, 5))
    bell = CountingBell()
    syncing = asyncio.create_task(sync_due(world.parts, slots=4, bell=bell))
    await world.until(lambda: len(world.provider.calls) == 4)
    bell.set()
    for _ in range(200):
        await asyncio.sleep(0)
    gate.set()
    await syncing

    assert bell.heard < 10


async def test_a_bell_has_more_claimed_while_a_slow_read_is_under_way(world: World) -> None:
    gate, bell, recorded = asyncio.Event(), asyncio.Event(), asyncio.Event()
    world = replace(world, parts=replace(world.parts, recorded=recorded.set))

    async def held() -> Mapping[str, object]:
        await gate.wait()
        return order(1, reference=None)

    world.provider.answers[order_id(1)] = held
    world.provider.shows(order(2, reference=None))
    await world.trigger(1)
    syncing = asyncio.create_task(sync_due(world.parts, slots=4, bell=bell))
    await world.until(lambda: bool(world.provider.calls))
    await world.trigger(2)
    bell.set()
    await recorded.wait()
    assert await world.status(2) == "paid"
    assert await world.status(1) is None
    gate.set()
    await syncing


async def test_a_process_that_stops_claims_nothing_more(world: World) -> None:
    world.provider.shows(order(1))
    await world.trigger(1)
    world.parts.stopping.set()

    assert await world.sync() == 0
    assert (await world.due(1))["lease_no"] == 0


async def test_ten_thousand_forged_ids_do_not_delay_a_genuine_webhook(world: World) -> None:
    budgeted = world.with_budget()

    async def paid() -> Mapping[str, object]:
        world.parts.stopping.set()
        return order(1, minute=2)

    world.provider.shows(order(1, "order_new"))
    await budgeted.read(1)
    await world.run(
        "insert into due (account, kind, provider_id, urgency, due_at)"
        " select %s, 'order', lpad(n::text, 8, '0') || '-0000-4000-8000-000000000000', 2,"
        " now() - interval '1 hour' from generate_series(100, 10099) as n",
        ACCOUNT,
    )
    world.provider.answers[order_id(1)] = paid
    await budgeted.read(1)

    assert await world.status(1) == "paid"
    assert world.provider.calls.index(order_id(1), 1) <= 2
    assert len(world.provider.calls) <= 3


async def test_the_id_of_a_refund_triggers_the_original_in_one_transaction(world: World) -> None:
    world.provider.shows(order(1), refund(2, of=1))
    await world.trigger(2)
    (claimed,) = await claim(world)

    await judge([await looked(world, claimed)], world.parts)

    part, original = await world.due(2), await world.due(1)
    assert (part["parked"], part["done"], part["wait_seconds"]) == ("part_of_another", 1, None)
    assert (original["wanted"], original["done"], original["observed_by"]) == (1, 0, "webhook")
    assert await world.request(2) is None


async def test_a_webhook_about_a_known_refund_costs_no_call_for_the_refund(world: World) -> None:
    refunded = order(1, refund_orders=[order_id(2)], flags=["has-refunds"], minute=2)
    world.provider.shows(refunded, refund(2, of=1))
    await world.read(1)
    world.provider.calls.clear()

    await world.read(2)

    assert world.provider.calls == [order_id(1), order_id(2)]
    assert (await world.due(1))["wanted"] == 2


async def test_a_known_part_is_passed_on_without_a_call(world: World) -> None:
    world.provider.shows(order(1, refund_orders=[order_id(2)], minute=2), refund(2, of=1))
    await world.read(1)
    world.provider.calls.clear()
    await world.trigger(2)
    (claimed,) = await claim(world)
    async with unit_of_work(world.pool) as work:
        owner = (await work.requests.owners([claimed.key]))[claimed.key]

    seen = await look(claimed, known=Known(owner), parts=world.parts)

    assert seen.answer == BelongsTo(owner.kind, order_id(1))
    assert world.provider.calls == []


async def test_an_account_unknown_to_this_process_is_left_to_one_that_knows_it(
    world: World,
) -> None:
    world.provider.shows(order(1))
    await world.trigger(1)
    older = replace(world, parts=replace(world.parts, accounts={}))
    await older.sync()
    row = await world.due(1)
    assert (row["parked"], row["done"]) == ("account_not_configured", 0)
    assert row["wait_seconds"] == pytest.approx(300, abs=5)

    await world.let_time_pass()
    await world.sync()

    assert await world.status(1) == "paid"


async def test_an_amount_that_no_column_can_hold_fails_alone(world: World) -> None:
    world.provider.shows(order(1, amount=10**17, reference=None), order(2, reference=None))

    await world.read(1, 2)

    assert await world.request(1) is None
    assert await world.status(2) == "paid"


async def test_an_order_read_by_two_accounts_is_two_requests(world: World) -> None:
    world.provider.shows(order(1))
    other = key_of(1, "ginger-be")
    async with unit_of_work(world.pool) as work:
        await work.due.trigger([other], observed_by=ObservedBy.OPERATOR, known=True)
    await world.read(1)

    mine, others = await world.request(1), await world.request(1, "ginger-be")
    assert mine is not None
    assert others is not None
    assert (mine.id != others.id, mine.key.account) == (True, ACCOUNT)
