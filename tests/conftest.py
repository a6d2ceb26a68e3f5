"""Real PostgreSQL and Redis for the whole run, and a fresh database for every test that asks."""

import os
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg
import pytest

from service import embedded
from service.storage.database import Pool, pool_of, upgrade

_numbers = count(1)


@pytest.fixture(scope="session")
def servers() -> Iterator[embedded.Urls]:
    """PostgreSQL and Redis; $SETTLED_TEST_DATABASE_URL and $SETTLED_TEST_REDIS_URL replace them."""
    given = (
        os.environ.get("SETTLED_TEST_DATABASE_URL"),
        os.environ.get("SETTLED_TEST_REDIS_URL"),
    )
    if given[0] and given[1]:
        yield embedded.Urls(given[0], given[1])
        return
    with (
        TemporaryDirectory(prefix="settled-tests-") as folder,
        embedded.running(Path(folder) / "data") as urls,
    ):
        yield urls


@pytest.fixture(scope="session")
def template(servers: embedded.Urls) -> str:
    """The name of a migrated database that fresh ones are copied from."""
    name = "settled_template"
    _administer(servers, f"drop database if exists {name}", f"create database {name}")
    upgrade(_url_of(servers, name))
    return name


@pytest.fixture
def database_url(servers: embedded.Urls, template: str) -> Iterator[str]:
    """A fresh, migrated database."""
    name = f"settled_test_{next(_numbers)}"
    _administer(
        servers,
        f"drop database if exists {name} with (force)",
        f"create database {name} template {template} strategy wal_log",
    )
    yield _url_of(servers, name)
    _administer(servers, f"drop database if exists {name} with (force)")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = pool_of(database_url, application="tests", connections_max=8)
    await opened.open()
    yield opened
    await opened.close()


def _url_of(servers: embedded.Urls, name: str) -> str:
    return urlsplit(servers.postgres)._replace(path=f"/{name}").geturl()


def _administer(servers: embedded.Urls, *statements: str) -> None:
    with psycopg.connect(servers.postgres, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
