"""How many webhooks a process works on at a time: fewer while its event loop is late.

A loop that is late reads calls that have waited in their sockets already, and every call that it
takes on makes the next ones wait longer. It may take on fewer then, down to what still fills a
commit, and refuses the rest at their head, which costs little. One late turn, of a collection of
garbage for example, halves a room that ordinary load does not come near.
"""

import asyncio
import time

TICK_SECONDS = 0.05
LATE_SECONDS_MAX = 0.1
REQUESTS_MIN = 32  # half of what fills the commits of a process; source: tests/bench/load.py
GROWTH = 16  # one part in so many, for each turn in time: from the fewest to 1,024 in 3 s


class Room:
    """requests is how many may be in hand now; from REQUESTS_MIN to requests_max."""

    def __init__(self, requests_max: int) -> None:
        self.requests = requests_max
        self._requests_max = requests_max

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Judge, for as long as the loop runs, how late it comes to what is due."""
        due_at = time.monotonic() + TICK_SECONDS

        def tick() -> None:
            self.judge(time.monotonic() - due_at)
            self.watch(loop)

        loop.call_later(TICK_SECONDS, tick)

    def judge(self, late_seconds: float) -> None:
        """Halve the room when the loop is late, else let it grow by a sixteenth."""
        if late_seconds > LATE_SECONDS_MAX:
            self.requests = max(self.requests // 2, min(REQUESTS_MIN, self._requests_max))
        else:
            self.requests = min(self.requests + self.requests // GROWTH + 1, self._requests_max)
