"""The looks that a request's end asks for: just after it, and for some providers twice more."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.request import ObservedBy
from service.domain.status import Status
from service.storage.database import Pool
from tests.flow.listing import NorthWorld, north_world_on

HOUR = timedelta(hours=1)


@pytest.fixture
async def north(emptied: Pool) -> AsyncIterator[NorthWorld]:
    """A provider that takes money for a while after the end; without ends nobody looks for days.

    Every world is another process: what it does not find in the database it does not know.
    """
    async with north_world_on(emptied) as world:
        yield world.with_plan(open=timedelta(days=50), paid=timedelta(days=50))


async def wait_of(world: NorthWorld) -> timedelta:
    return timedelta(seconds=(await world.due("a"))["wait_seconds"])


async def read_after(world: NorthWorld, wait: timedelta) -> int:
    """Let time pass and read what is due by then; return how often "a" was asked for."""
    world.shelf.reads.clear()
    await world.pass_time(wait)
    await world.sync()
    return len(world.shelf.reads)


def about(wait: timedelta) -> object:
    return pytest.approx(wait, abs=timedelta(seconds=4))


async def ends_in(world: NorthWorld, wait: timedelta) -> None:
    world.shelf.ends_at["a"] = datetime.now(UTC) + wait
    await world.register("a")


async def test_a_request_is_looked_at_at_once_an_hour_and_a_day_after_its_end(
    north: NorthWorld,
) -> None:
    await ends_in(north, HOUR)
    assert await wait_of(north) == about(HOUR)
    north.shelf.statuses["a"] = Status.EXPIRED

    assert await read_after(north, HOUR + timedelta(seconds=2)) == 1
    assert await wait_of(north) == about(HOUR)
    assert await read_after(north, HOUR) == 1
    assert await wait_of(north) == about(23 * HOUR)
    assert await read_after(north, 23 * HOUR) == 1
    assert await wait_of(north) > timedelta(days=4)


async def test_a_webhook_in_between_does_not_make_the_later_looks_forgotten(
    north: NorthWorld,
) -> None:
    await ends_in(north, HOUR)
    north.shelf.statuses["a"] = Status.EXPIRED
    await read_after(north, HOUR + timedelta(seconds=2))
    await north.trigger("a")

    assert [await read_after(north, timedelta(minutes=6)) for _ in range(4)] == [1, 1, 1, 1]

    assert await wait_of(north) == about(HOUR - timedelta(minutes=24))


async def test_an_end_that_was_slept_through_counts_from_when_it_was(north: NorthWorld) -> None:
    await ends_in(north, HOUR)
    north.shelf.statuses["a"] = Status.EXPIRED

    await read_after(north, 4 * HOUR)

    assert await wait_of(north) == about(21 * HOUR)


async def test_what_is_fulfilled_before_its_time_ended_when_that_was_seen(
    north: NorthWorld,
) -> None:
    await ends_in(north, 500 * HOUR)
    north.shelf.statuses["a"] = Status.PAID
    await north.trigger("a")
    await north.sync()
    assert await wait_of(north) == about(HOUR)

    await north.pass_time(HOUR / 2)
    await north.trigger("a", by=ObservedBy.OPERATOR)
    await north.sync()

    assert await wait_of(north) == about(HOUR / 2)


async def test_a_provider_that_still_says_open_after_the_end_is_asked_again_all_the_same(
    north: NorthWorld,
) -> None:
    await ends_in(north, HOUR)

    await read_after(north, HOUR + timedelta(seconds=2))

    assert await wait_of(north) == about(HOUR)


async def test_many_that_end_at_one_time_of_day_do_not_keep_it_as_their_place(
    north: NorthWorld,
) -> None:
    await ends_in(north, HOUR)
    await read_after(north, HOUR + timedelta(seconds=2))

    (row,) = await north.rows("select every_seconds, paced_seconds from due")
    assert row == {"every_seconds": 50 * 86400.0, "paced_seconds": None}
