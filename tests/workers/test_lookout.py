"""A lookout takes the place of rings while work comes in a stream, and gives it back in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis

from service.domain.request import Key, Kind, ObservedBy
from service.embedded import Urls
from service.nudge import LOOKS_OUT, QUEUES, SYNC
from service.runtime import Runtime
from service.storage.unit_of_work import unit_of_work
from tests.flow.surroundings import PATIENCE_SECONDS, allow_connections, eventually
from workers import lookout as timing
from workers.lookout import Lookout

TOKEN = f"settled:rung:{QUEUES[SYNC]}"


@asynccontextmanager
async def looking_out(runtime: Runtime) -> AsyncIterator[tuple[Lookout, asyncio.Event]]:
    """Run a lookout beside the block, with the event that its drain would wait for."""
    drain = asyncio.Event()
    lookout = Lookout(runtime.bell, SYNC, pool=runtime.pool, drain=drain)
    running = asyncio.ensure_future(lookout.run())
    try:
        yield lookout, drain
    finally:
        lookout.stop()
        await asyncio.wait_for(running, PATIENCE_SECONDS)


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream may have pauses here, so that a lookout ends only when it has to."""
    monkeypatch.setattr(timing, "QUIET_SECONDS", PATIENCE_SECONDS)


def hear_a_stream(lookout: Lookout) -> None:
    lookout.heard()
    lookout.heard()


async def trigger(runtime: Runtime, name: str) -> None:
    async with unit_of_work(runtime.pool) as work:
        key = Key("ginger-nl", Kind.ORDER, name)
        await work.due.trigger([key], observed_by=ObservedBy.WEBHOOK)


async def until_token_is(broker: redis.Redis, value: bytes | None) -> None:
    await eventually(lambda: bool(broker.get(TOKEN) == value))


async def until_set(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), PATIENCE_SECONDS)
    event.clear()


async def test_one_ring_alone_begins_no_lookout(
    runtime: Runtime, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "STREAM_SECONDS", -1.0)  # nothing follows closely
    async with looking_out(runtime) as (lookout, drain):
        hear_a_stream(lookout)
        await trigger(runtime, "ord_1")
        assert await asyncio.to_thread(runtime.bell.ring, SYNC)

        assert broker.get(TOKEN) == b"1"
        assert broker.llen(f"settled:{QUEUES[SYNC]}") == 1
        assert not drain.is_set()


@pytest.mark.usefixtures("watchful")
async def test_in_a_stream_the_drain_is_woken_without_a_message(
    runtime: Runtime, broker: redis.Redis
) -> None:
    async with looking_out(runtime) as (lookout, drain):
        hear_a_stream(lookout)
        await until_token_is(broker, LOOKS_OUT)
        for name in ("ord_1", "ord_2"):
            await trigger(runtime, name)
            assert await asyncio.to_thread(runtime.bell.ring, SYNC)
            await until_set(drain)
            async with unit_of_work(runtime.pool) as work:
                assert [claim.provider_id for claim in await work.due.claim(10)] == [name]

        assert broker.llen(f"settled:{QUEUES[SYNC]}") == 0


@pytest.mark.usefixtures("watchful")
async def test_whoever_answers_a_late_message_leaves_the_lookout_its_token(
    runtime: Runtime, broker: redis.Redis
) -> None:
    async with looking_out(runtime) as (lookout, _):
        hear_a_stream(lookout)
        await until_token_is(broker, LOOKS_OUT)
        await asyncio.to_thread(runtime.bell.heard, SYNC)

        assert broker.get(TOKEN) == LOOKS_OUT


@pytest.mark.usefixtures("watchful")
async def test_a_lookout_keeps_its_token_for_longer_than_it_holds_by_itself(
    runtime: Runtime, broker: redis.Redis
) -> None:
    async with looking_out(runtime) as (lookout, _):
        hear_a_stream(lookout)
        await until_token_is(broker, LOOKS_OUT)
        broker.delete(TOKEN)

        await until_token_is(broker, LOOKS_OUT)


async def test_somebody_who_has_been_rung_is_left_to_come(
    runtime: Runtime, broker: redis.Redis
) -> None:
    assert await asyncio.to_thread(runtime.bell.ring, SYNC)

    assert not await asyncio.to_thread(runtime.bell.take_over, SYNC)
    assert broker.get(TOKEN) == b"1"


async def test_when_nothing_comes_any_more_rings_go_out_again_and_the_drain_looks_once_more(
    runtime: Runtime, broker: redis.Redis
) -> None:
    async with looking_out(runtime) as (lookout, drain):
        hear_a_stream(lookout)
        await until_set(drain)

        assert broker.get(TOKEN) is None


@pytest.mark.usefixtures("watchful")
async def test_a_drain_with_its_hands_full_has_others_rung_and_rests(
    runtime: Runtime, broker: redis.Redis
) -> None:
    async with looking_out(runtime) as (lookout, drain):
        hear_a_stream(lookout)
        await until_token_is(broker, LOOKS_OUT)
        drain.set()  # and nobody clears it
        await until_token_is(broker, None)

        hear_a_stream(lookout)
        assert await asyncio.to_thread(runtime.bell.ring, SYNC)
        assert broker.llen(f"settled:{QUEUES[SYNC]}") == 1


@pytest.mark.usefixtures("watchful")
async def test_one_that_is_stopped_has_somebody_else_rung(
    runtime: Runtime, broker: redis.Redis
) -> None:
    async with looking_out(runtime) as (lookout, _):
        hear_a_stream(lookout)
        await until_token_is(broker, LOOKS_OUT)

    assert broker.llen(f"settled:{QUEUES[SYNC]}") == 1


@pytest.mark.usefixtures("watchful")
async def test_it_looks_on_while_redis_hangs(
    runtime: Runtime, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "KEEP_SECONDS", 0.0)
    async with looking_out(runtime) as (lookout, drain):
        hear_a_stream(lookout)
        await until_token_is(broker, LOOKS_OUT)
        await trigger(runtime, "ord_1")  # and nobody reads it: every look finds it
        broker.client_pause(2_000)
        answer = asyncio.ensure_future(asyncio.to_thread(broker.ping))
        for _ in range(20):
            await until_set(drain)

        assert not answer.done()
        await answer


@pytest.mark.usefixtures("watchful")
async def test_without_postgresql_a_lookout_ends_and_rings_go_out_again(
    runtime: Runtime, broker: redis.Redis, servers: Urls
) -> None:
    async with looking_out(runtime) as (lookout, drain):
        hear_a_stream(lookout)
        await until_token_is(broker, LOOKS_OUT)
        await allow_connections(servers.postgres, runtime.pool, allow=False)
        try:
            await until_set(drain)
            assert broker.get(TOKEN) is None
        finally:
            await allow_connections(servers.postgres, runtime.pool, allow=True)
