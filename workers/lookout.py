"""Lookout: while webhooks come one after the other, a worker looks for them itself.

A message through Celery costs about as much as a read with its recording. The first of a stream
arrive by message; then this process keeps everybody from ringing and asks PostgreSQL, until
nothing has come for a while or its drain has its hands full.
"""

import asyncio
import time

import structlog

from service.errors import Unavailable
from service.nudge import LOOKOUT_MILLISECONDS, Bell
from service.storage.database import Pool
from service.storage.due import DueTable
from service.storage.unit_of_work import connected

log = structlog.get_logger()

# Two rings no further apart are a stream.
STREAM_SECONDS = 0.15

# Between two looks. Each is one statement of about 0.1 ms.
LOOK_SECONDS = 0.01

# Nothing came for so long: whoever has something rings again.
QUIET_SECONDS = 0.1

# A drain that has not answered for so long is busy: others are rung, and it stays with what it
# has in hand for a while.
BUSY_SECONDS = 0.1
REST_SECONDS = 1.0

# Well before the token would end by itself.
KEEP_SECONDS = LOOKOUT_MILLISECONDS / 1000 / 4


class Lookout:
    """Looks for due requests while they come in a stream, and has the drain of one process claim.

    drain is the event that has it look for work; it clears it before it claims.
    """

    def __init__(self, bell: Bell, task: str, *, pool: Pool, drain: asyncio.Event) -> None:
        self._bell = bell
        self._task = task
        self._pool = pool
        self._drain = drain
        self._wanted = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._stopped = False
        self._heard_at = self._rests_until = 0.0  # monotonic

    def heard(self) -> None:
        """Note a ring; two that follow closely begin the lookout."""
        now = time.monotonic()
        if now < self._heard_at + STREAM_SECONDS and now >= self._rests_until:
            self._wanted.set()
        self._heard_at = now

    def stop(self) -> None:
        """End the lookout, and begin none."""
        self._stopped = True
        self._wanted.set()

    async def run(self) -> None:
        """Look out whenever there is a stream, until stopped."""
        while True:
            await self._wanted.wait()
            if self._stopped:
                return
            self._wanted.clear()
            if time.monotonic() < self._rests_until:
                continue
            if await asyncio.to_thread(self._bell.take_over, self._task):
                try:
                    await self._look_out()
                except Unavailable as error:
                    log.warning("lookout.ended", reason=error.detail)
                finally:
                    await self._give_back()

    async def _give_back(self) -> None:
        """Have everybody ring again, and somebody look for what came before they could."""
        if self._keeping is not None:
            await self._keeping
        await asyncio.to_thread(self._bell.give_back, self._task)
        if self._stopped:
            await asyncio.to_thread(self._bell.ring, self._task)
        else:
            self._drain.set()

    async def _look_out(self) -> None:
        """Have the drain claim what comes, until nothing does or it is busy."""
        answered_at = found_at = kept_at = time.monotonic()
        while not self._stopped:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            if self._drain.is_set():
                if now > answered_at + BUSY_SECONDS:
                    self._rests_until = now + REST_SECONDS
                    return
                continue
            answered_at = now
            if await self._is_anything_due():
                found_at = now
                self._drain.set()
            elif now > found_at + QUIET_SECONDS:
                return
            if now > kept_at + KEEP_SECONDS and (self._keeping is None or self._keeping.done()):
                # Not waited for: while Redis hangs nobody rings, and looking is the only way.
                kept_at = now
                self._keeping = asyncio.create_task(
                    asyncio.to_thread(self._bell.keep, self._task), name="lookout's token"
                )

    async def _is_anything_due(self) -> bool:
        async with connected(self._pool) as connection:
            return await DueTable(connection).is_anything_due()
