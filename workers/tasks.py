"""The tasks. Each answers a doorbell and returns at once: the work goes on in the loop."""

from celery import Celery

from service.nudge import DELIVER, RECONCILE, SWEEP, SYNC
from workers.process import WorkerProcess


def register(app: Celery, process: WorkerProcess) -> None:
    """Define the tasks of one worker process on its application."""

    @app.task(name=SYNC)
    def sync_requests() -> None:
        """Read the requests that are due."""
        process.ring(SYNC)

    @app.task(name=DELIVER)
    def deliver_notifications() -> None:
        """Send the notifications that are due."""
        process.ring(DELIVER)

    @app.task(name=SWEEP)
    def sweep() -> None:
        """Look through the lists whose time has come."""
        process.ring(SWEEP)

    @app.task(name=RECONCILE)
    def reconcile() -> None:
        """Compare what somebody asked to have compared."""
        process.ring(RECONCILE)
