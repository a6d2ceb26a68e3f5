"""A world whose provider shows statuses in its list: invented, and answered from a shelf.

Time is moved by shifting what the database holds: one look at the clock is as good as another.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
from psycopg.rows import dict_row

from service.budget import CallBudget
from service.domain.polling import PollPlan
from service.domain.request import (
    Answer,
    Facts,
    Key,
    Kind,
    Listing,
    Observation,
    ObservedBy,
    Related,
)
from service.domain.status import Status
from service.fetch import ConnectedAccount
from service.flow.look import SyncParts
from service.flow.sweep import sweep
from service.flow.sync import sync_due
from service.providers import Exchange, Listed, Page
from service.settings import Account, Rate
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.storage.unit_of_work import unit_of_work
from service.wire import Wire
from tests.builders import facts
from tests.flow.parts import parts_of

ACCOUNT = "northpay"
KIND = Kind.PAYMENT_REQUEST
PLAN = PollPlan(
    open=timedelta(minutes=15),
    processing=timedelta(minutes=5),
    paid=timedelta(days=1),
    max_age=timedelta(days=60),
)


async def at_once() -> None:
    """Wait for nothing."""


class Shelf(Wire):
    """What the provider has: statuses by id, newest first, and what it was asked.

    unlisted ids are read without a listing; breaks holds what the next pages answer instead. A
    read takes calls_per_read, and hold_seconds is how long no call is wanted after an answer.
    """

    def __init__(self) -> None:
        super().__init__(check_addresses=False)
        self.statuses: dict[str, Status] = {}
        self.ends_at: dict[str, datetime] = {}
        self.unlisted: set[str] = set()
        self.calls_per_read = 1
        self.hold_seconds: float | None = None
        self.breaks: list[int | None] = []
        self.reads: list[str] = []
        self.pages: list[str] = []
        self.before_answer: Callable[[], Awaitable[None]] = at_once

    @property
    def calls(self) -> int:
        return len(self.reads) + len(self.pages)

    async def send(
        self,
        request: httpx.Request,
        *,
        total_seconds: float,
        body_bytes_max: int,
        truncate: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> httpx.Response:
        await self.before_answer()
        name = request.url.path.removeprefix("/requests").strip("/")
        if name:
            self.reads.append(name)
            if name not in self.statuses:
                return httpx.Response(404, request=request)
            return httpx.Response(200, json=self.statuses[name], request=request)
        self.pages.append(request.url.params.get("cursor", ""))
        if self.breaks and (status := self.breaks.pop(0)):
            return httpx.Response(status, request=request)
        shown = dict(list(self.statuses.items())[int(request.url.params.get("cursor", "0")) :])
        return httpx.Response(200, content=json.dumps(shown), request=request)


class Northpay:
    """Implements Provider, ShowsStatuses, LagsBehind and TellsLimits."""

    kinds = frozenset({KIND})
    body_bytes_max = 0

    def __init__(self, shelf: Shelf, *, entries_per_page: int) -> None:
        self.entries_per_page = entries_per_page
        self.looks_after_end = (3600.0, 86_400.0)
        self._shelf = shelf

    def knows(self, kind: Kind, provider_id: str) -> bool:
        return kind in self.kinds

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        for _ in range(self._shelf.calls_per_read):
            response = yield httpx.Request("GET", f"https://north.test/requests/{provider_id}")
        status = Status(response.json())
        listed = provider_id not in self._shelf.unlisted
        return Observation(
            facts(status),
            version=None,
            reference=None,
            occurred_at=None,
            related=(Related(Kind.PAYMENT, f"pay-of-{provider_id}", "payment"),),
            ends_at=self._shelf.ends_at.get(provider_id),
            listing=Listing(provider_id, status.value) if listed else None,
        )

    def wait_seconds(self, response: httpx.Response, *, now: datetime) -> float | None:
        return self._shelf.hold_seconds

    def look_through(self, since: datetime, cursor: str | None) -> Exchange[Page]:
        params = {"since": since.isoformat()} | ({"cursor": cursor} if cursor else {})
        response = yield httpx.Request("GET", "https://north.test/requests", params=params)
        shown = list(response.json().items())
        here = shown[: self.entries_per_page]
        items = tuple(Listed(KIND, name, None, mark=status) for name, status in here)
        more = len(shown) > len(here)
        return Page(items, str(int(cursor or 0) + len(here)) if more else None)


def key_of(name: str) -> Key:
    return Key(ACCOUNT, KIND, name)


@dataclass(frozen=True, slots=True)
class NorthWorld:
    """Parts of a sweep, the shelf behind them, and questions to the database."""

    pool: Pool
    shelf: Shelf
    parts: SyncParts

    async def register(self, *names: str, status: Status = Status.OPEN) -> None:
        """Put requests on the shelf and read each once."""
        self.shelf.statuses |= dict.fromkeys(names, status)
        async with unit_of_work(self.pool) as work:
            await work.due.trigger(
                [key_of(name) for name in names], observed_by=ObservedBy.POLL, known=True
            )
        await self.sync()

    async def trigger(self, *names: str, by: ObservedBy = ObservedBy.WEBHOOK) -> None:
        async with unit_of_work(self.pool) as work:
            await work.due.trigger([key_of(name) for name in names], observed_by=by, known=True)

    async def sync(self) -> int:
        return await sync_due(self.parts, slots=32, bell=asyncio.Event())

    async def sweep(self) -> int:
        return await sweep(self.parts, every=timedelta(minutes=5), lookback=timedelta(days=7))

    async def want_walks(self, *, pages: int = 1, same: int = 1) -> None:
        """Have the plan want a walk whenever somebody asks, for the next hour."""
        await self.run(
            "insert into poll_plans (account, walk_every_seconds, walk_since, walk_pages,"
            " walk_same, next_at)"
            " values (%s, 0.001, now() - interval '1 day', %s, %s, now() + interval '1 hour')"
            " on conflict (account) do update set walk_every_seconds = 0.001,"
            " walk_since = excluded.walk_since, next_at = excluded.next_at",
            ACCOUNT, pages, same,
        )  # fmt: skip

    async def pass_time(self, by: timedelta) -> None:
        """Move everything that the database holds, and all ends, into the past."""
        self.shelf.ends_at = {name: at - by for name, at in self.shelf.ends_at.items()}
        for table, columns in _MOMENTS.items():
            changes = ", ".join(f"{column} = {column} - %s" for column in columns)
            await self.run(f"update {table} set {changes}", *[by] * len(columns))

    async def run(self, statement: str, *values: object) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(statement.encode(), values)

    async def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        async with (
            self.pool.connection() as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            await cursor.execute(query.encode(), values)
            return await cursor.fetchall()

    async def due(self, name: str) -> dict[str, Any]:
        (row,) = await self.rows(
            "select due_at, wanted, done, lease_no, urgency, observed_by, listed, ends_at,"
            " extract(epoch from due_at - now())::float8 as wait_seconds"
            " from due where provider_id = %s",
            name,
        )
        return row

    def with_plan(self, **polling: timedelta) -> "NorthWorld":
        """The same world with other wishes."""
        return replace(self, parts=replace(self.parts, plan=replace(PLAN, **polling)))

    def with_budget(self) -> "NorthWorld":
        """The same world with the account's real call budget, as one process draws on it."""
        budget = CallBudget(self.pool)
        parts = replace(self.parts, draw=budget.draw, answered=budget.answered)
        return replace(self, parts=parts)


_MOMENTS = {
    "due": ("due_at", "first_due_at", "not_before", "leased_until", "ends_at"),
    "requests": ("first_seen_at",),
    "walks": ("started_at", "finished_at", "leased_until"),
    "poll_plans": ("next_at", "walk_since"),
}


@asynccontextmanager
async def north_world_on(
    pool: Pool, *, entries_per_page: int = 100, limit: Rate | None = None
) -> AsyncIterator[NorthWorld]:
    shelf = Shelf()
    account = ConnectedAccount(
        ACCOUNT,
        Account(name=ACCOUNT, provider="northpay"),
        Northpay(shelf, entries_per_page=entries_per_page),
        limit or Rate(100, 1.0),
    )
    parts = parts_of(pool, {ACCOUNT: account}, shelf, PLAN)
    async with unit_of_work(pool) as work:
        await ensure_accounts(work.connection, [(ACCOUNT, "northpay")], end_pauses=False)
    yield NorthWorld(pool, shelf, parts)
    await shelf.aclose()
