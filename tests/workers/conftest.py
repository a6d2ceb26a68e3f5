"""A runtime on the real PostgreSQL and Redis, whose ERP is a socket of the test."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import redis
from psycopg.conninfo import conninfo_to_dict

from service.embedded import Urls
from service.runtime import Runtime, introduce, open_runtime
from service.settings import Settings, parse
from service.storage.database import Pool
from tests.emptied import emptied as emptied
from tests.emptied import shared_url as shared_url
from tests.flow.surroundings import SECRET, Erp, listening


def settings_of(database_url: str, redis_url: str, erp_url: str) -> Settings:
    """A configuration with one endpoint and no account."""
    erp = {"name": "erp", "url": erp_url, "secrets": [SECRET], "allow_private": True}
    table: dict[str, Any] = {
        "database": {"url": database_url},
        "redis": {"url": redis_url},
        "endpoint": [erp],
    }
    return parse(table, source="test", environ={}, base=Path())


@pytest.fixture
def pool(emptied: Pool) -> Pool:
    return emptied


@pytest.fixture
def database_url(emptied: Pool, shared_url: str) -> str:
    """The database behind the pool, as the configuration wants it."""
    return f"postgresql://?{urlencode(conninfo_to_dict(shared_url))}"


@pytest.fixture
async def erp() -> AsyncIterator[Erp]:
    async with listening() as erp:
        yield erp


@pytest.fixture
def broker(servers: Urls) -> redis.Redis:
    """The Redis that carries the doorbells, empty."""
    client: redis.Redis = redis.Redis.from_url(servers.redis)
    client.flushall()
    return client


@pytest.fixture
async def runtime(
    database_url: str, servers: Urls, broker: redis.Redis, erp: Erp
) -> AsyncIterator[Runtime]:
    settings = settings_of(database_url, servers.redis, erp.url)
    async with open_runtime(settings, role="worker") as opened:
        await introduce(opened)
        yield opened
