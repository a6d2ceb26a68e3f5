"""Reconcile: read the requests of a window at their provider, tell drift, and repair it by sync.

What is compared is read and judged as in every sync, but under no lease and with nothing written.
Only what drifted is read once more by the ordinary road, which decides and records.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog

from service.domain.drift import Drift
from service.domain.request import Key
from service.errors import NotAllowedYet, Rejected, SettledError, Unavailable
from service.fetch import ConnectedAccount
from service.flow.difference import compare_fresh
from service.flow.look import SyncParts
from service.flow.pages import read_page, wait_after
from service.flow.patience import patiently
from service.flow.sync import sync_these
from service.providers import HasList, Page
from service.storage.reconciles import LEASE_SECONDS, Ask, Reconciles, Run
from service.storage.standings import standings_of
from service.storage.unit_of_work import unit_of_work
from service.storage.windows import Windows

log = structlog.get_logger()

# Reads under way for one account; an account with a narrower budget gets as many as that allows.
SLOTS = 16


@dataclass(frozen=True, slots=True)
class Told:
    """A drift, and what became of it: repaired, or None in a dry run.

    What is not repaired yet stays due: the ordinary road goes on with it.
    """

    drift: Drift
    is_repaired: bool | None


class Listener(Protocol):
    """Hears how a run goes."""

    def moved(self, run: Run) -> None:
        """Hear how far the run is, at its beginning and after every few requests."""
        ...

    def found(self, told: Told) -> None:
        """Hear of one drift."""
        ...


async def reconcile(
    account: ConnectedAccount, ask: Ask, *, parts: SyncParts, listener: Listener
) -> Run | None:
    """Compare the account's requests of a window with its provider, and repair what drifted.

    Goes on where a run of the same name stopped. Return how far it came: not to its end where
    parts.stopping was set. None where another run of this account is under way, or this one was
    wanted once and is done. Raises Unavailable when the provider, or PostgreSQL, is away; how far
    the run came is kept all the same.
    """
    async with unit_of_work(parts.pool) as work:
        run = await Reconciles(work.connection).claim(account.name, ask)
    if run is None:
        return None
    once = _Once(listener)
    async with _leased(run, parts):
        once.moved(run)
        run = await _through_record(run, account, parts, once)
        if isinstance(account.provider, HasList):
            run = await _through_list(run, account, account.provider, parts, once)
        if not parts.stopping.is_set():
            run = await _note(replace(run, is_finished=True), parts, once)
            log.info("reconcile.finished", account=run.account, drifted=run.drifted)
    return run


class _Once:
    """Tells of each request once, although a list may name it, or its parts, several times."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._told: set[Key] = set()

    def is_news(self, drift: Drift) -> bool:
        return drift.key not in self._told

    def moved(self, run: Run) -> None:
        self._listener.moved(run)

    def found(self, told: Told) -> None:
        self._told.add(told.drift.key)
        self._listener.found(told)


@asynccontextmanager
async def _leased(run: Run, parts: SyncParts) -> AsyncIterator[None]:
    """Keep the run's lease while the block lasts, and give it back after it."""
    ended = asyncio.Event()
    keeping = asyncio.create_task(_keep(run, parts, ended))
    try:
        yield
    finally:
        # Told, not cancelled: a cancellation can get lost in a wait for a connection (Python 3.11).
        ended.set()
        await keeping
        async with unit_of_work(parts.pool) as work:
            await Reconciles(work.connection).release(run)


async def _keep(run: Run, parts: SyncParts, ended: asyncio.Event) -> None:
    while not ended.is_set():
        try:
            async with asyncio.timeout(LEASE_SECONDS / 3):
                await ended.wait()
        except TimeoutError:
            await _renew(run, parts)


async def _renew(run: Run, parts: SyncParts) -> None:
    try:
        async with unit_of_work(parts.pool) as work:
            await Reconciles(work.connection).renew(run)
    except Unavailable as error:
        log.warning("lease.unrenewed", account=run.account, reason=error.detail)


