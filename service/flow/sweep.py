"""Sweep: look through providers' lists for what no webhook announced, and make it due.

A sweep decides nothing: what it finds is read by the same road as everything else.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog
from psycopg import AsyncConnection

from service.domain.request import ObservedBy
from service.errors import Rejected, SettledError, Unauthorised
from service.fetch import ConnectedAccount
from service.flow.look import SyncParts
from service.flow.pages import (
    ENDLESS_SECONDS,
    read_page,
    tell_endless,
    wait_after,
)
from service.flow.plan import make_plans
from service.flow.walk import walk
from service.providers import HasList, ShowsStatuses
from service.storage.plans import Plans
from service.storage.unit_of_work import unit_of_work
from service.storage.walks import Walks
from service.storage.windows import Window, Windows

log = structlog.get_logger()


async def sweep(parts: SyncParts, *, every: timedelta, lookback: timedelta) -> int:
    """Look through every list whose time has come; return how many items were news.

    Accounts are swept side by side: one that has a long way to catch up holds up nobody. Whatever
    made one fail is raised when all have ended.
    """
    ended = await asyncio.gather(
        make_plans(parts, sweep_every=every, lookback=lookback),
        *(_sweep_one(account, parts, every, lookback) for account in parts.accounts.values()),
        return_exceptions=True,
    )
    found = 0
    for result in ended:
        if isinstance(result, BaseException):
            raise result
        found += result
    return found


async def is_sweep_due(
    connection: AsyncConnection[object],
    accounts: Mapping[str, ConnectedAccount],
    *,
    every: timedelta,
) -> bool:
    """Return whether a sweep would find something to do now."""
    lists = [name for name, each in accounts.items() if isinstance(each.provider, HasList)]
    return (
        await Windows(connection).is_any_due(lists, every=every)
        or await Walks(connection).is_any_due(list(accounts))
        or await Plans(connection).are_due(list(accounts))
    )


async def _sweep_one(
    account: ConnectedAccount, parts: SyncParts, every: timedelta, lookback: timedelta
) -> int:
    """Sweep an account's list, then walk through the one that shows statuses."""
    found = 0
    if isinstance(account.provider, HasList):
        length_max = account.provider.window_max
        claim = partial(_claim, account, parts, every, lookback, length_max)
        while (window := await claim()) is not None:
            found += await _look_through(window, account, account.provider, parts)
            is_catching_up = length_max is not None and window.length >= length_max
            if not is_catching_up:
                break
    if isinstance(account.provider, ShowsStatuses):
        found += await walk(account, account.provider, parts)
    return found


async def _claim(
    account: ConnectedAccount,
    parts: SyncParts,
    every: timedelta,
    lookback: timedelta,
    length_max: timedelta | None,
) -> Window | None:
    if parts.stopping.is_set():
        return None
    async with unit_of_work(parts.pool) as work:
        return await Windows(work.connection).claim(
            account.name, every=every, lookback=lookback, length_max=length_max
        )


async def _look_through(
    window: Window, account: ConnectedAccount, lister: HasList, parts: SyncParts
) -> int:
    """Read a window page by page; what a page brings and how far we got are one transaction."""
    found = 0
    for _ in range(parts.pages_max):
        if parts.stopping.is_set():
            await _release(window, parts, wait_seconds=0.0)
            return found
        call = partial(lister.list_page, window.since, window.until, window.cursor)
        try:
            page = await read_page(account, call, parts)
        except SettledError as error:
            await _put_off(window, error, parts)
            return found
        async with unit_of_work(parts.pool) as work:
            windows = Windows(work.connection)
            news = await windows.news(account.name, page.items)
            if not await windows.advance(window, cursor=page.next, found=len(news)):
                log.warning("window.yielded", account=account.name)
                return found
            await work.due.trigger(news, observed_by=ObservedBy.SWEEP)
        found += len(news)
        if page.next is None:
            log.info("window.finished", account=account.name, found=found)
            return found
        window = replace(window, cursor=page.next)
    tell_endless(account.name, parts)
    await _release(window, parts, wait_seconds=ENDLESS_SECONDS, anew=True)
    return found


async def _put_off(window: Window, error: SettledError, parts: SyncParts) -> None:
    """Have a window gone on with later, from its first page where one cannot be read."""
    wait_seconds = await wait_after(error, window.account, parts=parts)
    anew = isinstance(error, Rejected) and not isinstance(error, Unauthorised)
    await _release(window, parts, wait_seconds=wait_seconds, anew=anew)


async def _release(
    window: Window, parts: SyncParts, *, wait_seconds: float, anew: bool = False
) -> None:
    async with unit_of_work(parts.pool) as work:
        await Windows(work.connection).release(window, wait_seconds=wait_seconds, anew=anew)
