"""Sweep: look through providers' lists for what no webhook announced, and make it due.

A sweep decides nothing: what it finds is read by the same road as everything else.
"""

from dataclasses import replace
from datetime import timedelta

import structlog

from service.domain.request import ObservedBy
from service.errors import SettledError, Unavailable
from service.fetch import ConnectedAccount, fetch
from service.flow.look import SyncParts, pause_after
from service.providers import HasList
from service.storage.unit_of_work import unit_of_work
from service.storage.windows import Window, Windows

log = structlog.get_logger()

# After a failed page, when the window is gone on with.
RETRY_SECONDS = 5.0


async def sweep(parts: SyncParts, *, every: timedelta, lookback: timedelta) -> int:
    """Look through every account's list whose time has come; return how many items were news."""
    found = 0
    for account in parts.accounts.values():
        if not isinstance(account.provider, HasList):
            continue
        async with unit_of_work(parts.pool) as work:
            window = await Windows(work.connection).claim(
                account.name, every=every, lookback=lookback
            )
        if window is not None:
            found += await _look_through(window, account, account.provider, parts)
    return found


async def _look_through(
    window: Window, account: ConnectedAccount, lister: HasList, parts: SyncParts
) -> int:
    """Read a window page by page; what a page brings and how far we got are one transaction."""
    found = 0
    while True:
        try:
            fetched = await fetch(
                account,
                lister.list_page(window.since, window.until, window.cursor),
                line=parts.line,
                purpose="poll",
            )
            await parts.answered(account, "poll")
        except SettledError as error:
            await _put_off(window, error, parts)
            return found
        page = fetched.answer
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


async def _put_off(window: Window, error: SettledError, parts: SyncParts) -> None:
    told = error.retry_after_seconds if isinstance(error, Unavailable) else None
    wait_seconds = await pause_after(error, window.account, parts=parts) or told or RETRY_SECONDS
    log.warning("window.postponed", account=window.account, reason=str(error))
    async with unit_of_work(parts.pool) as work:
        await Windows(work.connection).release(window, wait_seconds=wait_seconds)
