"""Endpoints that are no webhooks travel the same road: lanes, order, retries, dead letters."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.domain.retry import next_turn
from service.embedded import Urls
from service.erp import Door, Message, Outcome, doors_of
from service.flow.deliver import DeliverParts, deliver_due
from service.settings import Endpoint, Rate, Secret, Settings
from service.storage.database import Pool
from service.storage.notifications import NotificationRow
from service.storage.unit_of_work import unit_of_work
from tests.flow.surroundings import attempts, delivery, lane, let_time_pass, put, sending
from tests.storage.rows import AT, insert_transition


@pytest.fixture
def pool(emptied: Pool) -> Pool:
    return emptied


def endpoint(kind: Any, **keys: Any) -> Endpoint:
    return Endpoint(name="erp", kind=kind, rate=Rate(1000, 1.0), **keys)


@asynccontextmanager
async def telling(pool: Pool, told: Endpoint, redis_url: str = "") -> AsyncIterator[DeliverParts]:
    """Lend what a delivery touches, with the endpoint's own door."""
    settings = Settings(source="settled.toml", endpoints=(told,))
    async with sending(pool, told) as parts:
        doors = doors_of(settings, wires=parts.wires, redis_url=redis_url)
        yield replace(parts, doors=doors)
        for door in doors.values():
            await door.aclose()


async def drain(parts: DeliverParts) -> int:
    return await deliver_due(parts, slots=16, bell=asyncio.Event())


async def states(pool: Pool, ids: Sequence[str]) -> list[str]:
    return [(await delivery(pool, each))["state"] for each in ids]


def in_files(folder: Path) -> list[list[tuple[str, int]]]:
    """Return the places that each file tells of, in the order of their names."""
    files = [path.read_bytes().splitlines() for path in sorted(folder.glob("*.jsonl"))]
    bodies = [[json.loads(line) for line in lines] for lines in files]
    return [[(body["request_id"], body["sequence"]) for body in file] for file in bodies]


# Files


async def test_all_that_is_due_goes_into_one_file_in_the_order_it_was_written(
    pool: Pool, tmp_path: Path
) -> None:
    places = [("prq_1", 1), ("prq_2", 1), ("prq_1", 2), ("prq_1", 3), ("prq_2", 2)]
    async with telling(pool, endpoint("file", folder=tmp_path, format="jsonl")) as parts:
        ids = [await put(pool, subject, sequence) for subject, sequence in places]
        assert await drain(parts) == len(places)

    assert in_files(tmp_path) == [places]
    assert await states(pool, ids) == ["delivered"] * len(places)
    assert (await attempts(pool, ids[0]))[0][1] == "written"


