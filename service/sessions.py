"""Sessions with providers that have to be logged in to: opened once, shared by all workers.

A session lies in PostgreSQL. Whoever finds it spent takes a lease, opens the next one and stores
it; the others wait for it. No two openings follow each other faster than the provider allows,
those that failed or whose process died included. What a step on the way brought is stored
before the next one, so that no step is made twice.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.errors import NotAllowedYet, SettledError, Unavailable
from service.fetch import EXCHANGE_SECONDS_MAX, ConnectedAccount, Fetched, HeldSession
from service.providers import Exchange, NeedsSession, Session
from service.storage.database import Pool
from service.storage.sessions import (
    StoredSession,
    give_lease_back,
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
        self._spent: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def current(self, account: ConnectedAccount) -> HeldSession:
        """Return a session that is good for a while, opening one where there is none.

        Raises NotAllowedYet while the provider does not allow another opening, and whatever
        the opening itself ran into.
        """
        return await self._newer_than(self._spent.get(account.name, 0), account)

    async def renew(self, account: ConnectedAccount, *, spent: int) -> HeldSession:
        """Return a newer session than the spent one, which the provider refused.

        This process shows the spent one no more. Raises what `current` does.
        """
        self._spent[account.name] = max(spent, self._spent.get(account.name, 0))
        return await self._newer_than(spent, account)

    async def _newer_than(self, spent: int, account: ConnectedAccount) -> HeldSession:
        held = self._in_hand(account.name, spent)
        if held is not None:
            return held
        async with self._locks.setdefault(account.name, asyncio.Lock()):
            # Whoever held the lock may have found one meanwhile.
            return self._in_hand(account.name, spent) or await self._find(account, spent)

    def _in_hand(self, account: str, spent: int) -> HeldSession | None:
        kept = self._kept.get(account)
        if kept is None or kept.held.number <= spent or time.monotonic() >= kept.good_until:
            return None
        return kept.held

    async def _find(self, account: ConnectedAccount, spent: int) -> HeldSession:
        """Return the stored session if it is newer than spent and good, else the next one."""
        provider = account.provider
        assert isinstance(provider, NeedsSession), "only such accounts have sessions"
        deadline = time.monotonic() + OPENING_SECONDS_MAX
        while time.monotonic() < deadline:
            async with connected(self._pool) as connection:
                stored = await read_session(connection, account.name)
            if stored.number > spent and stored.left_seconds > LEFT_SECONDS_MIN:
                return self._keep(account, stored)
            _refuse_haste(stored, provider.session_seconds_min)
            async with connected(self._pool) as connection:
                is_ours = await lease_opening(
                    connection,
                    account.name,
                    spent=stored.number,
                    pause_seconds=provider.session_seconds_min,
                    lease_seconds=EXCHANGE_SECONDS_MAX + provider.session_seconds_min,
                )
            if is_ours:
                await self._open(account, stored, provider.open_session(stored.values), deadline)
            else:
                await asyncio.sleep(LOOK_SECONDS)
        raise Unavailable("session_not_opened", retry_after_seconds=1.0)

    async def _open(
        self,
        account: ConnectedAccount,
        stored: StoredSession,
        opening: Exchange[Session],
        deadline: float,
    ) -> None:
        """Store the session after the stored one, or a step towards it; give the lease back.

        A try that fails or is cancelled counts for the time between openings; one that our own
        call budget did not let begin is made again when it may, if that is before the deadline.
        """
        try:
            session = (await self._run_opening(account, opening)).answer
        except NotAllowedYet as error:
            await self._give_back(account, stored, counts=False)
            wait_seconds = error.retry_after_seconds or LOOK_SECONDS
            if time.monotonic() + wait_seconds > deadline:
                raise
            await asyncio.sleep(wait_seconds)
            return
        except (SettledError, asyncio.CancelledError):
            await self._give_back(account, stored, counts=True)
            raise
        async with connected(self._pool) as connection:
            await keep_session(
                connection,
                account.name,
                spent=stored.number,
                values=session.values,
                expires_in_seconds=session.expires_in_seconds,
                counts=session.counts,
            )

    async def _give_back(
        self, account: ConnectedAccount, stored: StoredSession, *, counts: bool
    ) -> None:
        async with connected(self._pool) as connection:
            await give_lease_back(connection, account.name, spent=stored.number, counts=counts)

    def _keep(self, account: ConnectedAccount, stored: StoredSession) -> HeldSession:
        held = HeldSession(stored.number, Session(stored.values, stored.left_seconds))
        good_until = time.monotonic() + stored.left_seconds - LEFT_SECONDS_MIN
        self._kept[account.name] = _Kept(held, good_until)
        return held


def _refuse_haste(stored: StoredSession, seconds_min: float) -> None:
    """Raise NotAllowedYet while the last opening is too recent for another."""
    wait_seconds = seconds_min - stored.opened_seconds
    if wait_seconds > 0:
        raise NotAllowedYet("session", retry_after_seconds=wait_seconds)
