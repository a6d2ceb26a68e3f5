"""Webhooks begin a few at a time and in order; only a queue that stands is a reason to refuse."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from service.web import turns as turns_module
from service.web.turns import BEGUN_MAX, Turns


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


async def test_a_burst_that_is_soon_begun_is_nothing_to_refuse_for() -> None:
    turns = Turns()
    began = Began(turns)
    began.send(3 * BEGUN_MAX)

    while len(began.numbers) < 3 * BEGUN_MAX:
        await asyncio.sleep(0)
        assert not turns.is_behind


async def test_turns_are_behind_while_the_next_one_has_waited_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "WAIT_SECONDS_MAX", 0.0)
    turns = Turns()
    began = Began(turns)
    began.send(3 * BEGUN_MAX)

    await until(lambda: turns.is_behind)
    assert len(began.numbers) < 3 * BEGUN_MAX
    await until(lambda: not turns.is_behind)
    assert len(began.numbers) >= 2 * BEGUN_MAX
