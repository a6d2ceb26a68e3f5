"""What a person may do."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from service.domain.notification import time_text
from service.domain.request import Key, Kind, ObservedBy
from service.errors import NotFound
from service.flow.window import moment_in
from service.settings import Expected
from service.storage.database import Pool
from service.storage.reconciles import Ask, Reconciles
from service.storage.unit_of_work import connected, unit_of_work

# Between two looks at whether the read has finished.
LOOK_SECONDS = 0.05


async def sync_now(
    pool: Pool, *, request_id: str, wake: Callable[[], None], wait_seconds: float
) -> bool:
    """Have a request read at its provider, by the same road as every other read.

    Return True when a read that began after this call has finished, False when none did
    within wait_seconds. Raises NotFound.
    """
    key = await _key_of(pool, request_id)
    async with unit_of_work(pool) as work:
        await work.due.trigger([key], observed_by=ObservedBy.OPERATOR, known=True)
        generation = await work.due.generation(key)
    assert generation is not None, "a trigger leaves a row"
    wanted, _ = generation
    wake()
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        async with unit_of_work(pool) as work:
            generation = await work.due.generation(key)
        if generation is not None and generation[1] >= wanted:
            return True
        await asyncio.sleep(LOOK_SECONDS)
    return False


async def have_reconciled(
    pool: Pool, accounts: Sequence[str], *, since: str, dry_run: bool, by: str, now: datetime
) -> list[int]:
    """Have workers reconcile what was made or changed since then; return the ids of the runs.

    One run for each account, in their order by name. since is as moment_in takes it, by who asks.
    Raises Expected about since, Conflict where what was asked before is not finished.
    """
    begins, name = moment_in(since, now=now)
    if begins >= now:
        raise Expected("a time that has passed")
    ask = Ask(f"{name} to {time_text(now)}", begins, now, dry_run)
    async with unit_of_work(pool) as work:
        return await Reconciles(work.connection).ask(accounts, ask, by=by)


async def _key_of(pool: Pool, request_id: str) -> Key:
    async with connected(pool) as connection:
        cursor = await connection.execute(
            "select account, kind, provider_id from requests where id = %s", [request_id]
        )
        row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"no request {request_id!r}")
    return Key(row[0], Kind(row[1]), row[2])
