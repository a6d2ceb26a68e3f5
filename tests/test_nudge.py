"""Ringing a worker: cheap when it works, quick to give up when Redis is away or hangs."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from service.embedded import Urls
from service.nudge import DELIVER, QUEUES, SYNC, Bell, Waker

# One second to connect or to be answered, twice at most, and something for a busy machine.
GIVING_UP_SECONDS = 3.0


@pytest.fixture
def bell(servers: Urls) -> Iterator[Bell]:
    """A bell on a Redis that has heard nothing yet."""
    store(servers).flushall()
    with closing(Bell(servers.redis)) as bell:
        yield bell


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[Bell]:
    """A bell whose Redis accepts connections and never says a word."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "redis.sock"))
        listener.listen(16)
        with closing(Bell(f"unix://{tmp_path / 'redis.sock'}")) as bell:
            yield bell


@pytest.fixture
def refused() -> Iterator[Bell]:
    with closing(Bell("redis://127.0.0.1:1/0")) as bell:
        yield bell


def store(servers: Urls) -> redis.Redis:
    client: redis.Redis = redis.Redis.from_url(servers.redis)
    return client


def messages(servers: Urls, task: str) -> int:
    return int(store(servers).llen(f"settled:{QUEUES[task]}"))


def test_a_ring_sends_one_message_however_often_it_is_repeated(servers: Urls, bell: Bell) -> None:
    assert all(bell.ring(SYNC) for _ in range(100))

    assert (messages(servers, SYNC), messages(servers, DELIVER)) == (1, 0)


def test_once_a_worker_came_the_next_ring_sends_again(servers: Urls, bell: Bell) -> None:
    for _ in range(3):
        bell.ring(SYNC)
        bell.heard(SYNC)

    assert messages(servers, SYNC) == 3


def test_a_ring_that_was_lost_is_repeated_after_two_seconds(servers: Urls, bell: Bell) -> None:
    bell.ring(SYNC)

    assert 0 < int(store(servers).pttl(f"settled:rung:{QUEUES[SYNC]}")) <= 2000


def test_a_message_holds_a_task_name_and_nothing_else(servers: Urls, bell: Bell) -> None:
    bell.ring(SYNC)

    message = json.loads(store(servers).lindex(f"settled:{QUEUES[SYNC]}", 0) or "")
    positional, named, _ = json.loads(base64.b64decode(message["body"]))
    assert (message["content-type"], message["headers"]["task"]) == ("application/json", SYNC)
    assert (positional, named) == ([], {})


@pytest.mark.parametrize("away", ["refused", "deaf"])
def test_without_redis_a_ring_gives_up_soon_and_says_so(
    away: str, request: pytest.FixtureRequest
) -> None:
    bell: Bell = request.getfixturevalue(away)
    started = time.monotonic()

    assert not bell.ring(SYNC)
    assert time.monotonic() - started < GIVING_UP_SECONDS


@pytest.mark.parametrize("away", ["refused", "deaf"])
def test_without_redis_hearing_and_asking_raise_nothing(
    away: str, request: pytest.FixtureRequest
) -> None:
    bell: Bell = request.getfixturevalue(away)
    bell.heard(SYNC)

    assert not bell.answers()


async def test_a_waker_never_holds_the_loop_up_while_redis_hangs(deaf: Bell) -> None:
    waker = Waker(deaf, SYNC)
    ringing = asyncio.create_task(waker.run())
    slowest = 0.0
    for _ in range(1000):
        started = time.monotonic()
        waker.wake()
        await asyncio.sleep(0)
        slowest = max(slowest, time.monotonic() - started)

    assert not ringing.done()
    assert slowest < 0.5  # a ring takes a second here
    ringing.cancel()


async def test_wakes_that_come_during_a_ring_ring_once_more(servers: Urls, bell: Bell) -> None:
    waker = Waker(bell, SYNC)
    ringing = asyncio.create_task(waker.run())
    waker.wake()
    async with asyncio.timeout(10):
        while not messages(servers, SYNC):  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.01)
    bell.heard(SYNC)
    waker.wake()
    async with asyncio.timeout(10):
        while messages(servers, SYNC) < 2:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.01)

    assert not ringing.done()
    ringing.cancel()
