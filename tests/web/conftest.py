"""The application on a real database, called without a socket."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest_asyncio
from psycopg.conninfo import conninfo_to_dict
from starlette.types import Receive, Scope, Send

from service.runtime import Runtime, introduce, open_runtime
from service.settings import Settings, parse
from service.web.app import create_app

KEYS = {"viewer": "key-of-a-viewer", "erp": "key-of-the-erp", "operator": "key-of-an-operator"}


def settings_of(
    database_url: str,
    *,
    provider_at: str = "https://ginger.example.com",
    erp_at: str = "https://erp.example.com",
    redis: str = "unix:///nonexistent/redis.sock",
    **settled: object,
) -> Settings:
    """Settings with one Ginger account, one endpoint, a key per role, and no Redis of their own."""
    keys = [{"name": role, "role": role, "key": key} for role, key in KEYS.items()]
    table: dict[str, Any] = {
        "settled": {"api_keys": keys, **settled},
        "database": {"url": _as_url(database_url)},
        "redis": {"url": redis},
        "account": [
            {
                "name": "ginger-nl",
                "provider": "ginger",
                "api_base": provider_at,
                "api_key": "secret",
                "limit": "5/s",
            }
        ],
        "endpoint": [
            {
                "name": "erp",
                "url": f"{erp_at}/hooks",
                "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            }
        ],
    }
    return parse(table, source="test", environ={}, base=Path())


def _as_url(address: str) -> str:
    """Return any spelling that libpq understands as the URL that the configuration wants."""
    return f"postgresql://?{urlencode(conninfo_to_dict(address))}"


def not_opened() -> AbstractAsyncContextManager[Runtime]:
    """Stand for the lifespan's opener where a test hands the runtime to each call itself."""
    raise AssertionError("no lifespan runs here")


@asynccontextmanager
async def client_of(
    runtime: Runtime, *, key: str | None = KEYS["erp"]
) -> AsyncIterator[httpx.AsyncClient]:
    """Lend a client of the application that runs on runtime; it presents key."""

    app = create_app(not_opened)

    async def app_in_its_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {"runtime": runtime}}, receive, send)

    transport = httpx.ASGITransport(app_in_its_lifespan, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://settled", headers=headers
    ) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def runtime(database_url: str) -> AsyncIterator[Runtime]:
    async with open_runtime(settings_of(database_url), role="worker") as opened:
        await introduce(opened)
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def api(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(runtime) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def offline_runtime() -> AsyncIterator[Runtime]:
    """A runtime without a database."""
    async with open_runtime(settings_of("dbname=none"), role="worker") as opened:
        await opened.pool.close()
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def offline(offline_runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    """The API without a database: what it refuses, it refuses before it asks one."""
    async with client_of(offline_runtime) as client:
        yield client
