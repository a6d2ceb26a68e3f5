"""The call budget of each account, shared by all workers through PostgreSQL.

Draws of one process are gathered: while one statement is under way, everybody else who wants a
call waits and is served by the next. Told reads come before polls, and unknown ids have a tenth
of the limit for themselves, so that forged ids cannot delay genuine ones.
Source: CONTRACT.md, section 3; RELIABILITY.md, T2 and F26.
"""

import asyncio
import time
from dataclasses import dataclass, field

from service.errors import NotAllowedYet
from service.fetch import ConnectedAccount, Purpose
from service.settings import Rate
from service.storage.accounts import Share, draw_calls, resume_accounts
from service.storage.database import Pool
from service.storage.unit_of_work import connected

# What polls leave to told reads.
POLL_SHARE = 0.7

# Unknown ids get one call in ten.
DISCOVERY_SHARE = 0.1

# Calls in hand are used or forgotten within a second, so that no worker hoards.
KEPT_SECONDS = 1.0

# A wide budget is drawn in slices of a tenth of the window, which saves statements; a narrow one
# is drawn call by call.
SLICES = 10


@dataclass
class _Purse:
    """Calls drawn and not yet used, by one process, for one account and purpose."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    left: int = 0
    left_until: float = 0.0
    empty_until: float = 0.0
    denied: int = 0
    on_probation: bool = False


class CallBudget:
    """Draws calls for this process. One per event loop."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._purses: dict[tuple[str, Purpose], _Purse] = {}

    async def draw(self, account: ConnectedAccount, purpose: Purpose) -> None:
        """Take one call from the account's budget.

        Raises NotAllowedYet with the time after which to try again; those times are spread as
        the budget allows, so that those who wait do not all come back together.
        """
        purse = self._purses.setdefault((account.name, purpose), _Purse())
        purse.waiting += 1
        try:
            async with purse.lock:
                await self._fill(purse, account, purpose)
        finally:
            purse.waiting -= 1

    async def answered(self, account: ConnectedAccount) -> None:
        """Say that the provider accepted a call, which ends a pause that has run out."""
        purses = [purse for (name, _), purse in self._purses.items() if name == account.name]
        if any(purse.on_probation for purse in purses):
            async with connected(self._pool) as connection:
                await resume_accounts(connection, [account.name])
            for purse in purses:
                purse.on_probation = False
                purse.empty_until = 0.0

    async def _fill(self, purse: _Purse, account: ConnectedAccount, purpose: Purpose) -> None:
        now = time.monotonic()
        if purse.left > 0 and now < purse.left_until:
            purse.left -= 1
            return
        if now < purse.empty_until:
            raise NotAllowedYet("budget", retry_after_seconds=_wait(purse, account.limit, now))
        wanted = max(purse.waiting, account.limit.count // SLICES, 1)
        granted = await self._ask(purse, account, purpose, wanted)
        now = time.monotonic()
        if granted == 0:
            raise NotAllowedYet("budget", retry_after_seconds=_wait(purse, account.limit, now))
        purse.left = granted - 1
        purse.left_until = now + KEPT_SECONDS
        purse.denied = 0

    async def _ask(
        self, purse: _Purse, account: ConnectedAccount, purpose: Purpose, wanted: int
    ) -> int:
        """Draw from PostgreSQL; on nothing, note until when there is nothing."""
        if purpose == "discovery":
            allowed = await self._ask_share(
                purse, account, "discovery", wanted, discovery_limit(account.limit)
            )
            if allowed == 0:
                return 0
            wanted = allowed
        limit = account.limit
        if purpose == "poll":
            limit = Rate(max(1, int(limit.count * POLL_SHARE)), limit.seconds)
        return await self._ask_share(purse, account, "all", wanted, limit)

    async def _ask_share(
        self, purse: _Purse, account: ConnectedAccount, share: Share, wanted: int, limit: Rate
    ) -> int:
        async with connected(self._pool) as connection:
            grant = await draw_calls(
                connection,
                account.name,
                share=share,
                wanted=wanted,
                calls_max=limit.count,
                window_seconds=limit.seconds,
            )
        purse.on_probation = grant.paused
        if grant.granted == 0:
            purse.empty_until = time.monotonic() + min(max(grant.wait_seconds, 0.01), 60.0)
        return grant.granted


def discovery_limit(limit: Rate) -> Rate:
    """Return the budget of unknown ids: a tenth of the calls, at least one in its time."""
    count = limit.count * DISCOVERY_SHARE
    if count >= 1:
        return Rate(int(count), limit.seconds)
    return Rate(1, limit.seconds / count)


def _wait(purse: _Purse, limit: Rate, now: float) -> float:
    """Return how long the next one in line waits: the n-th denied comes n calls later."""
    purse.denied += 1
    return max(0.0, purse.empty_until - now) + (purse.denied - 1) * limit.seconds / limit.count
