"""Day partitions: there before they are needed, gone when their time is over."""

import asyncio
import time
from datetime import date, timedelta

import psycopg
import pytest

from service.errors import Unavailable
from service.storage.database import Pool
from service.storage.partitions import DAYS_AHEAD, DAYS_BACK_MIN, PARTITIONED, keep_partitions
from service.storage.unit_of_work import connected
from tests.storage.rows import insert_event

TODAY = date(2026, 11, 20)
MONTH = timedelta(days=30)


async def keep(pool: Pool, today: date = TODAY, raw_bodies: timedelta = MONTH) -> list[str]:
    async with connected(pool) as connection:
        return await keep_partitions(connection, today=today, raw_bodies=raw_bodies)


async def partitions(pool: Pool, table: str = "events") -> list[str]:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select inhrelid::regclass::text from pg_inherits"
            " where inhparent = %s::regclass order by 1",
            [table],
        )
        return [str(row[0]) for row in await cursor.fetchall()]


async def count_in(pool: Pool, table: str) -> int:
    async with pool.connection() as connection:
        cursor = await connection.execute(f"select count(*) from {table}".encode())
        row = await cursor.fetchone()
    assert row is not None
    return int(str(row[0]))


@pytest.mark.parametrize("table", PARTITIONED)
async def test_partitions_are_made_from_yesterday_to_a_fortnight_ahead(
    pool: Pool, table: str
) -> None:
    await keep(pool)

    made = [name for name in await partitions(pool, table) if not name.endswith("default")]
    assert (made[0], made[-1]) == (f"{table}_20261119", f"{table}_20261204")
    assert len(made) == DAYS_AHEAD + 2


async def test_an_event_goes_to_the_partition_of_its_day(pool: Pool) -> None:
    await keep(pool)

    await insert_event(pool, "EV1", "a", day=TODAY)

    assert await count_in(pool, "events_20261120") == 1


async def test_partitions_are_dropped_when_their_time_is_over(pool: Pool) -> None:
    await keep(pool, TODAY - timedelta(days=60))
    await keep(pool, TODAY - timedelta(days=40))

    dropped = [name for name in await keep(pool) if name.startswith("events")]

    oldest = f"events_{TODAY - timedelta(days=DAYS_BACK_MIN):%Y%m%d}"
    assert len(dropped) == len(set(dropped)) > 0
    kept = [name for name in await partitions(pool) if not name.endswith("default")]
    assert min(kept) >= oldest
    assert all(name.split("_")[1] < oldest.split("_")[1] for name in dropped)


async def test_bodies_are_kept_longer_where_the_configuration_says_so(pool: Pool) -> None:
    await keep(pool, TODAY - timedelta(days=60))

    assert await keep(pool, raw_bodies=timedelta(days=90)) == []


async def test_answers_go_when_the_configuration_says_and_events_once_they_cannot_come_again(
    pool: Pool,
) -> None:
    await keep(pool, TODAY - timedelta(days=20))

    dropped = await keep(pool, raw_bodies=timedelta(days=7))

    assert {name.partition("_")[0] for name in dropped} == {"observations"}
    kept = [name for name in await partitions(pool, "observations") if "default" not in name]
    assert kept[0] == f"observations_{TODAY - timedelta(days=7):%Y%m%d}"


async def test_a_day_that_is_past_at_once_is_not_made_again_and_again(pool: Pool) -> None:
    await keep(pool, raw_bodies=timedelta(hours=1))

    assert await keep(pool, raw_bodies=timedelta(hours=1)) == []
    assert f"observations_{TODAY:%Y%m%d}" in await partitions(pool, "observations")


async def test_running_again_changes_nothing(pool: Pool) -> None:
    await keep(pool)
    before = await partitions(pool)

    assert await keep(pool) == []

    assert await partitions(pool) == before


async def test_two_keepers_at_once_do_each_thing_once(pool: Pool) -> None:
    await keep(pool, TODAY - timedelta(days=60))

    first, second = await asyncio.gather(*(keep(pool) for _ in range(2)))

    assert bool(first) != bool(second)
    assert f"events_{TODAY:%Y%m%d}" in await partitions(pool)


async def test_a_day_that_began_in_the_default_partition_stays_there(pool: Pool) -> None:
    await insert_event(pool, "EV1", "a", day=TODAY)

    await keep(pool)
    await insert_event(pool, "EV2", "a", day=TODAY)

    assert await count_in(pool, "events_default") == 2
    assert f"events_{TODAY:%Y%m%d}" not in await partitions(pool)
    assert f"events_{TODAY + timedelta(days=1):%Y%m%d}" in await partitions(pool)


async def test_the_default_partition_is_dropped_when_the_newest_of_its_days_is_past(
    pool: Pool,
) -> None:
    await insert_event(pool, "EV1", "a", day=TODAY - timedelta(days=20))
    await insert_event(pool, "EV2", "a", day=TODAY)
    await keep(pool)

    within = await keep(pool, TODAY + timedelta(days=DAYS_BACK_MIN))
    assert await count_in(pool, "events_default") == 2
    beyond = await keep(pool, TODAY + timedelta(days=DAYS_BACK_MIN + 1))

    assert ("events_default" in within, "events_default" in beyond) == (False, True)
    assert await count_in(pool, "events_default") == 0
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        await insert_and_delete(pool)


async def insert_and_delete(pool: Pool) -> None:
    """Try to delete from a default partition that was made anew."""
    await insert_event(pool, "EV3", "a", day=TODAY - timedelta(days=400))
    async with pool.connection() as connection:
        await connection.execute("delete from events_default")


async def test_a_keeper_gives_way_when_the_table_is_busy(database_url: str, pool: Pool) -> None:
    """The receiver would have to wait behind it: half a second is the most."""
    with psycopg.connect(database_url) as busy:
        busy.execute("select * from events")
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await keep(pool)

    assert time.monotonic() - started < 3
    assert await keep(pool) == []
    assert len(await partitions(pool)) > DAYS_AHEAD
