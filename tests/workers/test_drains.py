"""Drains answer bells, finish what they have in hand, and outlive an absence of PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest

from service.embedded import Urls
from service.nudge import DELIVER, SYNC
from service.runtime import Runtime
from service.storage.database import Pool
from service.storage.unit_of_work import connected
from tests.flow.surroundings import (
    PATIENCE_SECONDS,
    Answer,
    Arrival,
    Erp,
    allow_connections,
    delivery,
    eventually,
    mislaid,
    put,
)
from workers.drains import Drains

# A row of an account that is not configured costs no call and is set aside at once.
LOOKED_AT = "due where lease_no > 0 and leased_until = '-infinity'"


@asynccontextmanager
async def working(run: Callable[[], Awaitable[None]], drains: Drains) -> AsyncIterator[None]:
    """Run drains beside the block and stop them after it."""
    running = asyncio.ensure_future(run())
    try:
        yield
    finally:
        drains.stop()
        await asyncio.wait_for(running, PATIENCE_SECONDS)


async def there_is(pool: Pool, what: str) -> bool:
    async with connected(pool) as connection:
        cursor = await connection.execute(f"select from {what}".encode())
        return cursor.rowcount > 0


async def test_a_bell_has_the_drain_look_for_work(runtime: Runtime, erp: Erp) -> None:
    drains = Drains(runtime)
    async with working(drains.answer, drains):
        for number in (1, 2):
            sent = await put(runtime.pool, f"prq_{number}")
            assert sent not in erp.ids
            drains.ring(DELIVER)
            await erp.has(number)


async def test_a_starting_worker_begins_with_what_is_due(runtime: Runtime, erp: Erp) -> None:
    await put(runtime.pool, "prq_1")
    drains = Drains(runtime)
    async with working(drains.run, drains):
        await erp.has(1)


async def test_the_sync_bell_has_due_rows_looked_at(runtime: Runtime) -> None:
    drains = Drains(runtime)
    async with connected(runtime.pool) as connection:
        await connection.execute(
            "insert into due (account, kind, provider_id) values ('removed', 'order', 'a')"
        )
    async with working(drains.answer, drains):
        drains.ring(SYNC)
        await eventually(lambda: there_is(runtime.pool, LOOKED_AT))


async def test_a_drain_that_is_told_to_stop_finishes_what_it_has_in_hand(
    runtime: Runtime, erp: Erp
) -> None:
    release = asyncio.Event()

    async def when_released(_arrival: Arrival) -> Answer:
        await release.wait()
        return 204

    erp.answering = when_released
    first, second = await put(runtime.pool, "prq_1"), await put(runtime.pool, "prq_1", 2)
    drains = Drains(runtime)
    async with working(drains.run, drains):
        await erp.has(1)
        drains.stop()
        release.set()

    assert (await delivery(runtime.pool, first))["state"] == "delivered"
    assert (await delivery(runtime.pool, second))["state"] == "waiting"
    assert erp.ids == [first]


async def test_drains_go_on_when_postgresql_is_back(
    runtime: Runtime, erp: Erp, servers: Urls
) -> None:
    drains = Drains(runtime)
    async with working(drains.run, drains):
        await allow_connections(servers.postgres, runtime.pool, allow=False)
        drains.ring(DELIVER)
        await eventually(lambda: runtime.pool.get_stats().get("requests_errors", 0) > 0)
        await allow_connections(servers.postgres, runtime.pool, allow=True)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await _put_once_it_is_back(runtime.pool)
        drains.ring(DELIVER)
        await erp.has(1)


async def _put_once_it_is_back(pool: Pool) -> None:
    while True:
        try:
            await put(pool, "prq_1")
        except psycopg.OperationalError:
            continue
        return


async def test_a_worker_says_every_few_seconds_that_it_gets_somewhere_until_it_stops(
    runtime: Runtime,
) -> None:
    drains = Drains(runtime)
    async with working(drains.run, drains):
        await eventually(lambda: there_is(runtime.pool, "workers"))

    assert not await there_is(runtime.pool, "workers")


async def test_a_bug_ends_the_drains(runtime: Runtime) -> None:
    drains = Drains(runtime)
    async with mislaid(runtime.pool):
        with pytest.raises(ExceptionGroup) as ended:
            await asyncio.wait_for(drains.run(), PATIENCE_SECONDS)

    assert ended.group_contains(psycopg.errors.UndefinedTable)
