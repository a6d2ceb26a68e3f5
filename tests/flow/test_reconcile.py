"""Reconcile: drift of each class found and repaired, a window gone on with, one run at a time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from service.domain.drift import DriftClass
from service.errors import Unavailable
from service.flow.reconcile import Told, reconcile
from service.storage.reconciles import Ask, Run
from tests.flow.test_sweep import page
from tests.flow.world import World, order, order_id, refund

HOUR = timedelta(hours=1)
UNWRITTEN = ("requests", "due", "transitions", "notifications", "observations", "orders", "related")


@dataclass
class Heard:
    """Keeps what a run tells."""

    told: list[Told] = field(default_factory=list)
    compared: list[int] = field(default_factory=list)

    def moved(self, run: Run) -> None:
        self.compared.append(run.compared)

    def found(self, told: Told) -> None:
        self.told.append(told)

    @property
    def drift(self) -> dict[str, DriftClass]:
        return {told.drift.key.provider_id: told.drift.drift for told in self.told}


def ask(*, dry_run: bool = False, name: str = "1h", once: bool = False) -> Ask:
    now = datetime.now(UTC)
    return Ask(name, since=now - HOUR, until=now + timedelta(minutes=1), dry_run=dry_run, once=once)


async def compared(
    world: World, *listed: dict[str, object], wanted: Ask | None = None
) -> tuple[Run, Heard]:
    """Run once; listed is what the provider's list shows."""
    world.provider.pages = [page(*listed)]
    heard = Heard()
    run = await reconcile(world.account, wanted or ask(), parts=world.parts, listener=heard)
    assert run is not None
    return run, heard


async def plant(world: World) -> Sequence[dict[str, object]]:
    """Read six orders, and then have five of them, and a seventh, drift; return the list."""
    first = [order(number, "order_new", reference=f"INV-{number}") for number in (1, 2, 3, 4, 6)]
    world.provider.shows(*first, order(5, reference="INV-5"))
    await world.read(1, 2, 3, 4, 5, 6)
    missed = order(1, reference="INV-1", minute=9)
    announced = order(2, reference="INV-2", minute=9)
    larger = order(3, "order_new", reference="INV-3", amount=4500, minute=9)
    unheard_of = order(7, reference="INV-7")
    world.provider.shows(missed, announced, larger, unheard_of)
    del world.provider.answers[order_id(4)]
    await world.trigger(2)
    return [unheard_of]


EACH_CLASS = {
    order_id(1): DriftClass.MISSED,
    order_id(2): DriftClass.LAGGING,
    order_id(3): DriftClass.CONFLICTING_AMOUNT,
    order_id(4): DriftClass.UNKNOWN_THERE,
    order_id(7): DriftClass.UNKNOWN_HERE,
}


async def contents(world: World) -> dict[str, list[dict[str, Any]]]:
    """Every row of the tables that a dry run leaves alone."""
    return {
        table: await world.rows(f"select t::text from {table} as t order by 1")
        for table in UNWRITTEN
    }


async def test_a_dry_run_finds_each_class_of_drift_and_writes_nothing(world: World) -> None:
    listed = await plant(world)
    before = await contents(world)

    run, heard = await compared(world, *listed, wanted=ask(dry_run=True))

    assert heard.drift == EACH_CLASS
    assert {told.is_repaired for told in heard.told} == {None}
    assert (run.is_finished, run.drifted, run.compared, run.unread) == (True, 5, 7, 0)
    assert await contents(world) == before


async def test_what_the_record_and_the_list_both_lead_to_is_compared_and_told_once(
    world: World,
) -> None:
    world.provider.shows(order(1, "order_new"), order(2, "order_new"))
    await world.read(1, 2)
    await world.run(
        "update requests set updated_at = now() - interval '2 h' where provider_id = %s",
        order_id(2),
    )
    world.provider.shows(*(news := [order(1, minute=9), order(2, minute=9)]))
    world.provider.calls.clear()

    run, heard = await compared(world, *news, *news, wanted=ask(dry_run=True))

    assert [told.drift.key.provider_id for told in heard.told] == [order_id(1), order_id(2)]
    assert (run.drifted, run.compared, run.expected) == (2, 2, 2)
    assert (world.provider.asked_for(1), world.provider.asked_for(2)) == (1, 1)


