"""What looking costs against what the budget carries, counted by one for all."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from service.flow.plan import make_plans
from service.settings import Rate
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.storage.unit_of_work import unit_of_work
from tests.flow.listing import ACCOUNT, NorthWorld, north_world_on
from tests.flow.world import World, order

SWEEP = timedelta(minutes=5)
LOOKBACK = timedelta(days=7)


@pytest.fixture
async def narrow(emptied: Pool) -> AsyncIterator[NorthWorld]:
    """Ten calls in a quarter of an hour, seven of them for polls; no list shows anything."""
    async with north_world_on(emptied, limit=Rate(10, 900.0)) as world:
        world.shelf.unlisted = {f"r{number}" for number in range(100)}
        yield world


async def plan(world: NorthWorld | World) -> None:
    await world.run("update poll_plans set next_at = now()")
    await make_plans(world.parts, sweep_every=SWEEP, lookback=LOOKBACK)


async def plan_of(world: NorthWorld | World, account: str = ACCOUNT) -> dict[str, object]:
    (row,) = await world.rows("select * from poll_plans where account = %s", account)
    return row


async def register(world: NorthWorld, count: int) -> None:
    await world.register(*(f"r{number}" for number in range(count)))


async def test_what_fits_is_not_stretched(narrow: NorthWorld) -> None:
    await register(narrow, 7)

    await plan(narrow)

    found = await plan_of(narrow)
    assert (found["planned"], found["possible"]) == pytest.approx((7 / 900, 7 / 900))
    assert found["stretch"] == 1.0


async def test_what_exceeds_the_polls_share_is_stretched_until_it_fits(narrow: NorthWorld) -> None:
    await register(narrow, 63)

    await plan(narrow)

    found = await plan_of(narrow)
    assert found["planned"] == pytest.approx(63 / 900)
    assert found["stretch"] == pytest.approx(63 / 7 / 0.9)
    await narrow.pass_time(timedelta(minutes=17))
    await narrow.sync()
    (row,) = await narrow.rows("select min(paced_seconds) as least from due")
    assert row["least"] == pytest.approx(10 * 900)


async def test_calls_count_and_not_looks(narrow: NorthWorld) -> None:
    narrow.shelf.calls_per_read = 3
    await register(narrow, 10)

    await plan(narrow)

    assert (await plan_of(narrow))["planned"] == pytest.approx(30 / 900)


async def test_what_nobody_looks_at_any_more_costs_nothing(narrow: NorthWorld) -> None:
    await register(narrow, 3)
    await narrow.run("update requests set first_seen_at = now() - interval '61 days'")
    await narrow.pass_time(timedelta(minutes=17))
    await narrow.sync()

    await plan(narrow)

    assert (await plan_of(narrow))["planned"] == 0


async def test_one_process_plans_and_none_again_before_a_minute_has_passed(
    narrow: NorthWorld,
) -> None:
    await register(narrow, 5)
    both = (make_plans(narrow.parts, sweep_every=SWEEP, lookback=LOOKBACK) for _ in range(4))
    await asyncio.gather(*both)
    first = await plan_of(narrow)
    await register(narrow, 50)

    await make_plans(narrow.parts, sweep_every=SWEEP, lookback=LOOKBACK)

    assert await plan_of(narrow) == first
    assert first["planned"] == pytest.approx(5 / 900)


async def test_sweeps_are_planned_with_the_pages_that_they_took_lately(world: World) -> None:
    await world.run(
        "insert into windows (account, since, until, finished_at, pages)"
        " select 'ginger-nl', now(), now() - n * interval '1 min', now(), 3"
        " from generate_series(1, 20) as n"
    )

    await plan(world)

    both = pytest.approx((3 + 1) / 300)
    assert (await plan_of(world, "ginger-nl"))["planned"] == both


async def test_accounts_of_one_key_are_stretched_together(world: World) -> None:
    """Both log in with one key, 5 calls a second together; one of them has all the requests."""
    world.provider.shows(order(1, "order_new"))
    await world.read(1)
    await world.run("update due set calls = 9000")

    await plan(world)

    nl, be = await plan_of(world, "ginger-nl"), await plan_of(world, "ginger-be")
    assert nl["planned"] == be["planned"] == pytest.approx(10 + 2 / 300)
    assert nl["possible"] == be["possible"] == 3.0
    assert nl["stretch"] == be["stretch"] == pytest.approx((10 + 2 / 300) / 3 / 0.9)


async def test_a_walk_that_found_little_as_recorded_is_not_planned_again_for_a_day(
    emptied: Pool,
) -> None:
    async with north_world_on(emptied) as world:
        await register(world, 100)
        await plan(world)
        assert (await plan_of(world))["walk_pages"] == 1
        await world.run(
            "insert into walks (account, finished_at, pages, same, pages_expected, same_expected)"
            " values (%s, now(), 1, 2, 1, 100)",
            ACCOUNT,
        )

        await plan(world)
        assert (await plan_of(world))["walk_pages"] is None

        await world.run("update walks set finished_at = now() - interval '25 hours'")
        await plan(world)
        assert (await plan_of(world))["walk_pages"] == 1


async def test_a_walk_reaches_back_before_we_knew_the_oldest(emptied: Pool) -> None:
    """The first sweep finds requests that are older at the provider than they are with us."""
    async with north_world_on(emptied) as world:
        await register(world, 100)
        for days, reach in ((2, 4), (20, 27)):
            await world.run("update due set first_due_at = now() - %s * interval '1 day'", days)
            await plan(world)

            (row,) = await world.rows("select now() - walk_since as reach from poll_plans")
            assert abs(row["reach"] - timedelta(days=reach)) < timedelta(seconds=5)


async def test_an_account_without_requests_has_a_plan_too(narrow: NorthWorld) -> None:
    other = replace(narrow.parts.accounts[ACCOUNT], name="other")
    parts = replace(narrow.parts, accounts={**narrow.parts.accounts, "other": other})
    async with unit_of_work(narrow.pool) as work:
        await ensure_accounts(work.connection, [("other", "northpay")], end_pauses=False)

    await make_plans(parts, sweep_every=SWEEP, lookback=LOOKBACK)

    assert (await plan_of(narrow, "other"))["planned"] == 0
