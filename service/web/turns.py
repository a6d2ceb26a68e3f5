"""Turns: how webhooks share the event loop, so that whoever calls meanwhile is heard soon.

The loop reads all that has arrived before it works on any of it. If it began all of that at once,
the next caller would wait until everything is done, a second on a slow machine, even for being
refused. So a few webhooks begin between two looks at the sockets, in the order in which they came,
and the others wait in a queue that is seen, unlike the kernel's. A burst waits there and is stored;
only a queue that stands is a reason to refuse.
"""

import asyncio
import math
import time
from collections import deque

BEGUN_MAX = 32  # between two looks at the sockets: half of what fills a commit; see tests/bench
WAIT_SECONDS_MAX = 0.5  # an eighth of what the provider with the least patience waits
TURN_SECONDS_MIN = 1e-6  # that none takes less keeps us from dividing by zero
SMOOTHED_OVER = 4  # turns


class Turns:
    """Lets webhooks begin, BEGUN_MAX in each turn of the event loop.

    webhooks_max is how many begin within WAIT_SECONDS_MAX, by how long turns took while some had
    to wait: whoever comes when so many are in hand would wait for longer, be it that they begin or
    that they are answered. While nobody waits it is infinite.
    """

    def __init__(self) -> None:
        self.webhooks_max = math.inf
        self._begun = 0  # in this turn
        self._turn_at = 0.0
        self._turn_seconds = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take_at_once(self) -> bool:
        """Take a turn if one is left; return whether there was one."""
        if not self._begun:
            self._turn_at = time.monotonic()
            asyncio.get_running_loop().call_soon(self._begin)
        if self._begun < BEGUN_MAX:
            self._begun += 1
            return True
        return False

    async def take(self) -> None:
        """Return when it is the caller's turn."""
        if self.take_at_once():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _begin(self) -> None:
        """Begin a turn with those who wait; there is one more after every turn that began any."""
        self._judge(time.monotonic())
        self._begun = 0
        while self._waiting and self._begun < BEGUN_MAX:
            turn = self._waiting.popleft()
            if not turn.done():  # its caller may have given up
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            asyncio.get_running_loop().call_soon(self._begin)

    def _judge(self, now: float) -> None:
        took, self._turn_at = now - self._turn_at, now
        if not self._waiting:
            self.webhooks_max = math.inf
            return
        took = min(took, WAIT_SECONDS_MAX)  # one that took longer stood still: the next will not
        self._turn_seconds += (took - self._turn_seconds) / SMOOTHED_OVER
        turns = WAIT_SECONDS_MAX / max(self._turn_seconds, TURN_SECONDS_MIN)
        self.webhooks_max = BEGUN_MAX * max(turns, 1.0)
