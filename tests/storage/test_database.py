"""Migrations, and the servers that we refuse to work with."""

import asyncio
import select
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import PoolTimeout, TooManyRequests
from psycopg_pool.base import AttemptWithBackoff

from service import embedded
from service.errors import Misconfigured, Unavailable
from service.storage.database import Pool, is_current, migrations, pending, pool_of, upgrade
from tests.bench.processes import free_port
from tests.endurance.proxy import Link, unix

NAME = "settled_unmigrated"


@pytest.fixture
def empty_url(servers: embedded.Urls) -> Iterator[str]:
    """A database without a table in it."""
    with psycopg.connect(servers.postgres, autocommit=True) as connection:
        connection.execute(f"drop database if exists {NAME} with (force)".encode())
        connection.execute(f"create database {NAME}".encode())
        yield make_conninfo(servers.postgres, dbname=NAME)
        connection.execute(f"drop database {NAME} with (force)".encode())


def run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_an_upgrade_applies_what_is_missing_and_then_nothing(empty_url: str) -> None:
    names = [migration.name for migration in migrations()]
    assert pending(empty_url) == names

    assert upgrade(empty_url) == names

    assert upgrade(empty_url) == []
    assert pending(empty_url) == []


def test_two_processes_that_upgrade_at_once_apply_each_file_once(empty_url: str) -> None:
    program = (
        "import sys; from service.storage.database import upgrade;"
        " sys.stdin.readline(); print(len(upgrade(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, empty_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()

    applied = sorted(int(process.communicate(timeout=60)[0]) for process in processes)

    assert applied == [0, len(migrations())]
    assert [process.returncode for process in processes] == [0, 0]


def test_a_database_migrated_by_another_text_is_refused(empty_url: str) -> None:
    upgrade(empty_url)
    run(empty_url, "update migrations set sha256 = repeat('0', 64) where number = 1")

    with pytest.raises(Misconfigured, match=r"0001_first\.sql"):
        upgrade(empty_url)


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    """The last table of the file is there already: none of the others may stay."""
    run(empty_url, "create table workers (host text)")

    with pytest.raises(psycopg.errors.DuplicateTable):
        upgrade(empty_url)

    assert pending(empty_url) == [migration.name for migration in migrations()]
    with psycopg.connect(empty_url) as connection:
        row = connection.execute("select to_regclass('accounts')").fetchone()
    assert row == (None,)


@pytest.mark.parametrize("value", ["off", "local"])
def test_a_server_that_answers_before_it_stored_is_refused(empty_url: str, value: str) -> None:
    run(empty_url, f"alter database {NAME} set synchronous_commit = {value}")

    with pytest.raises(Misconfigured, match="synchronous_commit"):
        upgrade(empty_url)

    assert pending(empty_url) != []


async def test_a_database_is_current_once_everything_is_applied(
    pool: Pool, database_url: str
) -> None:
    assert await is_current(pool)

    run(database_url, "delete from migrations")

    assert not await is_current(pool)
    run(database_url, "drop table migrations")
    assert not await is_current(pool)


def test_attempts_to_connect_are_never_far_apart_however_long_the_server_is_away() -> None:
    pool = pool_of("postgresql://nobody@127.0.0.1:1/none", application="tests", connections_max=1)
    attempt, now = AttemptWithBackoff(timeout=pool.reconnect_timeout), 1.0
    waits = []
    while not attempt.time_to_give_up(now):
        attempt.update_delay(now)
        waits.append(attempt.delay)
        now += attempt.delay

    assert max(waits) < 3.0


async def test_a_pool_that_has_given_up_connects_for_whoever_asks_once_the_server_is_back(
    database_url: str,
) -> None:
    socket = f"{conninfo_to_dict(database_url)['host']}/.s.PGSQL.5432"
    link = Link("postgres", free_port(), unix(socket), seed=1)
    url = make_conninfo(database_url, host="127.0.0.1", port=link.port)
    pool = pool_of(url, application="tests", connections_max=1)
    pool.reconnect_timeout = 0.0
    await pool.open(wait=False)
    with pytest.raises(PoolTimeout):
        await pool.getconn(timeout=0.2)

    async with link.listening():
        async with pool.connection() as connection:
            assert connection.info.port == link.port
        await pool.close()


async def test_a_pool_whose_queue_filled_while_postgresql_was_away_serves_again(
    database_url: str,
) -> None:
    socket = f"{conninfo_to_dict(database_url)['host']}/.s.PGSQL.5432"
    link = Link("postgres", free_port(), unix(socket), seed=1)
    url = make_conninfo(database_url, host="127.0.0.1", port=link.port)
    pool = pool_of(url, application="tests", connections_max=1)
    pool.reconnect_timeout = 0.0
    await pool.open(wait=False)
    asked = await asyncio.gather(
        *(pool.getconn(timeout=0.2) for _ in range(20)), return_exceptions=True
    )
    assert {type(each) for each in asked} == {PoolTimeout, TooManyRequests}

    async with link.listening(), asyncio.timeout(10):
        while True:
            try:
                async with pool.connection() as connection:
                    assert connection.info.port == link.port
                    break
            except TooManyRequests:
                await asyncio.sleep(0.05)
        assert pool.get_stats()["requests_waiting"] == 0
        await pool.close()


def test_a_server_that_is_away_is_unavailable() -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"

    with pytest.raises(Unavailable):
        upgrade(nowhere)
    with pytest.raises(Unavailable):
        pending(nowhere)


@pytest.fixture
async def lone(database_url: str) -> AsyncIterator[Pool]:
    """A pool of one connection, so that it is known which one is handed out."""
    opened = pool_of(database_url, application="tests", connections_max=1)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_connection_that_the_server_ended_is_never_handed_out(
    lone: Pool, pool: Pool
) -> None:
    before, line = await backend(lone)
    async with pool.connection() as other:
        await other.execute("select pg_terminate_backend(%s)", [before])
    assert line.poll(5000), "the server says that it ended the session"

    after, _ = await backend(lone)

    assert after != before


async def test_a_quiet_connection_is_handed_out_without_a_question(lone: Pool, pool: Pool) -> None:
    async with lone.connection() as connection:
        await connection.execute("select 'the last one'")

    lent, _ = await backend(lone)

    async with pool.connection() as other:
        cursor = await other.execute("select query from pg_stat_activity where pid = %s", [lent])
        assert await cursor.fetchone() == ("select 'the last one'",)


async def backend(pool: Pool) -> tuple[int, select.poll]:
    """Return the server's process behind the connection that is handed out, and its line."""
    line = select.poll()
    async with pool.connection() as connection:
        line.register(connection.fileno(), select.POLLIN)
        return connection.info.backend_pid, line
