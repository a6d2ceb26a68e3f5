"""What somebody asked to have compared is worked off by whichever worker comes first."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.flow.intervene import have_reconciled
from service.flow.look import SyncParts
from service.storage.database import Pool
from service.storage.views.reconciles import find_reconciles
from tests.flow.test_sweep import page
from tests.flow.world import ACCOUNT, World, order, world_on
from workers.reconciler import Reconciler

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    """A world with one account, whose provider lists nothing in two windows of a day each."""
    async with world_on(pool) as made:
        made.provider.pages = [page() for _ in range(2)]
        only = {ACCOUNT: made.account}
        yield replace(made, parts=replace(made.parts, accounts=only, now=lambda: NOW))


async def ask(world: World, *, dry_run: bool, accounts: Sequence[str] = (ACCOUNT,)) -> list[int]:
    return await have_reconciled(
        world.pool, accounts, since="2d", dry_run=dry_run, by="ops", now=NOW
    )


async def shown(world: World, run_id: int) -> Any:
    (run,) = await find_reconciles(world.pool, [run_id])
    return run


async def drifting(world: World) -> None:
    """Record an order as new that has been paid at the provider since."""
    world.provider.shows(order(1, "order_new"))
    await world.read(1)
    day_before = NOW - timedelta(days=1)
    await world.run("update requests set updated_at = %s, first_seen_at = %s", *[day_before] * 2)
    world.provider.shows(order(1, minute=9))


@pytest.mark.parametrize(("dry_run", "status"), [(True, "open"), (False, "paid")])
async def test_a_worker_works_off_what_was_asked_for_and_the_row_tells_what_came_of_it(
    world: World, dry_run: bool, status: str
) -> None:
    await drifting(world)
    (run_id,) = await ask(world, dry_run=dry_run)
    reconciler = Reconciler(world.parts)

    assert (await reconciler.work_off(), await reconciler.work_off()) == (1, 0)

    run = await shown(world, run_id)
    assert (run["state"], run["compared"], run["drift"]["missed"]) == ("finished", 1, 1)
    assert await world.status(1) == status


async def test_of_several_workers_one_works_it_off(world: World) -> None:
    await ask(world, dry_run=True)
    workers = [Reconciler(world.parts) for _ in range(4)]

    assert sum(await asyncio.gather(*(each.work_off() for each in workers))) == 1
    assert len(await world.rows("select id from reconciles")) == 1


async def test_it_waits_where_another_run_of_the_account_is_under_way(world: World) -> None:
    (run_id,) = await ask(world, dry_run=True)
    await world.run(
        "insert into reconciles (account, asked, dry_run, since, until, leased_until)"
        " values (%s, '7d', false, now() - interval '1 h', now(), now() + interval '1 min')",
        ACCOUNT,
    )

    assert await Reconciler(world.parts).work_off() == 0
    assert (await shown(world, run_id))["state"] == "waiting"


async def test_a_provider_that_is_away_keeps_it_waiting_and_another_worker_goes_on(
    world: World,
) -> None:
    (run_id,) = await ask(world, dry_run=True)
    world.provider.pages = [503]
    first = Reconciler(world.parts)

    assert (await first.work_off(), await first.work_off()) == (0, 0)
    assert (await shown(world, run_id))["state"] == "waiting"
    assert len(world.provider.calls) == 1

    world.provider.pages = [page(), page()]
    assert await Reconciler(world.parts).work_off() == 1


async def test_one_that_was_told_to_stop_begins_nothing(world: World) -> None:
    (run_id,) = await ask(world, dry_run=True)
    parts: SyncParts = replace(world.parts, stopping=asyncio.Event())
    parts.stopping.set()

    assert await Reconciler(parts).work_off() == 0
    assert (await shown(world, run_id))["state"] == "waiting"
