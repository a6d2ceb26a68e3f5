"""Somebody at the console: a browser's cookies, its forms, and nothing that a browser lacks."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from html import unescape
from typing import Literal

import httpx
import pytest_asyncio
from msgspec import structs

from service.runtime import Runtime, introduce, open_runtime
from service.storage.database import Pool
from tests.emptied import emptied, shared_url
from tests.web.conftest import KEYS, client_of, settings_of

__all__ = ["emptied", "shared_url"]

PAGES = [
    "/console", "/console/requests", "/console/orders", "/console/deliveries",
    "/console/endpoints", "/console/recoveries", "/console/events", "/console/accounts",
    "/console/reconciles", "/console/statuses", "/console/acts", "/console/system",
]  # fmt: skip

Sent = dict[str, str | list[str]]


class Visitor:
    """Somebody who has signed in."""

    def __init__(self, client: httpx.AsyncClient, runtime: Runtime) -> None:
        self.client = client
        self.runtime = runtime

    async def page(self, path: str) -> str:
        """Return a page, which must be there."""
        response = await self.client.get(path)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text}"
        return response.text

    async def token(self) -> str:
        return token_in(await self.page("/console"))

    async def send(self, path: str, **fields: str | list[str]) -> httpx.Response:
        """Send a form as a page of ours would."""
        form: Sent = {"token": await self.token(), "reason": "a test", **fields}
        return await self.client.post(path, data=form)


def token_in(page: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', page)
    assert found, page
    return found[1]


def text_in(page: str) -> str:
    """Return a page without its tags, as a reader sees it."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def links_in(page: str) -> set[str]:
    """Return where the links and files of a page lead."""
    return {unescape(link) for link in re.findall(r'(?:href|src)="([^"#]+)"', page)}


@asynccontextmanager
async def visiting(runtime: Runtime, *, role: str = "operator") -> AsyncIterator[Visitor]:
    """Sign in with the key of a role."""
    async with client_of(runtime, key=None) as client:
        answer = await client.post("/console/sign-in", data={"key": KEYS[role]})
        assert answer.status_code == 303, answer.text
        # A test's host is no loopback address: a browser would keep this cookie for https only.
        client.cookies = httpx.Cookies({"settled_session": answer.cookies["settled_session"]})
        yield Visitor(client, runtime)


def in_mode(runtime: Runtime, mode: Literal["test", "live"]) -> Runtime:
    """Return the same runtime with its configuration in a mode."""
    settled = structs.replace(runtime.settings.settled, mode=mode)
    return replace(runtime, settings=structs.replace(runtime.settings, settled=settled))


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Runtime]:
    """Lend a runtime on a database, introduced to it."""
    async with open_runtime(settings_of(url), role="worker") as opened:
        await introduce(opened)
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def runtime(emptied: Pool, shared_url: str) -> AsyncIterator[Runtime]:
    async with running(shared_url) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def operator(runtime: Runtime) -> AsyncIterator[Visitor]:
    async with visiting(runtime) as visitor:
        yield visitor


@pytest_asyncio.fixture(loop_scope="session")
async def viewer(runtime: Runtime) -> AsyncIterator[Visitor]:
    async with visiting(runtime, role="viewer") as visitor:
        yield visitor
