"""Beat: our own loop, any number of them.

It rings for what is due, so that a lost wake-up costs a second; it feeds recoveries; it keeps the
partitions; it reconciles every night; and while Redis is away it works off due rows itself, slowly.

Started as `python -m workers.beat` by `settled beat`.
"""

import asyncio
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import structlog
import uvloop

from service import settings
from service.errors import Unavailable
from service.flow.recover import feed
from service.flow.sweep import is_sweep_due
from service.nudge import DELIVER, RECONCILE, SWEEP, SYNC
from service.runtime import Runtime, introduce, open_runtime, utc_now
from service.settings import Settings
from service.storage.feed import place
from service.storage.idempotency import forget_answers
from service.storage.lanes import Lanes
from service.storage.partitions import keep_partitions
from service.storage.reconciles import Reconciles, forget_runs
from service.storage.unit_of_work import connected, unit_of_work
from service.storage.windows import forget_windows
from service.telemetry import logs, traces
from workers.drains import Drains
from workers.nightly import Nightly

log = structlog.get_logger()

TICK_SECONDS = 0.5

# Redis away for this long: beat works itself. Source: RELIABILITY.md, F18.
SILENCE_SECONDS = 10.0

# Reads and attempts under way while beat works itself: slow, but nothing stands still.
OWN_SLOTS = 4

HOUSE_SECONDS = 3600.0
HOUSE_RETRY_SECONDS = 60.0


class Beat:
    """One loop; two of them side by side do no harm.

    Redis away for silence_seconds: its own drains work, until it answers again.
    """

    def __init__(self, runtime: Runtime, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._runtime = runtime
        self._silence_seconds = silence_seconds
        self._drains = Drains(runtime, read_slots=OWN_SLOTS, slots=OWN_SLOTS)
        at = runtime.settings.reconcile.nightly_at
        self._nightly = Nightly(self._drains.sync_parts, at=at)
        self._stopping = asyncio.Event()
        self._silent_since: float | None = None
        self._works = False
        self._house_at = 0.0

    def stop(self) -> None:
        """Ring no more; what its own drains have in hand is finished."""
        self._stopping.set()
        self._drains.stop()

    async def run(self) -> None:
        """Tick until stopped."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._drains.answer())
            group.create_task(self._tick_on())
            group.create_task(self._nightly.run())

    async def _tick_on(self) -> None:
        """Tick until stopped. PostgreSQL being away only makes a tick fail."""
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                await self._tick()
            except Unavailable as error:
                log.warning("tick.postponed", reason=error.detail)
            await self._pause(TICK_SECONDS - (time.monotonic() - started))

    async def _tick(self) -> None:
        await feed(self._runtime.pool, self._runtime.endpoints)
        await self._ring(await self._due_tasks())
        # Last, because they may wait for a lock: whoever holds it, what is due was rung for.
        await place(self._runtime.pool)
        await self._keep_house()

    async def _ring(self, tasks: list[str]) -> None:
        """Ring for tasks; while Redis does not hear, have them worked off here."""
        if not tasks:
            return
        bell = self._runtime.bell
        answered = [await asyncio.to_thread(bell.ring, task) for task in tasks]
        self._note_silence(all(answered))
        if self._works:
            for task in tasks:
                self._drains.ring(task)

    def _note_silence(self, answered: bool) -> None:
        """Take the workers' place, or step back, when Redis has been silent, or is no more."""
        if answered:
            if self._works:
                log.info("broker.returned")
            self._silent_since, self._works = None, False
            return
        self._silent_since = self._silent_since or time.monotonic()
        if not self._works and time.monotonic() - self._silent_since >= self._silence_seconds:
            self._works = True
            log.error("broker.missed", seconds=self._silence_seconds)

    async def _due_tasks(self) -> list[str]:
        """Return the tasks that have something to do now."""
        tasks = []
        async with unit_of_work(self._runtime.pool) as work:
            if await work.due.is_anything_due():
                tasks.append(SYNC)
            # A sync has its own worker deliver: we ring for what nobody took within a tick.
            if await Lanes(work.connection).with_work(waited_seconds=TICK_SECONDS):
                tasks.append(DELIVER)
            every: timedelta = self._runtime.settings.polling.sweep
            if await is_sweep_due(work.connection, self._runtime.accounts, every=every):
                tasks.append(SWEEP)
            reconciles = Reconciles(work.connection)
            if await reconciles.left_to_workers(list(self._runtime.accounts)):
                tasks.append(RECONCILE)
        return tasks

    async def _keep_house(self) -> None:
        """Make and drop partitions, forget what is past, once an hour; after a failure soon."""
        if time.monotonic() < self._house_at:
            return
        self._house_at = time.monotonic() + HOUSE_RETRY_SECONDS
        async with connected(self._runtime.pool) as connection:
            dropped = await keep_partitions(
                connection,
                today=utc_now().date(),
                raw_bodies=self._runtime.settings.privacy.raw_bodies,
                facts=self._runtime.settings.privacy.facts,
            )
            await forget_answers(connection)
            await forget_windows(connection)
            await forget_runs(connection)
        self._house_at = time.monotonic() + HOUSE_SECONDS
        for name in dropped:
            log.info("partition.dropped", partition=name)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._stopping.wait()
        except TimeoutError:
            return


async def run(configuration: Settings) -> None:
    """Run one beat until SIGTERM or SIGINT."""
    async with open_runtime(configuration, role="beat") as runtime:
        await introduce(runtime)
        beat = Beat(runtime)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, beat.stop)
        await beat.run()


def main(path: Path | None) -> None:
    """Run one beat until it is told to stop; end with 1 when PostgreSQL is away at the start."""
    configuration = settings.load(path, os.environ)
    logs.configure(configuration.settled.log, role="beat")
    traces.send_to(configuration.settled.traces, role="beat")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(configuration))
    except Unavailable as error:
        log.warning("beat.postponed", reason=error.detail)
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
