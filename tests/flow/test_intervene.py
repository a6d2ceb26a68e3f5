"""What a person may do at a provider: have a request read now, or what an event names."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from service.errors import Conflict, NotFound
from service.flow.intervene import replay, sync_now
from service.storage.identifiers import new_id
from service.storage.views.timeline import list_timeline
from tests.flow.world import World, order, order_id
from tests.storage.rows import insert_event

WHO = "command:somebody"


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
        who=WHO,
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
        sync_now(world.pool, request_id=request_id, wake=gate.set, wait_seconds=10, who=WHO)
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
        who=WHO,
    )

    await asyncio.gather(*workers)
    assert not finished


async def test_a_person_does_not_wait_behind_a_burst(world: World) -> None:
    request_id = await recorded_id(world, 1)
    for _ in range(6):
        await world.read(1)
    await world.trigger(1)
    assert (await world.due(1))["wait_seconds"] > 0.5

    await sync_now(world.pool, request_id=request_id, wake=nobody, wait_seconds=0, who=WHO)

    assert (await world.due(1))["wait_seconds"] <= 0


async def test_a_parked_request_is_read_when_a_person_asks(world: World) -> None:
    request_id = await recorded_id(world, 1)
    world.provider.shows(order(1, status="sleeping", minute=2))
    await world.read(1)
    world.provider.shows(order(1, minute=3))

    await sync_now(world.pool, request_id=request_id, wake=nobody, wait_seconds=0, who=WHO)
    await world.sync()

    assert await world.status(1) == "paid"


async def test_an_unknown_request_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await sync_now(world.pool, request_id="prq_none", wake=nobody, wait_seconds=0, who=WHO)


async def an_event(world: World, provider_id: str, **row: object) -> str:
    """An event as it came in just now."""
    now = datetime.now(UTC)
    ordinary: dict[str, Any] = {
        "id": new_id("evt"),
        "day": now.date(),
        "received_at": now,
    }
    return await insert_event(world.pool, "1", provider_id, **ordinary | row)


async def replayed(
    world: World,
    event_id: str,
    *,
    wake: Callable[[], None] = nobody,
    wait_seconds: float = 0,
) -> bool:
    return await replay(
        world.pool,
        event_id=event_id,
        accounts=world.parts.accounts,
        wake=wake,
        wait_seconds=wait_seconds,
        who="api:ops",
        reason="looked odd",
    )


async def test_a_replay_reads_what_the_event_names_and_believes_nothing_in_it(
    world: World,
) -> None:
    request_id = await recorded_id(world, 1)
    world.provider.shows(order(1, minute=2))
    event_id = await an_event(world, order_id(1), body=b'{"status": "cancelled"}')
    workers: list[asyncio.Task[int]] = []

    finished = await replayed(
        world,
        event_id,
        wake=lambda: workers.append(asyncio.create_task(world.sync())),
        wait_seconds=10,
    )

    await asyncio.gather(*workers)
    assert finished
    assert await world.status(1) == "paid"
    entries = (await list_timeline(world.pool, request_id, after=None, limit=50)).items
    (act,) = [entry for entry in entries if entry["what"] == "intervention"]
    assert (act["did"], act["who"], act["about"]) == ("replay", "api:ops", event_id)


@pytest.mark.parametrize("verdict", ["accepted", "parked", "set_aside"])
async def test_an_event_of_a_request_that_nobody_knew_is_read_whatever_became_of_it(
    world: World, verdict: str
) -> None:
    world.provider.shows(order(2))
    event_id = await an_event(world, order_id(2), verdict=verdict)

    assert not await replayed(world, event_id)
    await world.sync()

    assert await world.status(2) == "paid"


async def test_an_event_about_no_request_says_so_and_nothing_is_written(world: World) -> None:
    event_id = await an_event(world, "", kind=None, verdict="set_aside", reason="foreign_project")

    with pytest.raises(Conflict, match=r"about no request.*foreign_project"):
        await replayed(world, event_id)

    assert await world.rows("select from interventions") == []


async def test_an_identifier_that_no_url_may_hold_is_not_read(world: World) -> None:
    event_id = await an_event(world, "../refunds")

    with pytest.raises(Conflict):
        await replayed(world, event_id)

    assert world.provider.calls == []


async def test_an_event_of_an_account_that_is_gone_says_so(world: World) -> None:
    event_id = await an_event(world, order_id(1), account="gone")

    with pytest.raises(Conflict, match="not configured"):
        await replayed(world, event_id)


@pytest.mark.parametrize("event_id", ["evt_1", "evt_" + "z" * 26, "evt_01m9x0c5n8qk4v7t2w6y3z1a0b"])
async def test_an_unknown_event_is_not_found(world: World, event_id: str) -> None:
    with pytest.raises(NotFound):
        await replayed(world, event_id)
