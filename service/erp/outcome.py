"""What one attempt came to, whatever kind of endpoint it went to."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.lane import Result


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to, fit to be stored and shown: no key is in it.

    code is `http_` and the status, or a word such as "timeout", "address_refused", "gone".
    status_code is None where no answer came. excerpt is the start of the answer as one line.
    """

    result: Result
    code: str
    status_code: int | None
    duration_ms: int
    excerpt: str
    retry_after_seconds: float | None


@dataclass(frozen=True, slots=True)
class Notification:
    """What goes out: the id, the type and the bytes of the body."""

    id: str
    type: str
    body: bytes


class Outlet(Protocol):
    """Where an endpoint takes notifications that are not posted: a recipe, a file, a stream."""

    async def take(
        self, notifications: Sequence[Notification], *, at: datetime, timeout_seconds: float
    ) -> Outcome:
        """Hand notifications over, all of them or none, and say what it came to.

        at is the database's time of the claim. Raises nothing for what the other side does.
        """
        ...

    async def aclose(self) -> None:
        """Close what is kept open."""
        ...


def outcome(result: Result, code: str, *, since: float, excerpt: str = "") -> Outcome:
    """Return the outcome of an attempt without an HTTP answer that began at monotonic since."""
    return Outcome(result, code, None, milliseconds_since(since), excerpt, None)


def milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
