"""How often somebody may present a wrong key: sign-ins that failed lately, by where from."""

import math
from collections import OrderedDict, deque
from typing import Final

FAILURES_MAX: Final = 10
WINDOW_SECONDS: Final = 900.0

# Beyond so many addresses the one that failed longest ago is forgotten: memory has a bound.
SOURCES_MAX: Final = 10_000


class Failures:
    """Counts in this process; with several of them each lets as many through.

    API keys are long and random: the bound keeps guessing out of the logs and off the processor,
    and is not what protects them. Times are seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, source: str, *, now: float) -> None:
        """Count a wrong key from this source."""
        times = self._times.setdefault(source, deque(maxlen=FAILURES_MAX))
        times.append(now)
        self._times.move_to_end(source)
        while len(self._times) > SOURCES_MAX:
            self._times.popitem(last=False)

    def wait_seconds(self, source: str, *, now: float) -> int:
        """Return how long this source has to wait until it may try again, 0 for not at all."""
        times = self._times.get(source)
        if times is None or len(times) < FAILURES_MAX:
            return 0
        return max(0, math.ceil(times[0] + WINDOW_SECONDS - now))
