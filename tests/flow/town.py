"""Accounts at the three providers that call us: the real receiver, PostgreSQL and sync.

Only what the providers answer is written down in tests, by path and query; calls holds what they
were asked.
"""

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from service.domain.event import Call
from service.domain.request import Key, Kind
from service.flow.look import SyncParts
from service.flow.receive import receive
from service.flow.sync import sync_due
from service.runtime import connect_accounts, plan_of
from service.settings import Settings, parse
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.storage.event_writer import EventWriter
from service.storage.sessions import keep_session, lease_opening
from service.storage.unit_of_work import connected, unit_of_work
from tests.flow.parts import Answers, parts_of, sessions_on
from tests.providers.bunq_bodies import a_session, call_about
from tests.providers.table_bunq import ACCOUNT_ID, ACCOUNT_PATH, USER_ID

PROJECT = "405d8375-3514-403b-8c43-83ae74cfe0e9"
ORGANISATION = "OR1"
GC_SECRET = "wh_test_a"


class Providers(Answers):
    """Answers by path and query, 404 elsewhere; calls holds what was asked, in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def send(
        self,
        request: httpx.Request,
        *,
        total_seconds: float,
        body_bytes_max: int,
        truncate: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> httpx.Response:
        self.calls.append(request.url.raw_path.decode())
        return await super().send(
            request,
            total_seconds=total_seconds,
            body_bytes_max=body_bytes_max,
            truncate=truncate,
            tls=tls,
        )


@dataclass(frozen=True, slots=True)
class Town:
    pool: Pool
    writer: EventWriter
    providers: Providers
    parts: SyncParts

    @property
    def calls(self) -> list[str]:
        return self.providers.calls

    def shows(self, path: str, body: Mapping[str, Any]) -> None:
        self.providers.bodies[path] = body

    async def told(
        self,
        account: str,
        body: object,
        *,
        headers: Mapping[str, str] | None = None,
        received_at: datetime | None = None,
    ) -> None:
        """A provider calls; then all that is due is read."""
        call = Call(headers or {}, _bytes_of(body), received_at=received_at or datetime.now(UTC))
        await receive(
            call,
            self.parts.accounts[account],
            store=self.writer.store,
            wake=lambda: None,
        )
        await self.sync()

    async def told_by_ginger(self, order_id: str, **fields: object) -> None:
        hint = {"event": "status_changed", "order_id": order_id, "project_id": PROJECT}
        await self.told("ginger", hint | fields)

    async def told_by_gocardless(self, *items: Mapping[str, Any]) -> None:
        made_now = {"created_at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        body = json.dumps({"events": [{**item, **made_now} for item in items]}).encode()
        signature = hmac.new(GC_SECRET.encode(), body, hashlib.sha256).hexdigest()
        await self.told("gc", body, headers={"webhook-signature": signature})

    async def told_by_bunq(self, name: str = "RequestInquiry", **thing: object) -> None:
        ours: dict[str, object] = {"monetary_account_id": ACCOUNT_ID}
        await self.told("bunq", call_about(name, ours | thing))

    async def sync(self) -> None:
        while await sync_due(self.parts, slots=4, bell=asyncio.Event()):
            pass

    async def next_look(self) -> None:
        """Let the time pass until the next look is due, and take it."""
        await self.run(
            "update due set due_at = least(due_at, now()), not_before = '-infinity'"
            " where due_at < 'infinity'"
        )
        await self.sync()

    async def run(self, statement: str) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(statement.encode())

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(query.encode())
            return await cursor.fetchall()

    async def inbox(self) -> list[tuple[str, str | None]]:
        """The verdict of each event that was kept, and why."""
        return await self.rows("select verdict, reason from events order by received_at, id")

    async def due(self) -> list[tuple[str, str | None]]:
        """What may have to be read, and why it waits, by its id at the provider."""
        return await self.rows("select provider_id, parked from due order by provider_id")

    async def wait_seconds(self) -> float:
        """How long the one request of this town waits for its next look."""
        ((seconds,),) = await self.rows(
            "select extract(epoch from due_at - now())::float8 from due join requests"
            " using (account, kind, provider_id)"
        )
        return float(seconds)

    async def statuses(self) -> list[tuple[str, str]]:
        return await self.rows("select provider_id, status from requests order by provider_id")

    async def moves(self) -> list[str]:
        """The statuses that the ERP was told, in turn."""
        rows = await self.rows(
            "select body from notifications where subject = 'request' order by serial"
        )
        return [json.loads(body)["data"]["status"] for (body,) in rows]


def order_path(order_id: str) -> str:
    return f"/v1/orders/{order_id}/"


def inquiry_path(inquiry_id: int) -> str:
    return f"{ACCOUNT_PATH}/request-inquiry/{inquiry_id}"


def inquiry_key(inquiry_id: int) -> Key:
    return Key("bunq", Kind.REQUEST_INQUIRY, str(inquiry_id))


def settings_of(*, discover: bool) -> Settings:
    ginger = {"provider": "ginger", "api_base": "https://ginger.test", "api_key": "secret"}
    gocardless = {
        "provider": "gocardless",
        "api_base": "https://gc.test",
        "access_token": "t0ken",
        "webhook_secrets": [GC_SECRET],
        "organisation_id": ORGANISATION,
    }
    bunq = {
        "provider": "bunq",
        "api_base": "https://bunq.test/v1",
        "api_key": "key",
        "user_id": USER_ID,
        "monetary_account_id": ACCOUNT_ID,
    }
    table: dict[str, Any] = {
        "account": [
            {"name": "ginger", "project_ids": [PROJECT], "discover": discover, **ginger},
            {"name": "gc", "discover": discover, **gocardless},
            {"name": "bunq", "discover": discover, **bunq},
        ]
    }
    return parse(table, source="test", environ={}, base=Path())


@asynccontextmanager
async def town_on(pool: Pool, url: str, *, discover: bool = True) -> AsyncIterator[Town]:
    """Lend a town on an empty database, logged in at bunq."""
    settings = settings_of(discover=discover)
    providers = Providers()
    parts = parts_of(pool, connect_accounts(settings), providers, plan_of(settings))
    async with unit_of_work(pool) as work:
        rows = [(name, each.section.provider) for name, each in parts.accounts.items()]
        await ensure_accounts(work.connection, rows, end_pauses=False)

    await _log_in(pool)
    writer = EventWriter(url)
    await writer.start()
    yield Town(pool, writer, providers, replace(parts, sessions=sessions_on(pool, providers)))
    await writer.stop()
    await providers.aclose()


async def _log_in(pool: Pool) -> None:
    """Keep a session at bunq, made once for all tests: making its keys takes long."""
    session = a_session()
    async with connected(pool) as connection:
        assert await lease_opening(
            connection, "bunq", spent=0, pause_seconds=0.0, lease_seconds=60.0
        )
        await keep_session(
            connection,
            "bunq",
            spent=0,
            values=session.values,
            expires_in_seconds=session.expires_in_seconds,
            counts=session.counts,
        )


def _bytes_of(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()
