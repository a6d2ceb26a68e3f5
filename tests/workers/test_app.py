"""A real worker process, seen through its broker, its database and its exit code."""

import asyncio
import base64
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from service.embedded import Urls
from service.nudge import DELIVER, QUEUES, RECONCILE, SWEEP, SYNC, Bell, celery_of
from service.storage.database import Pool
from service.storage.unit_of_work import connected
from tests.flow.surroundings import Answer, Arrival, Erp, delivery, eventually, mislaid, put
from tests.test_embedded import REPOSITORY
from tests.workers.conftest import settings_of
from workers import tasks
from workers.process import WorkerProcess

START_SECONDS = 30
Worker = subprocess.Popen[bytes]


@pytest.fixture
def configuration(
    tmp_path: Path, database_url: str, servers: Urls, broker: redis.Redis, erp: Erp
) -> Path:
    path = tmp_path / "settled.toml"
    path.write_text(
        f"""
        database.url = {json.dumps(database_url)}
        redis.url = {json.dumps(servers.redis)}
        [[endpoint]]
        name = "erp"
        url = {json.dumps(erp.url)}
        secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        allow_private = true
        """
    )
    return path


@asynccontextmanager
async def working(configuration: Path, pool: Pool) -> AsyncIterator[Worker]:
    """Run a worker process that has begun to work; it is killed at the end if it still lives."""
    command = [sys.executable, "-m", "workers.app", str(configuration)]
    worker = await asyncio.to_thread(subprocess.Popen, command, cwd=REPOSITORY)
    try:
        await eventually(lambda: noted(pool))
        yield worker
    finally:
        worker.kill()
        worker.wait()


async def noted(pool: Pool) -> bool:
    """Return whether a worker has said that it gets somewhere."""
    async with connected(pool) as connection:
        return (await connection.execute("select from workers")).rowcount > 0


async def ended(worker: Worker) -> int:
    return await asyncio.wait_for(asyncio.to_thread(worker.wait), START_SECONDS)


def test_the_tasks_have_the_names_that_are_rung(servers: Urls) -> None:
    app = celery_of(servers.redis)
    settings = settings_of("postgresql:///", servers.redis, "http://127.0.0.1:1/")
    tasks.register(app, WorkerProcess(settings))

    ours = {name for name in app.tasks if not name.startswith("celery.")}
    assert ours == {SYNC, DELIVER, SWEEP, RECONCILE} == set(QUEUES)


async def test_forged_messages_change_nothing_and_the_worker_goes_on_hearing(
    configuration: Path, pool: Pool, servers: Urls, broker: redis.Redis, erp: Erp, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    queue = f"settled:{QUEUES[DELIVER]}"
    async with working(configuration, pool) as worker:
        for forged in (
            message("settled.no_such_task"),
            message("os.system", body=json.dumps([[f"touch {canary}"], {}, {}]).encode()),
            message(DELIVER, body=json.dumps([[1, 2, 3], {"amount": 5}, {}]).encode()),
            message(DELIVER, body=b"no json"),
            message(
                DELIVER,
                body=pickle.dumps(Touch(canary)),
                content_type="application/x-python-serialize",
            ),
        ):
            broker.lpush(queue, forged)
        await eventually(lambda: broker.llen(queue) == 0)
        await put(pool, "prq_1")
        Bell(servers.redis).ring(DELIVER)
        await erp.has(1)

        assert worker.poll() is None
        assert not canary.exists()


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mknod, (str(self._path),)


def message(
    task: str, *, body: bytes = b"[[], {}, {}]", content_type: str = "application/json"
) -> bytes:
    """Return what a publisher lays into Redis. Source: kombu's virtual transport."""
    envelope = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8" if content_type == "application/json" else "binary",
        "content-type": content_type,
        "headers": {"lang": "py", "task": task, "id": "1", "root_id": "1", "parent_id": None},
        "properties": {
            "correlation_id": "1",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUES[DELIVER]},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "1",
        },
    }
    return json.dumps(envelope).encode()


async def test_a_message_that_is_no_message_ends_the_worker_instead_of_making_it_deaf(
    configuration: Path, pool: Pool, broker: redis.Redis
) -> None:
    async with working(configuration, pool) as worker:
        broker.lpush(f"settled:{QUEUES[DELIVER]}", b"garbled")

        assert await ended(worker) >= 0
    assert not await noted(pool)


async def test_a_burst_of_rings_leaves_at_most_one_message_waiting(
    configuration: Path, pool: Pool, servers: Urls, broker: redis.Redis
) -> None:
    bell = Bell(servers.redis)
    longest = 0
    async with working(configuration, pool):
        for _ in range(1000):
            assert await asyncio.to_thread(bell.ring, DELIVER)
            longest = max(longest, int(broker.llen(f"settled:{QUEUES[DELIVER]}")))

    assert longest <= 1


async def test_sigterm_ends_a_worker_once_it_has_finished_what_it_has_in_hand(
    configuration: Path, pool: Pool, servers: Urls, erp: Erp
) -> None:
    release = asyncio.Event()

    async def when_released(_arrival: Arrival) -> Answer:
        await release.wait()
        return 204

    erp.answering = when_released
    async with working(configuration, pool) as worker:
        sent = await put(pool, "prq_1")
        Bell(servers.redis).ring(DELIVER)
        await erp.has(1)
        worker.send_signal(signal.SIGTERM)
        release.set()

        assert await ended(worker) == 0
    assert (await delivery(pool, sent))["state"] == "delivered"
    assert erp.ids == [sent]
    assert not await noted(pool)


async def test_a_worker_whose_loop_fails_ends_with_1(
    configuration: Path, pool: Pool, servers: Urls
) -> None:
    async with working(configuration, pool) as worker, mislaid(pool):
        Bell(servers.redis).ring(DELIVER)

        assert await ended(worker) == 1
