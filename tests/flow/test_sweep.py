"""Looking through a provider's list for what no webhook announced."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import httpx
import pytest

from service.flow.sweep import sweep
from service.storage.unit_of_work import unit_of_work
from service.storage.windows import Windows
from tests.flow.world import ACCOUNT, World, order, order_id

EVERY = timedelta(minutes=5)


def page(*orders: dict[str, object]) -> httpx.Response:
    """A page of the list: a plain array."""
    return httpx.Response(200, json=list(orders))


async def swept(world: World, lookback: timedelta = timedelta(hours=1)) -> int:
    return await sweep(world.parts, every=EVERY, lookback=lookback)


async def windows(world: World, account: str = ACCOUNT) -> Sequence[dict[str, object]]:
    return await world.rows(
        "select since, until, cursor, finished_at is not null as finished, found, pages,"
        " greatest(leased_until - now(), '0 s') as wait"
        " from windows where account = %s order by id",
        account,
    )


async def begin_window(world: World, length: timedelta) -> None:
    """Leave a window behind that has as many pages as it has days."""
    await world.run(
        "insert into windows (account, since, until) values (%s, now() - %s, now())",
        ACCOUNT,
        length,
    )


@pytest.fixture
def alone(world: World) -> World:
    """The world with one account only."""
    only = {ACCOUNT: world.account}
    return replace(world, parts=replace(world.parts, accounts=only))


async def test_what_no_webhook_announced_is_found_and_told(alone: World) -> None:
    alone.provider.shows(order(1))
    alone.provider.pages = [page(order(1))]

    assert await swept(alone) == 1
    await alone.sync()

    (message, _) = await alone.messages()
    assert message["data"]["observed_by"] == "sweep"
    (window,) = await windows(alone)
    assert (window["finished"], window["found"]) == (True, 1)


async def test_only_news_is_triggered(alone: World) -> None:
    """Of four listed orders two are unknown or newer; the others stand as recorded."""
    known = [order(1, minute=5), order(2, minute=5)]
    alone.provider.shows(*known)
    await alone.read(1, 2)
    alone.provider.pages = [page(known[0], order(2, minute=6), order(3), order(1, minute=4))]

    assert await swept(alone) == 2

    wanted = {number: (await alone.due(number))["wanted"] for number in (1, 2, 3)}
    assert wanted == {1: 1, 2: 2, 3: 1}


async def test_the_list_vouches_for_an_id_that_only_a_webhook_named(alone: World) -> None:
    await alone.trigger(1)
    assert (await alone.due(1))["urgency"] == 2
    alone.provider.pages = [page(order(1))]

    assert await swept(alone) == 1

    assert (await alone.due(1))["urgency"] == 1


async def test_a_window_begins_when_its_time_has_come_and_overlaps_the_last(alone: World) -> None:
    alone.provider.pages = [page(), page()]
    await swept(alone)
    assert await swept(alone) == 0
    assert len(await windows(alone)) == 1
    await alone.run("update windows set until = until - interval '5 min'")

    await swept(alone)

    first, second = await windows(alone)
    assert isinstance(first["until"], datetime)
    assert second["since"] == first["until"] - timedelta(minutes=10)
    assert second["finished"]


async def test_after_an_outage_the_whole_gap_is_looked_through_oldest_first(alone: World) -> None:
    alone.provider.pages = [page()]
    await swept(alone)
    await alone.run("update windows set until = until - interval '3 days'")
    alone.provider.pages = [page(order(number)) for number in (4, 3, 2, 1)]

    assert await swept(alone) == 4

    shown = await windows(alone)
    assert [window["found"] for window in shown] == [0, 1, 1, 1, 1]
    for earlier, later in pairwise(shown):
        assert isinstance(earlier["until"], datetime)
        assert later["since"] == earlier["until"] - timedelta(minutes=10)
        assert later["finished"]
    found = await alone.rows("select provider_id from due order by due_at")
    assert [row["provider_id"] for row in found] == [order_id(number) for number in (4, 3, 2, 1)]


@pytest.mark.parametrize("known", [False, True])
async def test_what_a_page_lists_is_read_in_its_order(alone: World, known: bool) -> None:
    numbers = [3, 1, 4, 5, 9, 2, 6]
    alone.provider.shows(*(order(number) for number in numbers))
    if known:
        await alone.read(*numbers)
    newer = [order(number, minute=2) for number in numbers]
    alone.provider.pages = [page(*newer)]
    alone.provider.shows(*newer)

    await swept(alone)
    alone.provider.calls.clear()
    await alone.sync(slots=1)

    assert alone.provider.calls == [order_id(number) for number in numbers]


async def test_a_failed_page_leaves_the_window_open_and_it_goes_on_from_there(
    alone: World,
) -> None:
    await begin_window(alone, timedelta(days=3))
    alone.provider.pages = [page(order(1)), httpx.Response(503)]
    assert await swept(alone) == 1
    (window,) = await windows(alone)
    assert (window["finished"], window["found"]) == (False, 1)
    assert window["cursor"] is not None
    assert window["wait"] == pytest.approx(timedelta(seconds=5), abs=timedelta(seconds=3))
    assert await swept(alone) == 0
    await alone.run("update windows set leased_until = now()")
    alone.provider.calls.clear()
    alone.provider.pages = [page(order(2)), page(order(3)), page(order(4))]

    await swept(alone)

    (window,) = await windows(alone)
    assert (window["finished"], window["found"], window["pages"]) == (True, 4, 4)
    assert len(alone.provider.calls) == 3


async def test_refused_credentials_pause_the_account_from_a_sweep_too(alone: World) -> None:
    alone.provider.pages = [httpx.Response(401)]

    await swept(alone)

    (row,) = await alone.rows("select state, reason from accounts where name = %s", ACCOUNT)
    assert row == {"state": "paused", "reason": "unauthorised"}
    (window,) = await windows(alone)
    assert window["wait"] == pytest.approx(timedelta(seconds=60), abs=timedelta(seconds=3))


async def test_a_list_that_answers_ends_a_pause_that_has_run_out(alone: World) -> None:
    await alone.run("update accounts set state = 'paused', paused_until = now()")
    alone.provider.pages = [page()]

    await swept(alone.with_budget())

    assert await alone.value("select state from accounts where name = %s", ACCOUNT) == "ok"


async def test_one_window_is_claimed_by_one_process(alone: World) -> None:
    async def claim() -> object:
        async with unit_of_work(alone.pool) as work:
            return await Windows(work.connection).claim(
                ACCOUNT, every=EVERY, lookback=timedelta(hours=1)
            )

    claims = await asyncio.gather(*(claim() for _ in range(6)))

    assert len([claim for claim in claims if claim is not None]) == 1


async def test_a_sweeper_that_outlived_its_lease_changes_nothing(alone: World) -> None:
    """The first stalls in a page; the second finishes the window; then the first wakes up."""
    gate = asyncio.Event()

    async def held() -> httpx.Response:
        await gate.wait()
        return page(order(1))

    await begin_window(alone, timedelta(days=3))
    alone.provider.pages = [held]
    stalled = asyncio.create_task(swept(alone))
    await alone.until(lambda: bool(alone.provider.calls))
    await alone.run("update windows set leased_until = now()")
    alone.provider.pages = [page(order(1)), page(), page(), page()]
    assert await swept(alone) == 1
    gate.set()

    assert await stalled == 0
    (window,) = await windows(alone)
    assert (window["finished"], window["found"]) == (True, 1)
    assert (await alone.due(1))["wanted"] == 1


async def test_an_account_that_waits_for_a_page_does_not_hold_up_the_others(world: World) -> None:
    """Whichever account asks first waits until the other one has its page."""
    other_has_page = asyncio.Event()

    async def held() -> httpx.Response:
        await other_has_page.wait()
        return httpx.Response(500)

    async def given() -> httpx.Response:
        other_has_page.set()
        return page(order(1))

    world.provider.pages = [held, given]

    assert await swept(world) == 1

    assert await world.rows("select provider_id from due") == [{"provider_id": order_id(1)}]


async def test_a_bug_in_one_sweep_is_told_when_the_others_have_ended(world: World) -> None:
    async def broken() -> httpx.Response:
        raise NotImplementedError

    async def given() -> httpx.Response:
        await asyncio.sleep(0.05)  # long after the bug
        return page(order(1))

    world.provider.pages = [broken, given]

    with pytest.raises(NotImplementedError):
        await swept(world)

    assert await world.rows("select provider_id from due") == [{"provider_id": order_id(1)}]


async def test_an_answer_that_cannot_be_read_is_asked_for_again_from_the_first_page(
    alone: World,
) -> None:
    await begin_window(alone, timedelta(days=3))
    alone.provider.pages = [page(order(1)), httpx.Response(400)]

    await swept(alone)

    (window,) = await windows(alone)
    assert (window["finished"], window["cursor"]) == (False, None)
    assert window["wait"] == pytest.approx(timedelta(minutes=1), abs=timedelta(seconds=3))


async def test_a_list_without_an_end_is_left_alone_for_an_hour_and_begun_anew(
    alone: World,
) -> None:
    await begin_window(alone, timedelta(days=9))
    alone.provider.pages = [page() for _ in range(4)]
    bounded = replace(alone, parts=replace(alone.parts, pages_max=3))

    await swept(bounded)

    (window,) = await windows(alone)
    assert len(alone.provider.pages) == 1
    assert (window["pages"], window["cursor"], window["finished"]) == (3, None, False)
    assert timedelta(minutes=59) < window["wait"] <= timedelta(hours=1)  # type: ignore[operator]


async def test_a_stopping_process_gives_its_window_back_at_once(alone: World) -> None:
    await begin_window(alone, timedelta(days=3))

    async def told_to_stop() -> httpx.Response:
        alone.parts.stopping.set()
        return page(order(1))

    alone.provider.pages = [told_to_stop]

    assert await swept(alone) == 1

    (window,) = await windows(alone)
    assert (window["finished"], window["wait"]) == (False, timedelta(0))
    assert window["cursor"] is not None
