"""One page of a provider's list, read within the polls' share of the budget."""

import asyncio
from collections.abc import Callable

import structlog

from service.errors import NotAllowedYet, SettledError, Unavailable
from service.fetch import ConnectedAccount, fetch
from service.flow.look import SyncParts, pause_after
from service.providers import Exchange, Page

log = structlog.get_logger()

# After a failed page, when the list is gone on with.
RETRY_SECONDS = 5.0

# How long a list that goes round is left alone.
ENDLESS_SECONDS = 3600.0

# The budget is waited for this long in place: the next page of a narrow one comes in a moment. With
# the exchange itself (15 s) it is less than the lease of a list.
PATIENCE_SECONDS = 5.0


async def read_page(
    account: ConnectedAccount, page: Callable[[], Exchange[Page]], parts: SyncParts
) -> Page:
    """Read a page as soon as the budget allows. Raises what `fetch` does."""
    patience_seconds = PATIENCE_SECONDS
    while True:
        try:
            fetched = await fetch(account, page(), line=parts.line, purpose="poll")
        except NotAllowedYet as error:
            wait_seconds = max(0.01, error.retry_after_seconds or RETRY_SECONDS)
            patience_seconds -= wait_seconds
            if patience_seconds < 0 or await is_stopped(parts, wait_seconds):
                raise
        else:
            await pause_after(None, account.name, parts=parts, hold_seconds=fetched.hold_seconds)
            return fetched.answer


def tell_endless(account: str, parts: SyncParts) -> None:
    """Say that a list does not end; a person has to ask the provider why."""
    log.error("list.abandoned", account=account, pages=parts.pages_max)


async def wait_after(error: SettledError, account: str, *, parts: SyncParts) -> float:
    """Return how long a list rests after a page failed; slows its account where that is due."""
    told = error.retry_after_seconds if isinstance(error, Unavailable) else None
    log.warning("list.postponed", account=account, reason=str(error))
    return await pause_after(error, account, parts=parts) or told or RETRY_SECONDS


async def is_stopped(parts: SyncParts, wait_seconds: float) -> bool:
    """Wait; return True at once when the process is told to stop."""
    try:
        async with asyncio.timeout(wait_seconds):
            return await parts.stopping.wait()
    except TimeoutError:
        return False
