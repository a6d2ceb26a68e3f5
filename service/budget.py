"""The call budget of each credential, shared by all workers through PostgreSQL.

Accounts that log in with the same secret at the same address are one caller to their provider, so
they draw on one budget.

Draws of one process are gathered: while one statement is under way, everybody else who wants a
call waits and is served by the next. Polls leave a part to told reads. A read of an unknown id
needs a permit besides: permits are few, and one comes back when the provider knows the id, so
that genuine discoveries flow while forged ids soon have to wait.
Source: CONTRACT.md, section 3; RELIABILITY.md, T2 and F26.
"""

import asyncio
import hmac
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from service.errors import NotAllowedYet
from service.fetch import ConnectedAccount, Purpose
from service.settings import Account, Rate, Secret
from service.storage.accounts import Share, draw_calls, note_read, resume_accounts
from service.storage.database import Pool
from service.storage.unit_of_work import connected

# What polls leave to told reads.
POLL_SHARE = 0.7

# Unknown ids that the provider does not know cost at most one call in ten.
DISCOVERY_SHARE = 0.1

# A wide budget is drawn in slices, which saves statements: twice what the last one was used for,
# at most a tenth of the window. What is drawn and not used is lost to everybody, so few calls are
# drawn few at a time; a narrow budget is drawn call by call.
SLICES = 10

# Calls in hand are used or forgotten within the time of a slice, at most a second: no worker
# hoards.
KEPT_SECONDS_MAX = 1.0

# When an account was last read is a sign of life for people: it may be this old.
READ_NOTED_SECONDS = 5.0


