"""Nightly: once a night each account's last days are reconciled, whoever missed what.

Any number of beats may try: the first claims an account's run of the night, the others leave it.
"""

import asyncio
from datetime import UTC, datetime, time, timedelta

import structlog

from service.domain.notification import time_text
from service.errors import Unavailable
from service.flow.look import SyncParts
from service.storage.reconciles import Ask, Reconciles
from service.storage.unit_of_work import unit_of_work
from workers.reconciler import Reconciler

log = structlog.get_logger()

# As far back as `settled reconcile` looks by default.
WINDOW = timedelta(days=7)

# A beat that starts later in the day leaves a night that nobody began alone.
BEGINS_WITHIN = timedelta(hours=1)

TICK_SECONDS = 30.0


class Nightly:
    """The reconciles of one beat. at is the time of day in UTC, None for never."""

    def __init__(self, parts: SyncParts, *, at: time | None) -> None:
        self._parts = parts
        self._at = at
        self._reconciler = Reconciler(parts)

    async def run(self) -> None:
        """Reconcile whenever it is time, until parts.stopping is set."""
        while self._at is not None and not self._parts.stopping.is_set():
            try:
                await self.reconcile_if_due(self._at)
            except Unavailable as error:
                log.warning("reconcile.postponed", reason=error.detail)
            await self._pause(TICK_SECONDS)

    async def reconcile_if_due(self, at: time) -> None:
        """Begin, or go on with, the runs of the last night. Raises Unavailable without PostgreSQL.

        An account that cannot be read now is left for five minutes; the others go on.
        """
        now = self._parts.now()
        night = last_night(at, now=now)
        ask = Ask(f"nightly {time_text(night)}", night - WINDOW, night, dry_run=False, once=True)
        async with unit_of_work(self._parts.pool) as work:
            names = await Reconciles(work.connection).wanting(
                list(self._parts.accounts), ask, may_begin=now < night + BEGINS_WITHIN
            )
        for name in names:
            await self._reconcile(name, ask)

    async def _reconcile(self, name: str, ask: Ask) -> None:
        run = await self._reconciler.reconcile(name, ask)
        if run is not None and run.is_finished and run.drifted:
            log.error(
                "account.drifted",
                account=name,
                reconcile=run.id,
                compared=run.compared,
                **run.drift,
            )

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._parts.stopping.wait()
        except TimeoutError:
            return


def last_night(at: time, *, now: datetime) -> datetime:
    """Return when it was that time of day last, in UTC."""
    today = datetime.combine(now.astimezone(UTC).date(), at, tzinfo=UTC)
    return today if today <= now else today - timedelta(days=1)
