"""Every night each account is reconciled once, by whichever beat comes first."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from structlog.testing import capture_logs

from service.flow.look import SyncParts
from service.storage.database import Pool
from tests.flow.surroundings import PATIENCE_SECONDS, eventually
from tests.flow.test_sweep import page
from tests.flow.world import ACCOUNT, World, order, world_on
from workers.nightly import Nightly, last_night

NIGHT = datetime(2026, 11, 20, 2, 30, tzinfo=UTC)
AT = time(2, 30)
DAYS = 7


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    """A world with one account, whose provider lists nothing."""
    async with world_on(pool) as made:
        only = {ACCOUNT: made.account}
        made.provider.pages = [page() for _ in range(2 * DAYS)]
        yield replace(made, parts=replace(made.parts, accounts=only))


def at(world: World, after: timedelta) -> SyncParts:
    """The parts of a sync so long after the time of the night."""
    return replace(world.parts, now=lambda: NIGHT + after)


async def runs(world: World) -> list[tuple[str, bool]]:
    rows = await world.rows("select asked, finished_at is not null as done from reconciles")
    return [(row["asked"], row["done"]) for row in rows]


def test_last_night_is_today_once_the_time_has_come() -> None:
    minute = timedelta(minutes=1)

    assert last_night(AT, now=NIGHT) == NIGHT
    assert last_night(AT, now=NIGHT + minute) == NIGHT
    assert last_night(AT, now=NIGHT - minute) == NIGHT - timedelta(days=1)


async def test_a_night_is_reconciled_once_whichever_beat_comes_first(world: World) -> None:
    for after in (timedelta(minutes=1), timedelta(minutes=2)):
        await Nightly(at(world, after), at=AT).reconcile_if_due(AT)

    assert await runs(world) == [("nightly 2026-11-20T02:30:00.000Z", True)]
    assert len(world.provider.calls) == DAYS


async def test_drift_of_the_night_is_repaired_and_a_person_is_told(world: World) -> None:
    world.provider.shows(order(1, "order_new"))
    await world.read(1)
    await world.run("update requests set updated_at = %s, first_seen_at = %s", *[NIGHT_BEFORE] * 2)
    world.provider.shows(order(1, minute=9))

    with capture_logs() as logs:
        await Nightly(at(world, timedelta(minutes=1)), at=AT).reconcile_if_due(AT)

    assert await world.status(1) == "paid"
    (alarm,) = [line for line in logs if line["log_level"] == "error"]
    assert (alarm["event"], alarm["account"]) == ("account.drifted", ACCOUNT)
    assert (alarm["compared"], alarm["missed"]) == (1, 1)


async def test_a_night_without_drift_alarms_nobody(world: World) -> None:
    with capture_logs() as logs:
        await Nightly(at(world, timedelta(minutes=1)), at=AT).reconcile_if_due(AT)

    assert await runs(world) == [("nightly 2026-11-20T02:30:00.000Z", True)]
    assert [line for line in logs if line["log_level"] == "error"] == []


NIGHT_BEFORE = NIGHT - timedelta(days=1)


async def test_a_beat_that_starts_late_begins_no_night_but_goes_on_with_one(world: World) -> None:
    late = Nightly(at(world, timedelta(hours=5)), at=AT)

    await late.reconcile_if_due(AT)
    assert await runs(world) == []

    world.provider.pages = [*(page() for _ in range(DAYS - 1)), 503]
    await Nightly(at(world, timedelta(minutes=1)), at=AT).reconcile_if_due(AT)
    assert [done for _, done in await runs(world)] == [False]

    world.provider.pages = [page()]
    await late.reconcile_if_due(AT)
    assert [done for _, done in await runs(world)] == [True]


async def test_a_provider_that_is_away_is_left_alone_for_a_while(world: World) -> None:
    nightly = Nightly(at(world, timedelta(minutes=1)), at=AT)
    world.provider.pages = [503]

    await nightly.reconcile_if_due(AT)
    calls = len(world.provider.calls)
    await nightly.reconcile_if_due(AT)

    assert len(world.provider.calls) == calls == 1


async def test_the_loop_reconciles_and_ends_when_told(world: World) -> None:
    parts = at(world, timedelta(minutes=1))
    running = asyncio.create_task(Nightly(parts, at=AT).run())

    async def is_done() -> bool:
        return [done for _, done in await runs(world)] == [True]

    await eventually(is_done)
    parts.stopping.set()
    await asyncio.wait_for(running, PATIENCE_SECONDS)


async def test_with_never_there_is_no_night(world: World) -> None:
    await asyncio.wait_for(Nightly(world.parts, at=None).run(), PATIENCE_SECONDS)

    assert await runs(world) == []
