"""Walk: go through a list that shows statuses, instead of looking at each request.

A list never changes a status. What it shows otherwise than the last read did is made due; what it
shows the same is looked at one interval later, as if it had been read. The rest is polled.
"""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import random

import structlog

from service.domain.polling import Place, every_seconds, next_turn, seconds_to_end
from service.domain.request import ObservedBy
from service.errors import Rejected, SettledError, Unauthorised
from service.fetch import ConnectedAccount
from service.flow.look import SyncParts
from service.flow.pages import read_page, tell_endless, wait_after
from service.providers import Page, ShowsStatuses, lags_behind
from service.storage.unit_of_work import unit_of_work
from service.storage.walks import PutOff, Waiting, Walk, Walks

log = structlog.get_logger()


async def walk(account: ConnectedAccount, lister: ShowsStatuses, parts: SyncParts) -> int:
    """Go through the account's list if its plan wants that now; return how many items were news.

    One process at a time; where it stands is kept with every page, so that the next one goes on.
    """
    async with unit_of_work(parts.pool) as work:
        going = await Walks(work.connection).claim(account.name)
    return await _go(going, account, lister, parts) if going is not None else 0


async def _go(
    going: Walk, account: ConnectedAccount, lister: ShowsStatuses, parts: SyncParts
) -> int:
    """Read on page by page to the end of the list, or until we are to stop."""
    found = 0
    for _ in range(parts.pages_max):
        if parts.stopping.is_set():
            await _release(going, 0.0, parts)
            return found
        try:
            call = partial(lister.look_through, going.since, going.cursor)
            page = await read_page(account, call, parts)
        except SettledError as error:
            await _stop_at(going, error, parts)
            return found
        news = await _take(page, going, account, parts)
        if news is None:
            log.warning("walk.yielded", account=account.name)
            return found
        found += news
        if page.next is None:
            log.info("walk.finished", account=account.name, found=found)
            return found
        going = replace(going, cursor=page.next)
    tell_endless(account.name, parts)
    async with unit_of_work(parts.pool) as work:
        await Walks(work.connection).give_up(going)
    return found


async def _take(page: Page, walk: Walk, account: ConnectedAccount, parts: SyncParts) -> int | None:
    """Act on a page, and note how far we got, in one transaction.

    Return how many items were news, None where another process went on with the walk.
    """
    async with unit_of_work(parts.pool) as work:
        walks = Walks(work.connection)
        seen = await walks.see(account.name, page.items)
        if not await walks.advance(walk, cursor=page.next, seen=seen):
            return None
        # First, and in key order: what is put off afterwards waits for nobody.
        await work.due.trigger(seen.news, observed_by=ObservedBy.SWEEP)
        waiting = await walks.lock_waiting(seen.same)
        turns = [_put_off(one, walk, account, parts) for one in waiting]
        await walks.put_off([turn for turn in turns if turn is not None])
    return len(seen.news)


def _put_off(
    waiting: Waiting, walk: Walk, account: ConnectedAccount, parts: SyncParts
) -> PutOff | None:
    """Return the turn after the one that the list stands for; None when the watch has ended.

    Turns are put off by one to two intervals: they stay spread over a whole round, should the
    walks end, and lie behind the next walk while there are any. The looks that an end asks for
    stay where they are.
    """
    request, at = waiting.request, parts.now()
    age = max(at - request.first_seen_at, timedelta(0))
    every = every_seconds(request.facts, age=age, plan=parts.plan)
    if every is None:
        return None
    jitter = random()  # noqa: S311 - spreads work, guards nothing
    turn = next_turn(every, stretch=walk.stretch, place=Place.BEHIND_LIST, jitter=jitter)
    provider = account.provider
    looks = provider.looks_after_end if lags_behind(provider) else ()
    to_end = seconds_to_end(waiting.ends_at, at=at, looks_after_end=looks)
    wait_seconds = min(turn.wait_seconds, to_end if to_end is not None else turn.wait_seconds)
    return PutOff(request.key, wait_seconds, turn.every_seconds, turn.paced_seconds)


async def _stop_at(walk: Walk, error: SettledError, parts: SyncParts) -> None:
    """Rest at a page that failed; where it cannot be read at all, the next walk begins anew."""
    wait_seconds = await wait_after(error, walk.account, parts=parts)
    if isinstance(error, Rejected) and not isinstance(error, Unauthorised):
        async with unit_of_work(parts.pool) as work:
            await Walks(work.connection).give_up(walk)
    else:
        await _release(walk, wait_seconds, parts)


async def _release(walk: Walk, wait_seconds: float, parts: SyncParts) -> None:
    async with unit_of_work(parts.pool) as work:
        await Walks(work.connection).release(walk, wait_seconds=wait_seconds)
