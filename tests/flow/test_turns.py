"""Who keeps its place in the round, and who is given another one."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from service.domain.request import ObservedBy
from service.storage.database import Pool
from tests.flow.listing import NorthWorld, north_world_on

# What two hours after the first look is looked at every half hour.
INTERVAL = 1800.0
NAMES = tuple(f"r{number:02d}" for number in range(40))


@pytest.fixture
async def north(emptied: Pool) -> AsyncIterator[NorthWorld]:
    """Requests of two hours that have come to their turn before."""
    async with north_world_on(emptied) as world:
        await world.register(*NAMES)
        await world.pass_time(timedelta(hours=2))
        await fall_due(world)
        await world.sync()
        yield world


async def fall_due(world: NorthWorld) -> None:
    await world.run("update due set due_at = now()")


async def spread_of(world: NorthWorld) -> tuple[float, float]:
    """Return the shortest and the longest wait, in intervals."""
    (row,) = await world.rows(
        "select min(extract(epoch from due_at - now()))::float8 as least,"
        " max(extract(epoch from due_at - now()))::float8 as most from due"
    )
    return row["least"] / INTERVAL, row["most"] / INTERVAL


async def test_those_that_come_in_time_keep_their_places(north: NorthWorld) -> None:
    await fall_due(north)
    await north.sync()

    least, most = await spread_of(north)

    assert 0.88 < least < most < 1.11


async def test_those_that_come_late_are_given_other_places(north: NorthWorld) -> None:
    await fall_due(north)
    await north.pass_time(timedelta(minutes=30))
    await north.sync()

    least, most = await spread_of(north)

    assert 0.48 < least < 0.8
    assert 1.2 < most < 1.51


async def test_those_that_a_person_had_read_are_given_other_places(north: NorthWorld) -> None:
    await north.trigger(*NAMES, by=ObservedBy.OPERATOR)
    await north.sync()

    least, most = await spread_of(north)

    assert 0.48 < least < 0.8
    assert 1.2 < most < 1.51


async def test_what_says_nothing_of_turns_leaves_them_as_they_are(north: NorthWorld) -> None:
    """A read that failed knows neither the interval nor whether a list shows the request."""
    turns = "select every_seconds, paced_seconds, calls, listed, ends_at from due"
    before = await north.rows(turns)
    north.shelf.statuses = {}
    await fall_due(north)
    await north.sync()

    assert (await north.rows("select sum(errors)::int as errors from due"))[0]["errors"] == 40
    assert await north.rows(turns) == before
