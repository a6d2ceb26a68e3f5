"""Endpoints that are no webhooks travel the same road: lanes, order, retries, dead letters."""

import asyncio
import csv
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
from service.erp import Notification, Outcome, Outlet, outlets_of
from service.flow.attempt import DeliverParts
from service.flow.deliver import deliver_due
from service.settings import Endpoint, Rate, Secret, Settings
from service.storage.database import Pool
from service.storage.views.endpoints import list_endpoints
from service.storage.views.lanes import list_lanes
from tests.flow.surroundings import attempts, delivery, lane, let_time_pass, put, sending
from tests.flow.world import World, order
from tests.storage.rows import AT


@pytest.fixture
def pool(emptied: Pool) -> Pool:
    return emptied


def endpoint(kind: Any, **keys: Any) -> Endpoint:
    return Endpoint(name="erp", kind=kind, rate=Rate(1000, 1.0), **keys)


@asynccontextmanager
async def telling(pool: Pool, told: Endpoint, redis_url: str = "") -> AsyncIterator[DeliverParts]:
    """Lend what a delivery touches, with the endpoint's own outlet."""
    settings = Settings(source="settled.toml", endpoints=(told,))
    async with sending(pool, told) as parts:
        outlets = outlets_of(settings, wires=parts.wires, redis_url=redis_url)
        yield replace(parts, outlets=outlets)
        for outlet in outlets.values():
            await outlet.aclose()


async def drain(parts: DeliverParts) -> int:
    return await deliver_due(parts, slots=16, bell=asyncio.Event())


async def states(pool: Pool, ids: Sequence[str]) -> list[str]:
    return [(await delivery(pool, each))["state"] for each in ids]


def lines_in(folder: Path) -> list[list[dict[str, Any]]]:
    """Return the messages of each file, in the order of their names."""
    files = [path.read_bytes().splitlines() for path in sorted(folder.glob("*.jsonl"))]
    return [[json.loads(line) for line in lines] for lines in files]


def in_files(folder: Path) -> list[list[tuple[str, int]]]:
    """Return the places that each file tells of."""
    told = [[line["data"] for line in file] for file in lines_in(folder)]
    return [[(data["request_id"], data["sequence"]) for data in file] for file in told]


