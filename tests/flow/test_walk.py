"""Walking through a list that shows statuses, instead of looking at each request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.status import Status
from service.settings import Rate
from service.storage.database import Pool
from tests.flow.listing import NorthWorld, at_once, north_world_on

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def north(emptied: Pool) -> AsyncIterator[NorthWorld]:
    """One page shows ten requests."""
    async with north_world_on(emptied, entries_per_page=10) as world:
        yield world


def names(count: int) -> list[str]:
    return [f"r{number:04d}" for number in range(count)]


async def walk_of(world: NorthWorld) -> dict[str, object]:
    (row,) = await world.rows(
        "select cursor, finished_at is not null as finished, pages, same, news from walks"
    )
    return row


async def test_what_a_read_was_listed_as_is_kept_with_the_request_also_when_nothing_changed(
    north: NorthWorld,
) -> None:
    await north.register("a")
    await north.run("update requests set list_mark = 'older'")

    await north.trigger("a")
    await north.sync()

    (row,) = await north.rows("select listed_id, list_mark, sequence from requests")
    assert row == {"listed_id": "a", "list_mark": "open", "sequence": 1}
    assert (await north.due("a"))["listed"]


async def test_what_the_list_shows_as_recorded_is_looked_at_an_interval_later(
    north: NorthWorld,
) -> None:
    await north.register(*names(12))
    await north.want_walks()
    north.shelf.reads.clear()

    assert await north.sweep() == 0

    assert (north.shelf.reads, north.shelf.pages) == ([], ["", "10"])
    for name in names(12):
        row = await north.due(name)
        assert 0.89 * 900 <= row["wait_seconds"] <= 1.91 * 900
        assert (row["wanted"], row["done"], row["lease_no"]) == (1, 1, 1)
    assert await walk_of(north) == {
        "cursor": None, "finished": True, "pages": 2, "same": 12, "news": 0,
    }  # fmt: skip


async def test_what_is_put_off_is_stretched_like_every_other_turn(north: NorthWorld) -> None:
    await north.register("a")
    await north.want_walks()
    await north.run("update poll_plans set stretch = 4")

    await north.sweep()

    assert 0.89 * 3600 <= (await north.due("a"))["wait_seconds"] <= 1.91 * 3600


async def test_what_the_list_shows_otherwise_is_read_and_only_the_read_changes_a_status(
    north: NorthWorld,
) -> None:
    await north.register("a", "b")
    north.shelf.statuses["b"] = Status.PAID
    await north.want_walks()

    assert await north.sweep() == 1

    (before,) = await north.rows("select status from requests where provider_id = 'b'")
    assert before == {"status": "open"}
    await north.sync()
    (after,) = await north.rows("select status from requests where provider_id = 'b'")
    (told,) = await north.rows("select observed_by from transitions where type like '%%.paid'")
    assert (after["status"], told["observed_by"]) == ("paid", "sweep")


async def test_what_was_never_heard_of_is_read(north: NorthWorld) -> None:
    north.shelf.statuses = {"new": Status.OPEN}
    await north.want_walks()

    assert await north.sweep() == 1

    assert ((await north.due("new"))["urgency"], (await north.due("new"))["observed_by"]) == (
        1, "sweep",
    )  # fmt: skip


async def test_what_is_known_as_a_part_or_only_by_its_key_is_no_news(north: NorthWorld) -> None:
    """A list cannot tell all about "b", and "pay-of-a" is a payment of "a"."""
    north.shelf.unlisted = {"b"}
    await north.register("a", "b")
    await north.run("update related set kind = 'payment_request' where provider_id = 'pay-of-a'")
    north.shelf.statuses |= {"pay-of-a": Status.PAID, "b": Status.PAID}
    before = await north.due("b")
    await north.want_walks()

    assert await north.sweep() == 0

    after = await north.due("b")
    assert (after["due_at"], after["wanted"]) == (before["due_at"], before["wanted"])


@pytest.mark.parametrize(
    "state",
    [
        "wanted = wanted + 1",
        "leased_until = now() + interval '20 s'",
        "errors = 2",
        "parked = 'unmapped_status'",
        "observed_by = 'webhook', urgency = 0",
    ],
)
async def test_a_row_that_waits_for_more_than_its_turn_is_left_alone(
    north: NorthWorld, state: str
) -> None:
    await north.register("a")
    await north.run(f"update due set {state}")
    before = await north.rows("select due::text from due")
    await north.want_walks()

    await north.sweep()

    assert await north.rows("select due::text from due") == before


async def test_a_wait_is_never_made_shorter(north: NorthWorld) -> None:
    await north.register("a")
    await north.run("update due set due_at = now() + interval '5 days'")
    before = await north.due("a")
    await north.want_walks()

    await north.sweep()

    assert (await north.due("a"))["due_at"] == before["due_at"]


async def test_the_looks_that_an_end_asks_for_stay_where_they_are(north: NorthWorld) -> None:
    ends_at = datetime.now(UTC) + timedelta(minutes=3)
    north.shelf.ends_at["a"] = ends_at
    await north.register("a")
    await north.run("update due set due_at = ends_at + interval '2 s'")
    await north.want_walks()

    await north.sweep()

    due_at = (await north.due("a"))["due_at"]
    assert abs(due_at - ends_at - timedelta(seconds=2)) < timedelta(seconds=1)


@asynccontextmanager
async def stalled_walk(world: NorthWorld) -> AsyncIterator[None]:
    """Run the block while a walk waits for a page; then let the page come and the walk end."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def stall() -> None:
        asked.set()
        await go.wait()

    world.shelf.before_answer = stall
    walking = asyncio.create_task(world.sweep())
    await asked.wait()
    world.shelf.before_answer = at_once
    yield
    go.set()
    await walking


