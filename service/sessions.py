"""Sessions with providers that have to be logged in to: opened once, shared by all workers.

A session lies in PostgreSQL. Whoever finds it spent takes a lease, opens the next one and stores
it; the others wait for it. No two openings follow each other faster than the provider allows.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.errors import NotAllowedYet, SettledError, Unavailable
from service.fetch import ConnectedAccount, Fetched, HeldSession
from service.providers import Exchange, NeedsSession, Session
from service.storage.database import Pool
from service.storage.sessions import (
    StoredSession,
    give_up_opening,
    keep_session,
    lease_opening,
    read_session,
)
from service.storage.unit_of_work import connected

# A session that ends sooner than this is not begun with. Source: fact sheet bunq, section 1.
LEFT_SECONDS_MIN = 30.0

# While another worker opens the session.
LOOK_SECONDS = 0.1
OPENING_SECONDS_MAX = 12.0

# Runs an opening's exchange: without a session, within the account's budget.
RunOpening = Callable[[ConnectedAccount, Exchange[Session]], Awaitable[Fetched[Session]]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A session in this process's hands, and when to look for the next one (monotonic)."""

    held: HeldSession
    good_until: float


class Sessions:
    """The sessions of one process."""

    def __init__(self, pool: Pool, run_opening: RunOpening) -> None:
        self._pool = pool
        self._run_opening = run_opening
        self._kept: dict[str, _Kept] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def current(self, account: ConnectedAccount) -> HeldSession:
        """Return a session that is good for a while, opening one where there is none.

        Raises NotAllowedYet while the provider does not allow another opening, and whatever
        the opening itself ran into.
        """
        kept = self._kept.get(account.name)
        if kept is not None and time.monotonic() < kept.good_until:
            return kept.held
        async with self._locks.setdefault(account.name, asyncio.Lock()):
            return await self._find(account, spent=0)

    async def renew(self, account: ConnectedAccount, *, spent: int) -> HeldSession:
        """Return a newer session than the spent one, which the provider refused."""
        async with self._locks.setdefault(account.name, asyncio.Lock()):
            return await self._find(account, spent=spent)

    async def _find(self, account: ConnectedAccount, *, spent: int) -> HeldSession:
        """Return the stored session if it is newer than spent and good, else the next one."""
        deadline = time.monotonic() + OPENING_SECONDS_MAX
        while time.monotonic() < deadline:
            async with connected(self._pool) as connection:
                stored = await read_session(connection, account.name)
            if stored.number > spent and stored.left_seconds > LEFT_SECONDS_MIN:
                return self._keep(account, stored)
            _refuse_haste(account, stored)
            async with connected(self._pool) as connection:
                is_ours = await lease_opening(connection, account.name, spent=stored.number)
            if is_ours:
                await self._open(account, stored)
            else:
                await asyncio.sleep(LOOK_SECONDS)
        raise Unavailable("session_not_opened", retry_after_seconds=1.0)

    async def _open(self, account: ConnectedAccount, stored: StoredSession) -> None:
        assert isinstance(account.provider, NeedsSession), "only such accounts have sessions"
        try:
            opening = account.provider.open_session(stored.values)
            fetched = await self._run_opening(account, opening)
        except SettledError:
            async with connected(self._pool) as connection:
                await give_up_opening(connection, account.name, spent=stored.number)
            raise
        async with connected(self._pool) as connection:
            await keep_session(
                connection,
                account.name,
                spent=stored.number,
                values=fetched.answer.values,
                expires_in_seconds=fetched.answer.expires_in_seconds,
            )

    def _keep(self, account: ConnectedAccount, stored: StoredSession) -> HeldSession:
        held = HeldSession(stored.number, Session(stored.values, stored.left_seconds))
        good_until = time.monotonic() + stored.left_seconds - LEFT_SECONDS_MIN
        self._kept[account.name] = _Kept(held, good_until)
        return held


def _refuse_haste(account: ConnectedAccount, stored: StoredSession) -> None:
    """Raise NotAllowedYet while the last opening is too recent for another."""
    assert isinstance(account.provider, NeedsSession), "only such accounts have sessions"
    wait_seconds = account.provider.session_seconds_min - stored.opened_seconds
    if wait_seconds > 0:
        raise NotAllowedYet("session", retry_after_seconds=wait_seconds)
