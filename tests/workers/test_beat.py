"""Beat rings for what is due, and takes the workers' place only while Redis is silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from service.embedded import Urls
from service.flow.intervene import have_reconciled
from service.nudge import DELIVER, QUEUES, RECONCILE, SWEEP, SYNC, Bell
from service.runtime import Runtime, connect_accounts, introduce, utc_now
from service.settings import parse
from service.storage.unit_of_work import connected
from tests.flow.surroundings import (
    PATIENCE_SECONDS,
    Erp,
    allow_connections,
    delivery,
    eventually,
    put,
)
from workers.beat import Beat

NEVER_SECONDS = 3600.0

# A row of an account that is not configured costs no call and is set aside at once.
LOOKED_AT = "due where lease_no > 0 and leased_until = '-infinity'"


@asynccontextmanager
async def beating(
    runtime: Runtime, *, silence_seconds: float = NEVER_SECONDS
) -> AsyncIterator[Beat]:
    beat = Beat(runtime, silence_seconds=silence_seconds)
    running = asyncio.create_task(beat.run())
    try:
        yield beat
    finally:
        beat.stop()
        await asyncio.wait_for(running, PATIENCE_SECONDS)


@pytest.fixture
def without_redis(runtime: Runtime) -> Runtime:
    return replace(runtime, bell=Bell("redis://127.0.0.1:1/0"))


def messages(broker: redis.Redis, task: str) -> int:
    return int(broker.llen(f"settled:{QUEUES[task]}"))


async def there_is(runtime: Runtime, what: str) -> bool:
    async with connected(runtime.pool) as connection:
        cursor = await connection.execute(f"select from {what}".encode())
        return cursor.rowcount > 0


async def make_due(runtime: Runtime) -> None:
    async with connected(runtime.pool) as connection:
        await connection.execute(
            "insert into due (account, kind, provider_id) values ('removed', 'order', 'a')"
        )


async def test_beat_rings_while_somebody_holds_the_tables_that_it_keeps(
    runtime: Runtime, broker: redis.Redis
) -> None:
    async with connected(runtime.pool) as holder, holder.transaction():
        await holder.execute("lock table events, observations in access share mode")
        await make_due(runtime)
        async with beating(runtime):
            await eventually(lambda: messages(broker, SYNC) == 1)
            broker.flushall()
            await eventually(lambda: messages(broker, SYNC) == 1)


async def test_beat_rings_for_each_kind_of_work_that_is_due(
    runtime: Runtime, broker: redis.Redis
) -> None:
    async with beating(runtime):
        await put(runtime.pool, "prq_1")
        await eventually(lambda: messages(broker, DELIVER) == 1)
        assert messages(broker, SYNC) == 0

        await make_due(runtime)
        await eventually(lambda: messages(broker, SYNC) == 1)


async def test_beat_rings_again_while_nobody_comes(runtime: Runtime, broker: redis.Redis) -> None:
    await put(runtime.pool, "prq_1")
    async with beating(runtime):
        await eventually(lambda: messages(broker, DELIVER) == 1)
        broker.flushall()
        await eventually(lambda: messages(broker, DELIVER) == 1)


async def test_beat_leaves_the_work_to_the_workers_while_redis_answers(
    runtime: Runtime, broker: redis.Redis, erp: Erp
) -> None:
    await put(runtime.pool, "prq_1")
    async with beating(runtime, silence_seconds=0):
        for _ in range(3):
            await eventually(lambda: messages(broker, DELIVER) == 1)
            broker.flushall()

    assert not erp.arrivals


async def test_beat_works_itself_once_redis_has_been_silent_long_enough(
    without_redis: Runtime, erp: Erp
) -> None:
    sent = await put(without_redis.pool, "prq_1")
    await make_due(without_redis)
    async with beating(without_redis, silence_seconds=0):
        await erp.has(1)
        await eventually(lambda: there_is(without_redis, LOOKED_AT))

    assert (await delivery(without_redis.pool, sent))["state"] == "delivered"


async def test_a_short_silence_is_no_reason_to_take_over(without_redis: Runtime, erp: Erp) -> None:
    lost: list[str] = []
    await put(without_redis.pool, "prq_1")
    bell = NotingBell(lost)
    async with beating(replace(without_redis, bell=bell), silence_seconds=NEVER_SECONDS):
        await eventually(lambda: len(lost) >= 3)

    assert not erp.arrivals


class NotingBell(Bell):
    """A bell without Redis that notes each ring that was lost."""

    def __init__(self, lost: list[str]) -> None:
        super().__init__("redis://127.0.0.1:1/0")
        self._lost = lost

    def ring(self, task: str) -> bool:
        self._lost.append(task)
        return super().ring(task)


class ReturningBell(Bell):
    """A bell whose Redis answers from the moment that is_back."""

    is_back = False

    def ring(self, task: str) -> bool:
        return self.is_back and super().ring(task)


async def test_beat_steps_back_once_redis_answers_again(
    runtime: Runtime, broker: redis.Redis, servers: Urls, erp: Erp
) -> None:
    bell = ReturningBell(servers.redis)
    sent = await put(runtime.pool, "prq_1")
    async with beating(replace(runtime, bell=bell), silence_seconds=0):
        delivered = f"deliveries where notification_id = '{sent}' and state = 'delivered'"
        await eventually(lambda: there_is(runtime, delivered))
        bell.is_back = True
        await make_due(runtime)
        await eventually(lambda: messages(broker, SYNC) == 1)

        await put(runtime.pool, "prq_2")
        for _ in range(2):
            await eventually(lambda: messages(broker, DELIVER) == 1)
            broker.flushall()

    assert erp.ids == [sent]


async def test_beat_goes_on_when_postgresql_is_back(
    runtime: Runtime, broker: redis.Redis, servers: Urls
) -> None:
    await put(runtime.pool, "prq_1")
    async with beating(runtime):
        await allow_connections(servers.postgres, runtime.pool, allow=False)
        await eventually(lambda: runtime.pool.get_stats().get("requests_errors", 0) > 0)
        broker.flushall()
        await allow_connections(servers.postgres, runtime.pool, allow=True)
        await eventually(lambda: messages(broker, DELIVER) == 1)


async def test_beat_begins_the_night_when_its_time_has_come(runtime: Runtime) -> None:
    here = await with_account(runtime, at=f"{utc_now():%H:%M}")

    async with beating(here):
        await eventually(lambda: there_is(here, "reconciles where asked like 'nightly %'"))


async def test_beat_rings_for_a_sweep_that_is_due(runtime: Runtime, broker: redis.Redis) -> None:
    async with beating(await with_account(runtime, at="never")):
        await eventually(lambda: messages(broker, SWEEP) == 1)


async def test_beat_rings_for_a_reconcile_that_somebody_asked_for(
    runtime: Runtime, broker: redis.Redis
) -> None:
    here = await with_account(runtime, at="never")
    await have_reconciled(here.pool, ["a"], since="7d", dry_run=True, by="ops", now=utc_now())

    async with beating(here):
        await eventually(lambda: messages(broker, RECONCILE) == 1)


async def test_with_redis_away_beat_works_off_a_reconcile_itself(without_redis: Runtime) -> None:
    here = await with_account(without_redis, at="never")
    await have_reconciled(here.pool, ["a"], since="7d", dry_run=True, by="ops", now=utc_now())

    async with beating(here, silence_seconds=0.0):
        await eventually(lambda: there_is(here, "reconciles where lease_no > 0"))


async def with_account(runtime: Runtime, *, at: str) -> Runtime:
    """A runtime with one account, whose provider nobody can reach."""
    nobody = {"name": "a", "provider": "ginger", "api_base": "http://127.0.0.1:1", "api_key": "k"}
    table: dict[str, object] = {"reconcile": {"at": at}, "account": [nobody]}
    settings = parse(table, source="test", environ={}, base=Path())
    here = replace(runtime, settings=settings, accounts=connect_accounts(settings))
    await introduce(here)
    return here


async def test_beat_keeps_tomorrows_partitions_and_places_notifications_in_the_feed(
    runtime: Runtime,
) -> None:
    await put(runtime.pool, "prq_1")
    async with beating(runtime):
        await eventually(lambda: there_is(runtime, "notifications where position is not null"))

    today = f"events_{utc_now():%Y%m%d}"
    async with connected(runtime.pool) as connection:
        row = await (await connection.execute("select to_regclass(%s)::text", [today])).fetchone()
    assert row == (today,)
