"""The Celery application. A message is a doorbell: it says that something is due, never what.

Started as `python -m workers.app` by `settled worker`, one solo process per core: the solo pool
survived every kill of Redis where prefork and threads did not, and one event loop per process is
all that the work needs. Source: RELIABILITY.md, M3.
"""

import os
import sys
import warnings
from pathlib import Path

from celery.platforms import SecurityWarning
from celery.signals import worker_shutting_down

from service import settings
from service.nudge import QUEUES, celery_of
from service.telemetry import logs, traces
from workers import tasks
from workers.process import WorkerProcess


def main(path: Path | None) -> None:
    """Run one worker process until it is told to stop; end with 1 when PostgreSQL is away."""
    configuration = settings.load(path, os.environ)
    logs.configure(configuration.settled.log, role="worker")
    traces.send_to(configuration.settled.traces, role="worker")
    process = WorkerProcess(configuration)
    app = celery_of(process.start().redis)
    tasks.register(app, process)
    worker_shutting_down.connect(lambda **_: process.stop_soon(), weak=False)
    # Celery warns root because of pickled messages; ours are JSON without content.
    warnings.simplefilter("ignore", SecurityWarning)
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=solo",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=WARNING",
            f"--queues={','.join(QUEUES.values())}",
            f"--hostname=settled-{os.getpid()}@%h",
        ]
    )
    process.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
