"""bunq's rate limits, the stricter of the two documented sets.

Source: fact sheet bunq, section 9. It leaves open whether a list and its items are one endpoint;
here they are.
"""

import time
from collections.abc import Callable, Mapping

from service.sandbox.limits import CallLimit

CALLS: Mapping[str, int] = {"GET": 3, "POST": 5, "PUT": 2}
WINDOW_SECONDS = 3
SESSION_SERVER = "session-server"
SESSION_WINDOW_SECONDS = 30


class Rates:
    """One caller's limits, each made with its first call. factor widens them."""

    def __init__(self, factor: float = 1, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._factor = factor
        self._monotonic = monotonic
        self._limits: dict[tuple[str, str], CallLimit] = {}

    def refusal(self, method: str, endpoint: str) -> str | None:
        """Count a call; return what to say where it is one too many."""
        if method not in CALLS:
            return None
        limit = self._limits.get((method, endpoint))
        if limit is None:
            limit = self._limits[method, endpoint] = self._limit(method, endpoint)
        if limit.take():
            return None
        return (
            f"Too many requests. You can do a maximum of {limit.calls} calls per "
            f"{limit.seconds:.0f} second to this endpoint."
        )

    def _limit(self, method: str, endpoint: str) -> CallLimit:
        is_session = endpoint == SESSION_SERVER
        calls = 1 if is_session else CALLS[method]
        seconds = SESSION_WINDOW_SECONDS if is_session else WINDOW_SECONDS
        return CallLimit(max(1, int(calls * self._factor)), seconds, self._monotonic)
