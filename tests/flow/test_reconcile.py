"""Reconcile: drift of each class found and repaired, a window gone on with, one run at a time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service.domain.drift import DriftClass
from service.errors import Unavailable
from service.flow.reconcile import Told, reconcile
from service.storage.reconciles import Ask, Run
from service.storage.unit_of_work import unit_of_work
from tests.flow.test_sweep import page
from tests.flow.world import ACCOUNT, World, order, order_id

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
        table: await world.rows(f"select t::text from {table} as t order by 1")  # noqa: S608
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
    found = await world.rows(
        "select distinct observed_by from transitions where subject = 'request' and sequence > 1"
    )
    assert found == [{"observed_by": "operator"}]