async def _through_record(
    run: Run, account: ConnectedAccount, parts: SyncParts, once: _Once
) -> Run:
    """Compare what we have a record of."""
    limit = _batch_of(account)
    while not (run.is_listing or parts.stopping.is_set()):
        async with unit_of_work(parts.pool) as work:
            keys = await Reconciles(work.connection).known(run, limit=limit)
        if keys:
            last = keys[-1]
            run = await _compare(keys, run, parts, once)
            run = replace(run, after_kind=str(last.kind), after_id=last.provider_id)
        else:
            run = replace(run, is_listing=True)
        run = await _note(run, parts, once)
    return run


async def _through_list(
    run: Run, account: ConnectedAccount, lister: HasList, parts: SyncParts, once: _Once
) -> Run:
    """Compare what the provider's list shows and we have no record of, or an older one."""
    length_max, limit = lister.window_max, _batch_of(account)
    since = run.listed_until or run.since
    while since < run.until and not parts.stopping.is_set():
        until = run.until if length_max is None else min(since + length_max, run.until)
        page = await _page(run, account, lister, (since, until), parts)
        async with unit_of_work(parts.pool) as work:
            news = await Windows(work.connection).news(account.name, page.items)
            news = await Reconciles(work.connection).beyond(run, news)
        run = replace(run, expected=run.expected + len(news))
        for first in range(0, len(news), limit):
            run = await _compare(news[first : first + limit], run, parts, once)
            if not run.dry_run:
                # What was repaired is no news when the page is read again; in a dry run it is.
                run = await _note(run, parts, once)
        since = since if page.next else until
        run = await _note(replace(run, page=page.next, listed_until=since), parts, once)
    return run


async def _page(
    run: Run,
    account: ConnectedAccount,
    lister: HasList,
    window: tuple[datetime, datetime],
    parts: SyncParts,
) -> Page:
    """Read a page of the list. Raises Unavailable, after which the run stands where it is.

    A cursor that the provider does not know any more is forgotten: that part begins anew.
    """
    call = partial(lister.list_page, *window, run.page)
    try:
        return await patiently(lambda: read_page(account, call, parts), parts)
    except SettledError as error:
        if not isinstance(error, NotAllowedYet):
            await wait_after(error, account.name, parts=parts)
        if isinstance(error, Rejected) and run.page is not None:
            async with unit_of_work(parts.pool) as work:
                await Reconciles(work.connection).note(replace(run, page=None))
        raise Unavailable(f"{account.name}: its list cannot be read: {error}") from error


async def _compare(keys: Sequence[Key], run: Run, parts: SyncParts, once: _Once) -> Run:
    """Read a few requests, tell their drift, and repair it unless this is a dry run.

    Raises Unavailable where no further read would help now: the run stands before them.
    """
    compared = await compare_fresh(keys, run, parts)
    news = [drift for drift in compared.drift if once.is_news(drift)]
    repaired = set() if run.dry_run else await _repair(news, parts)
    for drift in news:
        once.found(Told(drift, None if run.dry_run else drift.key in repaired))
    return replace(
        run,
        compared=run.compared + len(keys),
        expected=max(run.expected, run.compared + len(keys)),
        unread=run.unread + compared.unread,
        drift=run.drift_with([drift.drift for drift in news]),
    )


async def _repair(news: Sequence[Drift], parts: SyncParts) -> set[Key]:
    """Have what drifted read and recorded by the ordinary road; return what was brought up to date.

    Where the budget has no call left for one, that one is asked for again.
    """
    keys = [drift.key for drift in news]
    if not keys:
        return set()
    left = keys

    async def sync_what_is_left() -> None:
        nonlocal left
        looks = await sync_these(left, parts)
        denied = [look for look in looks if isinstance(look.failure, NotAllowedYet)]
        left = [look.claimed.key for look in denied]
        if denied and denied[0].failure is not None:
            raise denied[0].failure

    try:
        await patiently(sync_what_is_left, parts)
    except NotAllowedYet:
        log.warning("repair.postponed", account=keys[0].account, requests=len(left))
    async with unit_of_work(parts.pool) as work:
        standings = await standings_of(work.connection, keys)
    return {key for key, standing in standings.items() if standing.done == standing.wanted}


async def _note(run: Run, parts: SyncParts, once: _Once) -> Run:
    async with unit_of_work(parts.pool) as work:
        if not await Reconciles(work.connection).note(run):
            raise Unavailable(f"{run.account}: another process went on with this run")
    once.moved(run)
    return run


def _batch_of(account: ConnectedAccount) -> int:
    return max(1, min(SLOTS, account.limit.count))
