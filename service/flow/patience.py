"""Patience: what the call budget does not allow now is tried again when it may."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.errors import NotAllowedYet
from service.flow.look import SyncParts
from service.flow.pages import is_stopped

T = TypeVar("T")

# Nobody waits longer for one call: then the account is paused, or others use its budget up.
PATIENCE_SECONDS = 120.0

RETRY_SECONDS = 1.0


async def patiently(attempt: Callable[[], Awaitable[T]], parts: SyncParts) -> T:
    """Return what attempt comes to, tried again for as long as the budget has no call for it.

    Raises NotAllowedYet after two minutes, or when parts.stopping is set; and all else that
    attempt does.
    """
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await attempt()
        except NotAllowedYet as error:
            wait_seconds = max(0.01, error.retry_after_seconds or RETRY_SECONDS)
            if time.monotonic() + wait_seconds > give_up_at:
                raise
            if await is_stopped(parts, wait_seconds):
                raise