async def test_a_run_repairs_each_class_and_the_second_finds_nothing(world: World) -> None:
    listed = await plant(world)

    _, first = await compared(world, *listed)
    calls = len(world.provider.calls)
    run, second = await compared(world, *listed)

    assert first.drift == EACH_CLASS
    repaired = {told.drift.key.provider_id for told in first.told if told.is_repaired}
    assert repaired == EACH_CLASS.keys() - {order_id(4)}
    assert (second.told, run.drifted) == ([], 0)
    assert len(world.provider.calls) > calls
    statuses = [await world.status(number) for number in (1, 2, 3, 4, 5, 6, 7)]
    assert statuses == ["paid", "paid", "open", "open", "paid", "open", "paid"]
    causes = await world.rows(
        "select observed_by from transitions as t join requests as r on r.id = t.subject_id"
        " where r.provider_id = any(%s) and t.sequence > 1",
        [order_id(1), order_id(3)],
    )
    assert causes == [{"observed_by": "operator"}] * len(causes)
    assert causes


async def test_an_amount_that_the_provider_shows_otherwise_is_a_conflict_and_mended(
    world: World,
) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    world.provider.shows(order(1, amount=3500, minute=9))

    _, heard = await compared(world)

    (told,) = heard.told
    assert told.drift.drift is DriftClass.CONFLICTING_AMOUNT


async def test_what_is_flagged_already_is_no_news(world: World) -> None:
    """Less money than was confirmed is an older picture: it is flagged and kept."""
    world.provider.shows(order(1))
    await world.read(1)
    world.provider.shows(order(1, "order_new", minute=9))

    _, first = await compared(world)
    _, second = await compared(world)

    assert [told.drift.drift for told in first.told] == [DriftClass.CONFLICTING_AMOUNT]
    assert second.told == []
    request = await world.request(1)
    assert request is not None
    assert "regression_refused" in request.attention