async def test_a_trigger_while_the_page_was_on_its_way_is_not_put_off(north: NorthWorld) -> None:
    await north.register("a")
    await north.want_walks()

    async with stalled_walk(north):
        await north.trigger("a")

    assert (await walk_of(north))["same"] == 1
    assert (await north.due("a"))["wait_seconds"] <= 0


async def test_a_walk_goes_on_at_the_page_where_it_broke_off(north: NorthWorld) -> None:
    await north.register(*names(25))
    await north.want_walks()
    north.shelf.breaks = [None, 503]

    await north.sweep()

    assert await walk_of(north) == {
        "cursor": "10", "finished": False, "pages": 1, "same": 10, "news": 0,
    }  # fmt: skip
    await north.sweep()
    assert north.shelf.pages == ["", "10"], "it rests for a while first"
    await north.run("update walks set leased_until = now()")
    await north.sweep()
    assert north.shelf.pages == ["", "10", "10", "20"]
    assert (await walk_of(north))["finished"]


async def test_a_walk_whose_page_cannot_be_read_begins_anew_in_its_time(north: NorthWorld) -> None:
    await north.register(*names(25))
    await north.want_walks()
    north.shelf.breaks = [None, 400]

    await north.sweep()
    await north.sweep()

    assert north.shelf.pages == ["", "10", "", "10", "20"]


async def test_a_walk_without_an_end_is_ended_and_the_next_begins_anew(north: NorthWorld) -> None:
    await north.register(*names(25))
    await north.want_walks()
    bounded = replace(north, parts=replace(north.parts, pages_max=2))

    await bounded.sweep()

    assert north.shelf.pages == ["", "10"]
    assert (await walk_of(north))["finished"]


async def test_one_process_walks_at_a_time(north: NorthWorld) -> None:
    await north.register(*names(25))
    await north.want_walks()
    await north.run("update poll_plans set walk_every_seconds = 3600")

    await asyncio.gather(*(north.sweep() for _ in range(4)))

    assert north.shelf.pages == ["", "10", "20"]


async def test_a_walker_that_outlived_its_lease_changes_nothing(north: NorthWorld) -> None:
    await north.register(*names(5))
    await north.want_walks()
    await north.run("update poll_plans set walk_every_seconds = 3600")
    async with stalled_walk(north):
        await north.run("update walks set leased_until = now()")
        await north.sweep()
        before = await north.rows("select due_at from due order by provider_id")

    assert await north.rows("select due_at from due order by provider_id") == before
    assert await walk_of(north) == {
        "cursor": None, "finished": True, "pages": 1, "same": 5, "news": 0,
    }  # fmt: skip


async def test_pages_draw_on_the_polls_share_and_wait_for_it(emptied: Pool) -> None:
    """Of 10 calls in an hour 7 are for polls; with those used up, told reads still come through."""
    async with north_world_on(emptied, entries_per_page=1, limit=Rate(10, 3600.0)) as world:
        await world.register(*names(9))
        await world.want_walks()
        budgeted = world.with_budget()

        await budgeted.sweep()

        assert len(world.shelf.pages) == 7
        assert not (await walk_of(world))["finished"]
        await world.trigger(names(9)[8])
        world.shelf.reads.clear()
        await budgeted.sync()
        assert world.shelf.reads == [names(9)[8]]


async def test_a_narrow_budget_is_waited_for_between_pages(emptied: Pool) -> None:
    async with north_world_on(emptied, entries_per_page=1, limit=Rate(3, 0.6)) as world:
        await world.register(*names(5))
        await world.want_walks()

        await world.with_budget().sweep()

        assert len(world.shelf.pages) == 5
        assert (await walk_of(world))["finished"]


async def test_a_page_that_says_that_no_calls_are_left_slows_the_account(north: NorthWorld) -> None:
    await north.register("a")
    await north.want_walks()
    north.shelf.hold_seconds = 40.0

    await north.sweep()

    (row,) = await north.rows("select state, reason from accounts")
    assert row == {"state": "paused", "reason": "rate_limited"}


async def test_a_stopping_process_gives_its_walk_back_at_once(north: NorthWorld) -> None:
    await north.register(*names(25))
    await north.want_walks()
    async with stalled_walk(north):
        north.parts.stopping.set()

    assert north.shelf.pages == [""]
    (row,) = await north.rows("select cursor, leased_until <= now() as free from walks")
    assert row == {"cursor": "10", "free": True}


async def hour_of(world: NorthWorld, count: int) -> int:
    """Play an hour of open requests minute by minute, as beat would ring; return the calls."""
    await world.register(*names(count))
    await world.run(
        "update requests set first_seen_at = first_seen_at - random() * interval '14 min'"
    )
    world.shelf.reads.clear()
    for _ in range(60):
        await world.sweep()
        await world.sync()
        await world.pass_time(MINUTE)
    assert await world.rows("select account from due where due_at < now() - interval '2 min'") == []
    return world.shelf.calls


async def test_walks_save_nearly_all_calls_where_many_requests_wait(emptied: Pool) -> None:
    async with north_world_on(emptied) as world:
        assert await hour_of(world, 120) < 120


async def test_what_no_list_shows_is_looked_at_one_by_one(emptied: Pool) -> None:
    async with north_world_on(emptied) as world:
        world.shelf.unlisted = set(names(120))

        assert await hour_of(world, 120) > 3 * 120
        assert world.shelf.pages == []


async def test_no_walk_is_made_where_it_costs_more_than_it_saves(emptied: Pool) -> None:
    async with north_world_on(emptied, entries_per_page=1) as world:
        await world.register(*names(10))
        await world.sweep()
        await world.sweep()

        assert world.shelf.pages == []
