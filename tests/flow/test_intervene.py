"""What a person may do: have a request read now."""

import asyncio

import pytest

from service.errors import NotFound
from service.flow.intervene import sync_now
from tests.flow.world import World, order, order_id


def nobody() -> None:
    """Wake no worker."""


async def recorded_id(world: World, number: int) -> str:
    world.provider.shows(order(number, "order_new"))
    await world.read(number)
    request = await world.request(number)
    assert request is not None
    return request.id


async def test_a_person_waits_for_a_read_that_began_after_the_call(world: World) -> None:
    request_id = await recorded_id(world, 1)
    world.provider.shows(order(1, minute=2))
    workers: list[asyncio.Task[int]] = []

    finished = await sync_now(
        world.pool,
        request_id=request_id,
        wake=lambda: workers.append(asyncio.create_task(world.sync())),
        wait_seconds=10,
    )

    await asyncio.gather(*workers)
    assert finished
    assert await world.status(1) == "paid"
    assert (await world.messages())[-2]["data"]["observed_by"] == "operator"


async def test_a_read_that_began_before_the_call_does_not_count(world: World) -> None:
    request_id = await recorded_id(world, 1)
    gate = asyncio.Event()

    async def held() -> dict[str, object]:
        await gate.wait()
        return order(1, "order_new")

    world.provider.answers[order_id(1)] = [held, order(1, minute=2)]
    await world.trigger(1)
    reading = asyncio.create_task(world.sync())
    await world.until(lambda: world.provider.asked_for(1) == 2)
    asking = asyncio.create_task(
        sync_now(world.pool, request_id=request_id, wake=gate.set, wait_seconds=10)
    )
    finished, _ = await asyncio.gather(asking, reading)

    assert finished
    assert await world.status(1) == "paid"
    assert world.provider.asked_for(1) == 3


async def test_a_read_that_fails_is_not_taken_for_an_answer(world: World) -> None:
    request_id = await recorded_id(world, 1)
    world.provider.answers[order_id(1)] = 500
    workers: list[asyncio.Task[int]] = []

    finished = await sync_now(
        world.pool,
        request_id=request_id,
        wake=lambda: workers.append(asyncio.create_task(world.sync())),
        wait_seconds=0.3,
    )

    await asyncio.gather(*workers)
    assert not finished


async def test_a_person_does_not_wait_behind_a_burst(world: World) -> None:
    request_id = await recorded_id(world, 1)
    for _ in range(6):
        await world.read(1)
    await world.trigger(1)
    assert (await world.due(1))["wait_seconds"] > 0.5

    await sync_now(world.pool, request_id=request_id, wake=nobody, wait_seconds=0)

    assert (await world.due(1))["wait_seconds"] <= 0


async def test_a_parked_request_is_read_when_a_person_asks(world: World) -> None:
    request_id = await recorded_id(world, 1)
    world.provider.shows(order(1, status="sleeping", minute=2))
    await world.read(1)
    world.provider.shows(order(1, minute=3))

    await sync_now(world.pool, request_id=request_id, wake=nobody, wait_seconds=0)
    await world.sync()

    assert await world.status(1) == "paid"


async def test_an_unknown_request_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await sync_now(world.pool, request_id="prq_none", wake=nobody, wait_seconds=0)
