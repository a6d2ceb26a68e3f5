"""The drains of a process: each works off what is due whenever its bell rings."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import structlog

from service.errors import Unavailable
from service.flow.deliver import deliver_due
from service.flow.look import SyncParts
from service.flow.sweep import sweep
from service.flow.sync import sync_due
from service.nudge import DELIVER, QUEUES, RECONCILE, SWEEP, SYNC
from service.runtime import Runtime, deliver_parts, sync_parts
from service.storage.workers import forget_worker, note_worker
from workers.lookout import Lookout
from workers.reconciler import Reconciler

log = structlog.get_logger()

# Reads under way in one process. Half of them are recorded together where a provider answers at
# once, and a commit costs nearly the same however many it holds.
READ_SLOTS = 256

# Attempts under way in one process. Source: PERFORMANCE.md, section 9.
SLOTS = 128

# After PostgreSQL was away.
RETRY_SECONDS = 1.0

PROGRESS_SECONDS = 5.0


class Drains:
    """What one process works off, on one event loop; none of the drains waits for another."""

    def __init__(
        self, runtime: Runtime, *, read_slots: int = READ_SLOTS, slots: int = SLOTS
    ) -> None:
        self._runtime = runtime
        self._read_slots = read_slots
        self._slots = slots
        self._stopping = asyncio.Event()
        self._bells = {task: asyncio.Event() for task in QUEUES}
        self._progressed = True
        self._sync = sync_parts(
            runtime,
            stopping=self._stopping,
            outbox_filled=self._bells[DELIVER].set,
            recorded=self._note,
        )
        self._lookout = Lookout(runtime.bell, SYNC, pool=runtime.pool, drain=self._bells[SYNC])
        self._reconciler = Reconciler(self._sync)
        self._deliver = deliver_parts(runtime, stopping=self._stopping, recorded=self._note)

    @property
    def sync_parts(self) -> SyncParts:
        """What a sync of this process touches; stopping is set when the drains are told to stop."""
        return self._sync

    def ring(self, task: str) -> None:
        """Have a drain look for work; call it on the event loop."""
        self._bells[task].set()
        if task == SYNC:
            self._lookout.heard()

    def stop(self) -> None:
        """Claim nothing more; what is in hand is finished."""
        self._stopping.set()
        self._lookout.stop()
        for bell in self._bells.values():
            bell.set()

    async def run(self) -> None:
        """Begin with what is due, then answer the bells; say every few seconds that it goes on."""
        for bell in self._bells.values():
            bell.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.answer())
            group.create_task(self._report())

    async def answer(self) -> None:
        """Answer the bells until stopped, then finish what is in hand."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lookout.run())
            group.create_task(self._answer(SYNC, self.sync))
            group.create_task(self._answer(DELIVER, self.deliver))
            group.create_task(self._answer(SWEEP, self.sweep))
            group.create_task(self._answer(RECONCILE, self.reconcile))

    async def sync(self) -> int:
        return await sync_due(self._sync, slots=self._read_slots, bell=self._bells[SYNC])

    async def deliver(self) -> int:
        return await deliver_due(self._deliver, slots=self._slots, bell=self._bells[DELIVER])

    async def sweep(self) -> int:
        polling = self._runtime.settings.polling
        found = await sweep(self._sync, every=polling.sweep, lookback=polling.sweep_lookback)
        if found:
            self.ring(SYNC)
        return found

    async def reconcile(self) -> int:
        return await self._reconciler.work_off()

    async def _answer(self, task: str, drain: Callable[[], Awaitable[int]]) -> None:
        try:
            while not self._stopping.is_set():
                await self._bells[task].wait()
                if not self._stopping.is_set():
                    await self._work_off(task, drain)
        finally:
            # One that ends ends all: a cancellation can get lost in a wait for a connection
            # (asyncio.wait_for up to Python 3.11), and then nobody would notice the bug.
            self.stop()

    async def _work_off(self, task: str, drain: Callable[[], Awaitable[int]]) -> None:
        bell = self._bells[task]
        bell.clear()
        try:
            await drain()
        except Unavailable as error:
            log.warning("drain.postponed", task=task, reason=error.detail)
            await self._pause(RETRY_SECONDS)
            bell.set()
        else:
            self._note()

    def _note(self) -> None:
        self._progressed = True

    async def _report(self) -> None:
        """Say every few seconds that this process lives, and whether it got anywhere."""
        url = self._runtime.urls.postgres
        while not self._stopping.is_set():
            progressed, self._progressed = self._progressed, False
            try:
                await note_worker(url, pid=os.getpid(), progressed=progressed)
            except Unavailable as error:
                self._progressed |= progressed
                log.warning("progress.postponed", reason=error.detail)
            await self._pause(PROGRESS_SECONDS)
        try:
            await forget_worker(url, pid=os.getpid())
        except Unavailable as error:
            log.warning("progress.kept", reason=error.detail)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