async def test_a_refund_that_is_listed_leads_to_its_order(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    await world.run("update requests set updated_at = now() - interval '2 h'")
    given_back = refund(2, of=1)
    links = [{"id": order_id(2)}]
    world.provider.shows(given_back, order(1, minute=9, refund_orders=links))
    before = len(world.provider.calls)

    run, _ = await compared(world, given_back)

    assert run.compared == 1
    assert order_id(1) in world.provider.calls[before:]


async def test_what_is_not_to_be_discovered_is_no_drift(closed_world: World) -> None:
    closed_world.provider.shows(order(1))

    run, heard = await compared(closed_world, order(1))

    assert (run.is_finished, heard.told) == (True, [])
    assert await closed_world.request(1) is None


async def test_a_word_that_we_do_not_know_is_parked_once(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    world.provider.shows(order(1, status="pondering", minute=9))

    _, first = await compared(world)
    _, second = await compared(world)

    assert [(told.drift.drift, told.drift.word) for told in first.told] == [
        (DriftClass.MISSED, "pondering")
    ]
    assert second.told == []
    assert (await world.due(1))["parked"] == "unmapped_status"


async def test_a_read_that_the_ordinary_road_made_meanwhile_is_no_drift(world: World) -> None:
    world.provider.shows(order(1, "order_new"))
    await world.read(1)

    async def be_overtaken() -> dict[str, object]:
        world.provider.shows(order(1, minute=9))
        await world.read(1)
        return order(1, minute=8)

    world.provider.answers[order_id(1)] = be_overtaken

    _, heard = await compared(world, wanted=ask(dry_run=True))

    assert heard.told == []
    assert await world.status(1) == "paid"


async def test_a_read_that_was_under_way_and_ends_meanwhile_is_no_drift(world: World) -> None:
    world.provider.shows(order(1, "order_new"))
    await world.read(1)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def show_news_late() -> dict[str, object]:
        begun.set()
        await go_on.wait()
        return order(1, minute=9)

    async def be_overtaken() -> dict[str, object]:
        go_on.set()
        await ordinary
        return order(1, "order_new", minute=9)

    world.provider.answers[order_id(1)] = [show_news_late, be_overtaken]
    await world.trigger(1)
    ordinary = asyncio.create_task(world.sync())
    await begun.wait()

    _, heard = await compared(world, wanted=ask(dry_run=True))

    assert heard.told == []
    assert await world.status(1) == "paid"


async def test_one_read_that_fails_is_tried_again_and_then_counted_and_passed(
    world: World,
) -> None:
    world.provider.shows(*(order(number) for number in (1, 2, 3)))
    await world.read(1, 2, 3)
    world.provider.answers[order_id(2)] = [500, order(2)]
    world.provider.answers[order_id(3)] = 500

    run, heard = await compared(world)

    assert (run.is_finished, run.compared, run.unread, heard.told) == (True, 3, 1, [])


@pytest.mark.parametrize("answer", [401, 503])
async def test_a_provider_that_is_away_stops_the_run_where_it_is(world: World, answer: int) -> None:
    numbers = range(1, 31)
    world.provider.shows(*(order(number) for number in numbers))
    await world.read(*numbers)
    for number in range(16, 31):
        world.provider.answers[order_id(number)] = answer

    with pytest.raises(Unavailable):
        await compared(world)
    world.provider.shows(*(order(number) for number in numbers))
    first_again = world.provider.asked_for(1)
    run, heard = await compared(world)

    kept = await world.rows("select compared, lease_no from reconciles")
    assert kept == [{"compared": 30, "lease_no": 2}]
    assert (run.is_finished, heard.compared[0]) == (True, 15)
    assert world.provider.asked_for(1) == first_again


async def test_a_run_that_is_told_to_stop_is_gone_on_with(world: World) -> None:
    numbers = range(1, 31)
    world.provider.shows(*(order(number) for number in numbers))
    await world.read(*numbers)
    stopping = asyncio.Event()
    heard = Heard()
    parts = replace(world.parts, stopping=stopping)

    async def stop() -> dict[str, object]:
        stopping.set()
        return order(3)

    world.provider.answers[order_id(3)] = stop
    stopped = await reconcile(world.account, ask(), parts=parts, listener=heard)
    run, rest = await compared(world)

    assert stopped is not None
    assert (stopped.is_finished, 3 <= stopped.compared < 30) == (False, True)
    assert (run.is_finished, run.compared, rest.compared[0]) == (True, 30, stopped.compared)


async def test_one_run_of_an_account_at_a_time_and_the_other_waits_for_nobody(
    world: World,
) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    others: list[Run | None] = []

    async def try_another() -> dict[str, object]:
        wanted = ask(name="another")
        others.append(await reconcile(world.account, wanted, parts=world.parts, listener=Heard()))
        return order(1)

    world.provider.answers[order_id(1)] = try_another

    run, _ = await compared(world)

    assert (run.is_finished, others) == (True, [None])


async def test_a_narrow_budget_is_waited_for_and_kept(world: World) -> None:
    numbers = range(1, 13)
    world.provider.shows(*(order(number) for number in numbers))
    await world.read(*numbers)
    world.provider.calls.clear()
    asked: list[float] = []
    narrow = world.with_budget()

    async def note_time(number: int) -> dict[str, object]:
        asked.append(asyncio.get_running_loop().time())
        return order(number)

    for number in numbers:
        world.provider.answers[order_id(number)] = partial(note_time, number)
    run, _ = await compared(narrow, wanted=ask(dry_run=True))

    assert (run.is_finished, run.compared, run.unread) == (True, 12, 0)
    in_a_second = max(sum(at <= other < at + 1 for other in asked) for at in asked)
    assert in_a_second <= 5


async def test_a_window_with_two_days_of_list_is_looked_through_in_parts(world: World) -> None:
    world.provider.shows(order(1), order(2))
    now = datetime.now(UTC)
    wanted = Ask("48h", since=now - 47 * HOUR, until=now, dry_run=False)
    world.provider.pages = [page(order(1)), page(order(2))]
    heard = Heard()

    run = await reconcile(world.account, wanted, parts=world.parts, listener=heard)

    assert run is not None
    assert (run.is_finished, set(heard.drift.values())) == (True, {DriftClass.UNKNOWN_HERE})
    assert (await world.status(1), await world.status(2)) == ("paid", "paid")