async def test_what_stands_behind_one_that_waits_does_not_pass_it(
    pool: Pool, tmp_path: Path
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    async with telling(pool, endpoint("file", folder=tmp_path, format="jsonl")) as parts:
        await put(pool, "prq_1", 1)
        await put(pool, "prq_1", 2, due_at=later)
        await put(pool, "prq_1", 3)
        await drain(parts)
        assert in_files(tmp_path) == [[("prq_1", 1)]]

        await let_time_pass(pool, "deliveries", "due_at")
        await drain(parts)

    assert in_files(tmp_path)[1:] == [[("prq_1", 2), ("prq_1", 3)]]


async def test_a_folder_that_comes_back_gets_everything_once_and_in_order(
    pool: Pool, tmp_path: Path
) -> None:
    folder = tmp_path / "mounted"
    places = [("prq_1", 1), ("prq_1", 2), ("prq_2", 1)]
    async with telling(pool, endpoint("file", folder=folder, format="jsonl")) as parts:
        ids = [await put(pool, subject, sequence) for subject, sequence in places]
        await drain(parts)
        assert (await lane(pool))["reason"] == "folder_unusable"
        assert await states(pool, ids) == ["waiting"] * 3

        folder.mkdir()
        await let_time_pass(pool, "endpoints", "probe_at")
        await drain(parts)

    written = [place for file in in_files(folder) for place in file]
    assert sorted(written) == sorted(places)
    assert written.index(("prq_1", 1)) < written.index(("prq_1", 2))
    assert await states(pool, ids) == ["delivered"] * 3


class Crowd:
    """A door that counts who is inside, and lets nobody out until told."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()

    async def take(
        self, messages: Sequence[Message], *, at: datetime, timeout_seconds: float
    ) -> Outcome:
        self.batches.append(len(messages))
        self.inside.set()
        await self.leave.wait()
        return Outcome("delivered", "written", None, 1, "", None)

    async def aclose(self) -> None:
        """Keeps nothing open."""


async def test_two_workers_write_one_file_at_a_time(pool: Pool, tmp_path: Path) -> None:
    crowd = Crowd()
    doors: dict[str, Door] = {"erp": crowd}
    async with sending(pool, endpoint("file", folder=tmp_path, format="csv")) as parts:
        parts = replace(parts, doors=doors)
        await put(pool, "prq_1")
        first = asyncio.create_task(drain(parts))
        await asyncio.wait_for(crowd.inside.wait(), timeout=10)
        await put(pool, "prq_2")

        assert await drain(parts) == 0
        crowd.leave.set()
        assert await first == 2

    assert crowd.batches == [1, 1]


async def test_an_endpoint_with_every_is_told_at_its_next_turn(pool: Pool, tmp_path: Path) -> None:
    turn = datetime.now(UTC) + timedelta(hours=1)
    async with telling(pool, endpoint("file", folder=tmp_path, format="jsonl")) as parts:
        await insert_transition(pool, "prq_1", 1)
        row = NotificationRow(
            "ntf_1", "payment_request.paid", "request", "prq_1", 1, None, None,
            b'{"request_id":"prq_1","sequence":1}', AT, ("erp",), {"erp": turn},
        )  # fmt: skip
        async with unit_of_work(pool) as work:
            await work.outbox.add([row])

        assert await drain(parts) == 0
        assert (await delivery(pool, "ntf_1"))["due_at"] == turn
        await let_time_pass(pool, "deliveries", "due_at")
        assert await drain(parts) == 1


def test_turns_begin_at_midnight_in_utc_and_are_never_now() -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    hour, day = timedelta(hours=1), timedelta(days=1)

    assert next_turn(hour, noon) == noon + hour
    assert next_turn(hour, noon - timedelta(microseconds=1)) == noon
    assert next_turn(day, noon) == noon + timedelta(hours=12)


# Streams


@pytest.fixture
async def redis(servers: Urls) -> AsyncIterator[Redis]:
    client = Redis.from_url(servers.redis, decode_responses=True)
    await client.delete("told")
    yield client
    await client.aclose()


async def entries_of(redis: Redis) -> list[dict[str, str]]:
    entries: Any = await redis.xrange("told")
    return [fields for _, fields in entries]


async def test_a_stream_gets_id_type_and_body_in_order(
    pool: Pool, servers: Urls, redis: Redis
) -> None:
    async with telling(pool, endpoint("stream", stream="told"), servers.redis) as parts:
        ids = [await put(pool, "prq_1", sequence) for sequence in (1, 2, 3)]
        await drain(parts)

    entries = await entries_of(redis)
    assert [entry["id"] for entry in entries] == ids
    assert {entry["type"] for entry in entries} == {"payment_request.paid"}
    assert [json.loads(entry["body"])["sequence"] for entry in entries] == [1, 2, 3]
    assert await states(pool, ids) == ["delivered"] * 3


async def test_a_stream_is_trimmed_to_about_its_length(
    pool: Pool, servers: Urls, redis: Redis
) -> None:
    for number in range(400):
        await redis.xadd("told", {"id": str(number)})
    told = endpoint("stream", stream="told", max_length=10)
    async with telling(pool, told, servers.redis) as parts:
        await put(pool, "prq_1")
        await drain(parts)

    assert 10 <= await redis.xlen("told") < 400
    assert (await entries_of(redis))[-1]["id"] == "ntf_prq_1_1"


async def test_a_redis_that_is_away_is_tried_again(pool: Pool) -> None:
    away = endpoint("stream", stream="told", redis_url=Secret("redis://127.0.0.1:1/0"))
    async with telling(pool, away) as parts:
        sent = await put(pool, "prq_1")
        await drain(parts)

    row = await delivery(pool, sent)
    assert (row["state"], row["attempts_made"]) == ("waiting", 1)
    assert (await attempts(pool, sent))[0][1] == "redis_away"


async def test_a_key_that_is_no_stream_holds_the_lane_and_counts_no_try(
    pool: Pool, servers: Urls, redis: Redis
) -> None:
    await redis.set("told", "text")
    async with telling(pool, endpoint("stream", stream="told"), servers.redis) as parts:
        sent = await put(pool, "prq_1")
        await drain(parts)

    assert (await lane(pool))["reason"] == "stream_refused"
    assert (await delivery(pool, sent))["attempts_made"] == 0


# Recipes


async def test_one_sent_again_after_a_later_one_arrived_is_not_acted_upon(pool: Pool) -> None:
    told = endpoint("recipe", url="https://erp.example", recipe="tryton-8")
    crowd = Crowd()
    crowd.leave.set()
    doors: dict[str, Door] = {"erp": crowd}
    async with sending(pool, told) as parts:
        first, second = [await put(pool, "ord_1", sequence) for sequence in (1, 2)]
        await drain(replace(parts, doors=doors))
        async with pool.connection() as connection:
            await connection.execute(
                "update deliveries set state = 'waiting', closed_at = null"
                " where notification_id = %s",
                [first],
            )
        await drain(replace(parts, doors=doors))

    assert crowd.batches == [1, 1]
    assert [outcome for _, outcome, _ in await attempts(pool, first)] == ["written", "overtaken"]
    assert await states(pool, [first, second]) == ["delivered"] * 2
