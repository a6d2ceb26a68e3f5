"""Partitions: there before they are needed, gone when their time is over."""

import asyncio
import time
from datetime import date, timedelta

import psycopg
import pytest
from structlog.testing import capture_logs

from service.errors import Unavailable
from service.storage.database import Pool
from service.storage.partitions import BODIES, EVENTS, FACTS, READS, keep_partitions
from service.storage.periods import DAYS, QUARTERS
from service.storage.unit_of_work import connected
from tests.storage.rows import insert, insert_event

# Far from the partitions that the migration made, which are those of its own time.
TODAY = date(2041, 11, 20)
MONTH = timedelta(days=30)
YEAR = timedelta(days=365)


async def keep(
    pool: Pool, today: date = TODAY, raw_bodies: timedelta = MONTH, facts: timedelta = YEAR
) -> list[str]:
    async with connected(pool) as connection:
        return await keep_partitions(connection, today=today, raw_bodies=raw_bodies, facts=facts)


async def partitions(pool: Pool, table: str) -> list[str]:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select inhrelid::regclass::text from pg_inherits"
            " where inhparent = %s::regclass and inhrelid::regclass::text not like '%%default'"
            " order by 1",
            [table],
        )
        return [str(row[0]) for row in await cursor.fetchall()]


async def count_in(pool: Pool, table: str) -> int:
    async with pool.connection() as connection:
        cursor = await connection.execute(f"select count(*) from {table}".encode())
        row = await cursor.fetchone()
    assert row is not None
    return int(str(row[0]))


async def insert_body(pool: Pool, day: date = TODAY, body: bytes = b"{}") -> None:
    await insert(pool, "event_bodies", day=day, sha256=body, body=body)


def test_a_quarter_ends_where_the_next_one_begins() -> None:
    for month in range(1, 13):
        quarter = QUARTERS.of(date(2026, month, 17))

        assert quarter.begins <= date(2026, month, 17) < quarter.ends
        assert QUARTERS.of(quarter.ends).begins == quarter.ends
        assert QUARTERS.named(quarter.suffix) == quarter
    assert QUARTERS.named("2026q4").ends == date(2027, 1, 1)


@pytest.mark.parametrize("table", [*BODIES.tables, *READS.tables])
async def test_days_are_made_from_yesterday_to_a_fortnight_ahead(pool: Pool, table: str) -> None:
    await keep(pool)

    made = await partitions(pool, table)
    assert (made[0], made[-1]) == (f"{table}_20411119", f"{table}_20411204")
    assert len(made) == DAYS.ahead.days + 2


@pytest.mark.parametrize("table", [*EVENTS.tables, *FACTS.tables])
async def test_quarters_are_made_from_35_days_ago_to_a_quarter_ahead(
    pool: Pool, table: str
) -> None:
    await keep(pool)
    assert await partitions(pool, table) == [f"{table}_2041q4", f"{table}_2042q1"]

    await keep(pool, date(2042, 1, 5))
    assert await partitions(pool, table) == [
        f"{table}_2041q4", f"{table}_2042q1", f"{table}_2042q2"
    ]  # fmt: skip


async def test_a_body_goes_to_the_partition_of_its_day(pool: Pool) -> None:
    await keep(pool)

    await insert_body(pool)

    assert await count_in(pool, "event_bodies_20411120") == 1


@pytest.mark.parametrize("days", [1, 30])
async def test_bodies_and_answers_are_kept_to_the_day(pool: Pool, days: int) -> None:
    for ago in (100, 85, 70, 55, 40, 25, 10):
        await keep(pool, TODAY - timedelta(days=ago), timedelta(days=200))

    dropped = await keep(pool, raw_bodies=timedelta(days=days))

    for table in (*BODIES.tables, *READS.tables):
        oldest = f"{table}_{TODAY - timedelta(days=days):%Y%m%d}"
        kept = await partitions(pool, table)
        assert kept[0] == oldest
        assert all(name < oldest for name in dropped if name.startswith(table))


async def test_events_live_on_as_facts_and_at_least_until_they_cannot_come_again(
    pool: Pool,
) -> None:
    await keep(pool, date(2041, 1, 20))
    await insert_event(pool, "EV1", "a", day=date(2041, 2, 1))

    assert [name for name in await keep(pool) if name.startswith("events")] == []
    assert await count_in(pool, "events") == 1

    await keep(pool, facts=timedelta(days=1))
    assert await partitions(pool, "events") == ["events_2041q4", "events_2042q1"]
    assert await count_in(pool, "events") == 0


async def test_a_day_that_is_past_at_once_is_not_made_again_and_again(pool: Pool) -> None:
    await keep(pool, raw_bodies=timedelta(hours=1))

    assert await keep(pool, raw_bodies=timedelta(hours=1)) == []
    assert f"observations_{TODAY:%Y%m%d}" in await partitions(pool, "observations")


async def test_running_again_changes_nothing(pool: Pool) -> None:
    await keep(pool)
    before = [await partitions(pool, table) for table in ("event_bodies", "transitions")]

    assert await keep(pool) == []

    assert [await partitions(pool, table) for table in ("event_bodies", "transitions")] == before


async def test_two_keepers_at_once_do_each_thing_once(pool: Pool) -> None:
    await keep(pool, TODAY - timedelta(days=60))

    first, second = await asyncio.gather(*(keep(pool) for _ in range(2)))

    assert first or second
    assert set(first) & set(second) == set()
    assert f"event_bodies_{TODAY:%Y%m%d}" in await partitions(pool, "event_bodies")


async def test_a_row_without_a_partition_is_taken_and_told_to_a_person(pool: Pool) -> None:
    await insert_body(pool)

    with capture_logs() as logs:
        await keep(pool)
    await insert_body(pool, body=b"[]")

    assert [(log["log_level"], log["table"]) for log in logs if log["event"] == "partition.missed"]
    assert await count_in(pool, "event_bodies_default") == 2
    kept = await partitions(pool, "event_bodies")
    assert f"event_bodies_{TODAY:%Y%m%d}" not in kept
    assert f"event_bodies_{TODAY + timedelta(days=1):%Y%m%d}" in kept


async def test_the_default_partition_is_dropped_when_the_newest_of_its_days_is_past(
    pool: Pool,
) -> None:
    await insert_body(pool, TODAY - timedelta(days=20))
    await insert_body(pool)
    await keep(pool)

    within = await keep(pool, TODAY + MONTH)
    assert await count_in(pool, "event_bodies_default") == 2
    beyond = await keep(pool, TODAY + MONTH + timedelta(days=1))

    assert [name for name in within if "default" in name] == []
    assert [name for name in beyond if "default" in name] == ["event_bodies_default"]
    assert await count_in(pool, "event_bodies_default") == 0
    await insert_body(pool, TODAY - timedelta(days=400))
    for statement in ("delete from event_bodies_default", "truncate event_bodies_default"):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            async with pool.connection() as connection:
                await connection.execute(statement.encode())


async def test_a_keeper_gives_way_when_the_table_is_busy(database_url: str, pool: Pool) -> None:
    """The receiver would have to wait behind it: half a second is the most."""
    with psycopg.connect(database_url) as busy:
        busy.execute("select * from event_bodies")
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await keep(pool)

    assert time.monotonic() - started < 3
    await keep(pool)
    assert len(await partitions(pool, "event_bodies")) > DAYS.ahead.days