def rows_in(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the one CSV file."""
    [file] = folder.glob("*.csv")
    return list(csv.DictReader(file.read_text().splitlines()))


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


async def test_a_file_lists_a_dead_letter_once_in_the_next_of_its_request(
    pool: Pool, tmp_path: Path
) -> None:
    async with telling(pool, endpoint("file", folder=tmp_path, format="jsonl")) as parts:
        await put(pool, "prq_1", 1, state="dead", closed_at=AT)
        for sequence in (2, 3):
            await put(pool, "prq_1", sequence)
        await drain(parts)
        await put(pool, "prq_1", 4)
        await drain(parts)

    listed = [line["data"].get("dead") for file in lines_in(tmp_path) for line in file]
    assert listed == [[1], None, None]


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


async def test_what_was_written_is_no_failure_though_it_has_no_status(
    pool: Pool, tmp_path: Path
) -> None:
    folder = tmp_path / "mounted"
    async with telling(pool, endpoint("file", folder=folder, format="jsonl")) as parts:
        ids = [await put(pool, "prq_1", 1), await put(pool, "prq_2", 1)]
        await drain(parts)
        folder.mkdir()
        await let_time_pass(pool, "endpoints", "probe_at")
        await drain(parts)

    [shown], [lane_shown] = await list_endpoints(pool), await list_lanes(pool)
    tried = [each for delivered in ids for each in await attempts(pool, delivered)]
    outcomes = [outcome for _, outcome, _ in tried]
    failed, written = outcomes.count("folder_unusable"), outcomes.count("written")
    assert (shown["delivered_24h"], written) == (2, 2)
    assert 0 < shown["failed_24h"] == lane_shown["failed"] == failed


class Crowd:
    """A outlet that counts who is inside, and lets nobody out until told."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()

    async def take(
        self, messages: Sequence[Notification], *, at: datetime, timeout_seconds: float
    ) -> Outcome:
        self.batches.append(len(messages))
        self.inside.set()
        await self.leave.wait()
        return Outcome("delivered", "written", None, 1, "", None)

    async def aclose(self) -> None:
        """Keeps nothing open."""


async def test_two_workers_write_one_file_at_a_time(pool: Pool, tmp_path: Path) -> None:
    crowd = Crowd()
    outlets: dict[str, Outlet] = {"erp": crowd}
    async with sending(pool, endpoint("file", folder=tmp_path, format="csv")) as parts:
        parts = replace(parts, outlets=outlets)
        await put(pool, "prq_1")
        first = asyncio.create_task(drain(parts))
        await asyncio.wait_for(crowd.inside.wait(), timeout=10)
        await put(pool, "prq_2")

        assert await drain(parts) == 0
        crowd.leave.set()
        assert await first == 2

    assert crowd.batches == [1, 1]


async def test_an_endpoint_with_every_is_told_of_a_payment_at_its_next_turn(
    world: World, tmp_path: Path
) -> None:
    hourly = endpoint("file", folder=tmp_path, format="csv", every=timedelta(hours=1))
    world.provider.shows(order(1))
    world = replace(world, parts=replace(world.parts, endpoints=[hourly]))
    async with telling(world.pool, hourly) as parts:
        before = datetime.now(UTC)
        await world.read(1)
        turns = {row["due_at"] for row in await world.rows("select due_at from deliveries")}
        assert turns <= {next_turn(timedelta(hours=1), at) for at in (before, datetime.now(UTC))}

        assert await drain(parts) == 0
        await let_time_pass(world.pool, "deliveries", "due_at")
        assert await drain(parts) == 2

    rows = rows_in(tmp_path)
    assert [row["type"] for row in rows] == ["payment_request.paid", "order.paid"]
    assert {(row["reference"], row["received"], row["currency"]) for row in rows} == {
        ("INV-1043", "40.00", "EUR")
    }


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
    assert [json.loads(entry["body"])["data"]["sequence"] for entry in entries] == [1, 2, 3]
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


async def send_again(pool: Pool, *ids: str) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "update deliveries set state = 'waiting', closed_at = null"
            " where notification_id = any(%b)",
            [list(ids)],
        )


async def test_what_is_sent_again_behind_a_later_one_is_not_acted_upon(pool: Pool) -> None:
    """Neither alone nor when everything is sent again at once: an ERP must not be set back."""
    told = endpoint("recipe", url="https://erp.example", recipe="tryton-8")
    crowd = Crowd()
    crowd.leave.set()
    outlets: dict[str, Outlet] = {"erp": crowd}
    async with sending(pool, told) as parts:
        parts = replace(parts, outlets=outlets)
        first, second = [await put(pool, "ord_1", sequence) for sequence in (1, 2)]
        await drain(parts)
        assert crowd.batches == [1, 1]
        for ids in ([first], [first, second]):
            await send_again(pool, *ids)
            await drain(parts)

    made = [[outcome for _, outcome, _ in await attempts(pool, each)] for each in (first, second)]
    assert made == [["written", "overtaken", "overtaken"], ["written", "written"]]
    assert await states(pool, [first, second]) == ["delivered"] * 2


async def test_a_dead_letter_overtakes_nothing(pool: Pool) -> None:
    told = endpoint("recipe", url="https://erp.example", recipe="tryton-8")
    crowd = Crowd()
    crowd.leave.set()
    outlets: dict[str, Outlet] = {"erp": crowd}
    async with sending(pool, told) as parts:
        first = await put(pool, "ord_1", 1)
        await put(pool, "ord_1", 2, state="dead", tries=1, closed_at=AT)
        await drain(replace(parts, outlets=outlets))

    assert [outcome for _, outcome, _ in await attempts(pool, first)] == ["written"]
