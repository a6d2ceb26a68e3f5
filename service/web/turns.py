"""Turns: how webhooks share the event loop, so that whoever calls meanwhile is heard soon.

The loop reads all that has arrived before it works on any of it. If it began all of that at once,
the next caller would wait until everything is done, a second on a slow machine, even for being
refused. So a few webhooks begin between two looks at the sockets, in the order in which they came,
and the others wait in a queue that is seen, unlike the kernel's. A burst waits there and is stored;
only a queue that stands is a reason to refuse.
"""

import asyncio
from collections import deque

BEGUN_MAX = 32  # between two looks at the sockets: half of what fills a commit; see tests/bench
WAIT_SECONDS_MAX = 0.25  # source: RELIABILITY.md, G5


class Turns:
    """Lets webhooks begin, BEGUN_MAX in each turn of the event loop.

    is_behind tells that who is next has waited for longer than WAIT_SECONDS_MAX: whoever comes
    now would wait for as long. It is judged after a turn, so that a process that stood still and
    has its queue done in one turn refuses nobody.
    """

    def __init__(self) -> None:
        self.is_behind = False
        self._begun = 0  # in this turn
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()

    def take_at_once(self) -> bool:
        """Take a turn if one is left; return whether there was one."""
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._begin)
        if self._begun < BEGUN_MAX:
            self._begun += 1
            return True
        return False

    async def take(self) -> None:
        """Return when it is the caller's turn."""
        if self.take_at_once():
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append((loop.time(), turn))
        await turn

    def _begin(self) -> None:
        """Begin a turn with those who wait; there is one more after every turn that began any."""
        loop = asyncio.get_running_loop()
        self._begun = 0
        while self._waiting and self._begun < BEGUN_MAX:
            _, turn = self._waiting.popleft()
            if not turn.done():  # its caller may have given up
                turn.set_result(None)
                self._begun += 1
        now = loop.time()
        self.is_behind = bool(self._waiting) and now - self._waiting[0][0] > WAIT_SECONDS_MAX
        if self._begun:
            loop.call_soon(self._begin)
