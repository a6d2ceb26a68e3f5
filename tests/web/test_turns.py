"""Webhooks begin a few at a time and in order; only a long wait is a reason to refuse."""

import asyncio
import math
import threading
from collections.abc import Callable
from itertools import pairwise

import pytest

from service.web import turns as turns_module
from service.web.turns import BEGUN_MAX, Turns

TURN_SECONDS = 0.005
STALL_SECONDS = 2.0


class Began:
    """Webhooks that note their number when they begin."""

    def __init__(self, turns: Turns) -> None:
        self.numbers: list[int] = []
        self._turns = turns

    def send(self, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._one(number)) for number in range(count)]

    async def _one(self, number: int) -> None:
        await self._turns.take()
        self.numbers.append(number)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what it waits for comes with the turns
            await asyncio.sleep(0)


async def test_no_turn_of_the_loop_begins_more_than_a_few_webhooks() -> None:
    began = Began(Turns())
    webhooks = began.send(5 * BEGUN_MAX)

    counts = [0]
    while counts[-1] < len(webhooks):
        await asyncio.sleep(0)  # one turn
        counts.append(len(began.numbers))

    steps = [after - before for before, after in pairwise(counts)]
    assert max(steps) == BEGUN_MAX
    assert began.numbers == list(range(len(webhooks)))


async def test_one_who_comes_later_does_not_overtake_those_who_wait() -> None:
    turns = Turns()
    began = Began(turns)
    began.send(3 * BEGUN_MAX)
    await until(lambda: len(began.numbers) >= BEGUN_MAX)

    await turns.take()

    assert len(began.numbers) == 3 * BEGUN_MAX


async def test_who_gives_up_takes_no_turn() -> None:
    began = Began(Turns())
    webhooks = began.send(3 * BEGUN_MAX)
    await asyncio.sleep(0)
    for webhook in webhooks[BEGUN_MAX:-1]:
        webhook.cancel()

    await webhooks[-1]

    assert began.numbers == [*range(BEGUN_MAX), len(webhooks) - 1]


async def test_as_many_have_room_as_begin_within_the_longest_wait_while_some_wait() -> None:
    turns = Turns()
    began = Began(turns)
    began.send(20 * BEGUN_MAX)

    await until(lambda: turns.webhooks_max < math.inf)
    at_first = turns.webhooks_max
    while len(began.numbers) < 18 * BEGUN_MAX:
        threading.Event().wait(TURN_SECONDS)  # nobody sets it: every turn takes so long
        await asyncio.sleep(0)
    assert turns.webhooks_max < at_first / 2
    assert turns.webhooks_max > BEGUN_MAX

    await until(lambda: turns.webhooks_max == math.inf)
    assert len(began.numbers) == 20 * BEGUN_MAX


async def test_a_process_that_stood_still_refuses_no_burst_for_it() -> None:
    turns = Turns()
    began = Began(turns)
    began.send(3 * BEGUN_MAX)
    await until(lambda: len(began.numbers) >= BEGUN_MAX)
    threading.Event().wait(STALL_SECONDS)
    await until(lambda: len(began.numbers) == 3 * BEGUN_MAX)

    began.send(3 * BEGUN_MAX)
    await until(lambda: turns.webhooks_max < math.inf)

    assert turns.webhooks_max > 5 * BEGUN_MAX


async def test_however_long_a_turn_takes_as_many_have_room_as_begin_in_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "WAIT_SECONDS_MAX", 0.0)
    turns = Turns()
    began = Began(turns)
    began.send(5 * BEGUN_MAX)

    await until(lambda: len(began.numbers) > BEGUN_MAX)

    assert turns.webhooks_max == BEGUN_MAX