@dataclass
class _Purse:
    """Calls drawn and not yet used, by one process, for one budget and purpose.

    used counts the calls taken since they were last drawn. drawn_for names the accounts that
    took from it, whose pauses an answer ends.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    left: int = 0
    used: int = 0
    left_until: float = 0.0
    empty_until: float = 0.0
    denied: int = 0
    on_probation: bool = False
    drawn_for: set[str] = field(default_factory=set)


class CallBudget:
    """Draws calls for this process. One per event loop."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._calls: dict[tuple[str, Purpose], _Purse] = {}
        self._permits: dict[str, _Purse] = {}
        self._read_noted: dict[str, float] = {}  # monotonic, by account

    async def draw(self, account: ConnectedAccount, purpose: Purpose) -> None:
        """Take one call from the account's budget.

        Raises NotAllowedYet with the time after which to try again; those times are spread as
        the budget allows, so that those who wait do not all come back together.
        """
        if purpose == "discovery":
            limit = discovery_limit(account.limit)
            await self._take(self._permits_of(account), account, "discovery", limit)
        try:
            purse = self._calls.setdefault((account.budget, purpose), _Purse())
            await self._take(purse, account, "all", limit_for(purpose, account.limit))
        except NotAllowedYet:
            if purpose == "discovery":
                _put_back(self._permits_of(account), account.limit)
            raise

    async def answered(self, account: ConnectedAccount, purpose: Purpose) -> None:
        """Say that the provider knows what was asked for.

        Gives the permit of a discovery back, ends a pause that has run out, and notes now and
        then that the account was read.
        """
        if purpose == "discovery":
            _put_back(self._permits_of(account), account.limit)
        if time.monotonic() >= self._read_noted.get(account.name, 0.0) + READ_NOTED_SECONDS:
            self._read_noted[account.name] = time.monotonic()
            async with connected(self._pool) as connection:
                await note_read(connection, account.name)
        purses = [purse for (key, _), purse in self._calls.items() if key == account.budget]
        purses.append(self._permits_of(account))
        if any(purse.on_probation for purse in purses):
            names = {account.name}.union(*(purse.drawn_for for purse in purses))
            async with connected(self._pool) as connection:
                await resume_accounts(connection, names)
            for purse in purses:
                purse.on_probation = False
                purse.empty_until = 0.0

    def _permits_of(self, account: ConnectedAccount) -> _Purse:
        return self._permits.setdefault(account.budget, _Purse())

    async def _take(
        self, purse: _Purse, account: ConnectedAccount, share: Share, limit: Rate
    ) -> None:
        """Take one from a purse, filling it from PostgreSQL when it is empty."""
        purse.waiting += 1
        purse.drawn_for.add(account.name)
        try:
            async with purse.lock:
                now = time.monotonic()
                if now >= purse.left_until:
                    purse.left = 0
                if purse.left == 0 and now >= purse.empty_until:
                    await self._fill(purse, account, share, limit)
                if purse.left == 0:
                    wait_seconds = _wait(purse, limit, time.monotonic())
                    raise NotAllowedYet("budget", retry_after_seconds=wait_seconds)
                purse.left -= 1
                purse.used += 1
        finally:
            purse.waiting -= 1

    async def _fill(
        self, purse: _Purse, account: ConnectedAccount, share: Share, limit: Rate
    ) -> None:
        """Draw for everybody who waits; on nothing, note until when there is nothing.

        What is drawn may be used a little later, so the window that is counted is longer by
        that: the provider never sees more than the limit in any window of its own.
        """
        kept_seconds = _kept_seconds(account.limit)
        slice_calls = min(2 * purse.used, limit.count // SLICES)
        async with connected(self._pool) as connection:
            grant = await draw_calls(
                connection,
                account.name,
                credential=account.budget,
                share=share,
                wanted=max(purse.waiting, slice_calls, 1),
                calls_max=limit.count,
                window_seconds=limit.seconds + kept_seconds,
            )
        now = time.monotonic()
        purse.on_probation = grant.paused
        purse.left = grant.granted
        purse.used = 0
        purse.left_until = now + kept_seconds
        if grant.granted:
            purse.denied = 0
            purse.empty_until = 0.0
        else:
            purse.empty_until = now + min(max(grant.wait_seconds, 0.01), 60.0)


def credential_of(account: Account, secret: Secret) -> str:
    """Return the fingerprint of what an account logs in with, from which no secret follows."""
    place = f"settled budget {account.provider} {(account.api_base or '').rstrip('/')}"
    return hmac.digest(secret.reveal().encode(), place.encode(), "sha256").hex()


def share_limits(accounts: Iterable[ConnectedAccount]) -> list[ConnectedAccount]:
    """Return the accounts with one limit for each credential: the lowest that any of them names."""
    listed = list(accounts)
    lowest: dict[str, Rate] = {}
    for account in listed:
        known = lowest.setdefault(account.budget, account.limit)
        lowest[account.budget] = min(known, account.limit, key=_calls_a_second)
    return [replace(account, limit=lowest[account.budget]) for account in listed]


def limit_for(purpose: Purpose, limit: Rate) -> Rate:
    """Return how much of an account's limit a purpose may use up."""
    if purpose == "told":
        return limit
    return Rate(max(1, int(limit.count * POLL_SHARE)), limit.seconds)


def discovery_limit(limit: Rate) -> Rate:
    """Return how many permits there are: a tenth of the calls, at least one in its time."""
    count = limit.count * DISCOVERY_SHARE
    if count >= 1:
        return Rate(int(count), limit.seconds)
    return Rate(1, limit.seconds / count)


def _calls_a_second(limit: Rate) -> float:
    return limit.per_second


def _wait(purse: _Purse, limit: Rate, now: float) -> float:
    """Return how long the next one in line waits: the n-th denied comes n calls later."""
    purse.denied += 1
    return max(0.0, purse.empty_until - now) + (purse.denied - 1) * limit.seconds / limit.count


def _put_back(purse: _Purse, limit: Rate) -> None:
    """Give one back for a while; an older remainder is forgotten."""
    now = time.monotonic()
    purse.left = (purse.left if now < purse.left_until else 0) + 1
    purse.left_until = now + _kept_seconds(limit)


def _kept_seconds(limit: Rate) -> float:
    """Return how long what was drawn may wait to be used."""
    return min(KEPT_SECONDS_MAX, limit.seconds / SLICES)
