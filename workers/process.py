"""One worker process: Celery hears the doorbell in the main thread, the work runs in a loop.

The loop has a thread of its own because the solo pool runs one task at a time: a task that waited
for an answer from the ERP would keep the process from hearing that a payment came in.
"""

import asyncio
import gc
import os
import threading

import structlog
import uvloop

from service.errors import Unavailable
from service.runtime import Runtime, Urls, introduce, open_runtime
from service.settings import Settings
from workers.drains import Drains

log = structlog.get_logger()

# How long a process that was told to stop finishes what it has in hand. Longer than an attempt
# usually may take (20 s), shorter than the supervisor's patience (25 s).
STOP_SECONDS = 23.0


class WorkerProcess:
    """Owns the event loop of a worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runtime: Runtime | None = None
        self._drains: Drains | None = None
        self._thread = threading.Thread(target=self._run, name="drains", daemon=True)

    def start(self) -> Urls:
        """Open the runtime in its own thread; return where its servers are, once drains answer.

        Ends the process when PostgreSQL is away.
        """
        threading.excepthook = _end_process
        self._thread.start()
        self._opened.wait()
        assert self._runtime is not None, "set before the event"
        return self._runtime.urls

    def ring(self, task: str) -> None:
        """Answer a doorbell: take its token away and have the drain look for work."""
        if self._runtime is None or self._loop is None or self._drains is None:
            return
        self._runtime.bell.heard(task)
        self._loop.call_soon_threadsafe(self._drains.ring, task)

    def stop_soon(self) -> None:
        """Claim nothing more; safe to call from a signal handler and more than once."""
        loop, drains = self._loop, self._drains
        if loop is not None and drains is not None and not loop.is_closed():
            loop.call_soon_threadsafe(drains.stop)

    def stop(self) -> None:
        """Finish what is in hand and close the runtime."""
        self.stop_soon()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._work())

    async def _work(self) -> None:
        async with open_runtime(self._settings, role="worker") as runtime:
            await introduce(runtime)
            self._runtime = runtime
            self._loop = asyncio.get_running_loop()
            self._drains = Drains(runtime)
            # What is there now stays: collecting garbage need not walk through it under load.
            gc.collect()
            gc.freeze()
            self._opened.set()
            await self._drains.run()


def _end_process(crash: threading.ExceptHookArgs) -> None:
    """End the whole process when its loop fails, whatever it was, MemoryError included.

    A process that cannot work on must not look alive; the supervisor starts a new one, and the
    leases bring its rows back. Unavailable only comes here before the drains run: what is away
    later they wait for.
    """
    error = crash.exc_value
    if isinstance(error, Unavailable):
        log.warning("worker.postponed", reason=error.detail)
    else:
        log.error("worker.crashed", exc_info=(crash.exc_type, error, crash.exc_traceback))
    os._exit(1)
