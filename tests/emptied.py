"""A database that tests share one after the other, emptied before each: making one takes long."""

from collections.abc import AsyncIterator, Iterator
from itertools import count

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from service import embedded
from service.storage.database import Pool, pool_of

_numbers = count(1)


@pytest.fixture(scope="module")
def shared_url(servers: embedded.Urls, template: str) -> Iterator[str]:
    """One migrated database for the tests of a module."""
    name = f"settled_shared_{next(_numbers)}"
    with psycopg.connect(servers.postgres, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}".encode())
        yield make_conninfo(servers.postgres, dbname=name)
        connection.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
async def emptied(shared_url: str) -> AsyncIterator[Pool]:
    """A pool on the shared database, without a row in it."""
    _empty(shared_url)
    opened = pool_of(shared_url, application="tests", connections_max=8)
    await opened.open()
    yield opened
    await opened.close()


def _empty(url: str) -> None:
    """Delete all rows, history too: a session that acts as a replica runs no triggers."""
    with psycopg.connect(url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("set statement_timeout = '20s'")
        tables = connection.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'p') and not relispartition and relname <> 'migrations'"
        ).fetchall()
        connection.execute(";".join(f"delete from {name}" for (name,) in tables).encode())
