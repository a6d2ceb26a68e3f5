"""Reconciler: reconciles accounts in the background, one after the other, and logs each drift."""

import time

import structlog

from service.errors import Unavailable
from service.flow.look import SyncParts
from service.flow.reconcile import Told, reconcile
from service.storage.reconciles import Ask, Reconciles, Run
from service.storage.unit_of_work import unit_of_work

log = structlog.get_logger()

# After a provider or PostgreSQL was away.
RETRY_SECONDS = 300.0


class Reconciler:
    """Reconciles until parts.stopping is set; leaves an account that cannot be read for a while."""

    def __init__(self, parts: SyncParts) -> None:
        self._parts = parts
        self._retry_at: dict[str, float] = {}  # monotonic, by account

    async def work_off(self) -> int:
        """Work off what people asked for; return how many runs came to an end.

        Raises Unavailable without PostgreSQL.
        """
        async with unit_of_work(self._parts.pool) as work:
            left = await Reconciles(work.connection).left_to_workers(list(self._parts.accounts))
        runs = [await self.reconcile(name, ask) for name, ask in left]
        return sum(1 for run in runs if run is not None and run.is_finished)

    async def reconcile(self, name: str, ask: Ask) -> Run | None:
        """Reconcile one account; return how far that came.

        None where another run is under way or this one is done, and where the account cannot be
        read now: it is left alone for five minutes then.
        """
        may_try = time.monotonic() >= self._retry_at.get(name, 0.0)
        if not may_try or self._parts.stopping.is_set():
            return None
        account = self._parts.accounts[name]
        try:
            return await reconcile(account, ask, parts=self._parts, listener=Log())
        except Unavailable as error:
            self._retry_at[name] = time.monotonic() + RETRY_SECONDS
            log.warning("reconcile.postponed", account=name, reason=error.detail)
            return None


class Log:
    """Writes each drift into the log."""

    def moved(self, run: Run) -> None:
        """Say nothing: the row tells how far a run is."""

    def found(self, told: Told) -> None:
        drift = told.drift
        log.warning(
            "drift.found",
            account=drift.key.account,
            provider_id=drift.key.provider_id,
            request_id=drift.request.id if drift.request else None,
            drift=str(drift.drift),
            repaired=told.is_repaired,
        )
