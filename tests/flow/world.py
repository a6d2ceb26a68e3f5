"""A world to sync in: a real database, a real adapter, and a provider that answers from a table.

The network is the only thing that is not real.
"""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from psycopg.rows import dict_row

from service.budget import CallBudget
from service.domain.request import Key, Kind, ObservedBy, PaymentRequest
from service.fetch import ConnectedAccount
from service.flow.look import SyncParts
from service.flow.sync import sync_due
from service.runtime import connect_accounts, plan_of
from service.settings import Settings, parse
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.storage.lanes import Lanes
from service.storage.unit_of_work import unit_of_work
from service.wire import Wire
from tests.flow.parts import parts_of

RECORDED = Path(__file__).parents[1] / "providers" / "recorded" / "ginger"
ACCOUNT = "ginger-nl"

# A JSON answer, a status without a body, a whole response, or what makes one when asked.
Given = Mapping[str, object] | int | httpx.Response
Answer = Given | Callable[[], Awaitable[Given]]


def order_id(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def key_of(number: int, account: str = ACCOUNT) -> Key:
    return Key(account, Kind.ORDER, order_id(number))


def order(
    number: int,
    recorded: str = "order_completed",
    *,
    amount: int = 4000,
    reference: str | None = "INV-1043",
    minute: int = 1,
    **changed: object,
) -> dict[str, object]:
    """A recorded Ginger order under another id; minute is when it last changed."""
    found: dict[str, Any] = json.loads((RECORDED / f"{recorded}.json").read_bytes())
    modified = f"2026-11-20T14:{minute:02d}:00+00:00"
    found |= {"id": order_id(number), "amount": amount, "modified": modified}
    found["merchant_order_id"] = reference
    for transaction in found["transactions"]:
        transaction["amount"] = amount
    return found | changed


def refund(number: int, *, of: int, amount: int = 1000, minute: int = 2) -> dict[str, object]:
    """A completed refund: an order of its own that names the one it gives back from."""
    given = order(number, "refund_response_order_shape", amount=amount, minute=minute)
    return given | {"refund_of_order_id": order_id(of)}


class Provider(Wire):
    """Answers calls from a table; 404 for what is not in it. calls holds what was asked, in turn.

    A list of answers is given one after the other, the last one for ever.
    """

    def __init__(self) -> None:
        super().__init__(check_addresses=False)
        self.answers: dict[str, Answer | Sequence[Answer]] = {}
        self.pages: list[Answer] = []
        self.calls: list[str] = []

    def shows(self, *answers: Mapping[str, object]) -> None:
        self.answers |= {str(answer["id"]): answer for answer in answers}

    def asked_for(self, number: int) -> int:
        return Counter(self.calls)[order_id(number)]

    async def send(
        self,
        request: httpx.Request,
        *,
        total_seconds: float,
        body_bytes_max: int,
        truncate: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> httpx.Response:
        name = request.url.path.removeprefix("/v1/orders/").rstrip("/")
        self.calls.append(name or str(request.url.query.decode()))
        answer = self._next(name) if name else self.pages.pop(0)
        if callable(answer):
            answer = await answer()
        if isinstance(answer, httpx.Response):
            return answer
        status, body = (answer, b"") if isinstance(answer, int) else (200, json.dumps(answer))
        return httpx.Response(status, content=body, request=request)

    def _next(self, name: str) -> Answer:
        found = self.answers.get(name, 404)
        if not isinstance(found, list):
            return found  # type: ignore[return-value]  # a sequence of answers is a list
        return found.pop(0) if len(found) > 1 else found[0]  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class World:
    """Parts of a sync with a provider to ask, and questions to the database."""

    pool: Pool
    provider: Provider
    parts: SyncParts

    @property
    def account(self) -> ConnectedAccount:
        return self.parts.accounts[ACCOUNT]

    async def trigger(
        self,
        *numbers: int,
        observed_by: ObservedBy = ObservedBy.WEBHOOK,
        known: bool = False,
    ) -> None:
        """Make orders due, each as often as it is named."""
        for number in numbers:
            async with unit_of_work(self.pool) as work:
                await work.due.trigger([key_of(number)], observed_by=observed_by, known=known)

    async def sync(self, *, slots: int = 16) -> int:
        return await sync_due(self.parts, slots=slots, bell=asyncio.Event())

    async def read(self, *numbers: int) -> None:
        """A webhook names orders, and they are read."""
        await self.trigger(*numbers)
        await self.sync()

    async def let_time_pass(self) -> None:
        """Bring on the time at which the next look is due, and end every wait and lease."""
        await self.run(
            "update due set due_at = least(due_at, now()) , not_before = '-infinity',"
            " leased_until = '-infinity' where due_at < 'infinity'"
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - the condition belongs to another task
                await asyncio.sleep(0.002)

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

    async def value(self, query: str, *values: object) -> Any:
        (row,) = await self.rows(query, *values)
        (value,) = row.values()
        return value

    async def due(self, number: int) -> dict[str, Any]:
        """The due row of an order; wait_seconds is None where it is never looked at by itself."""
        (row,) = await self.rows(
            """
            select wanted, done, lease_no, urgency, known, observed_by, rereads, hurry, crashes,
                   errors, parked,
                   nullif(extract(epoch from due_at - now()), 'infinity')::float8 as wait_seconds
              from due where provider_id = %s
            """,
            order_id(number),
        )
        return row

    async def request(self, number: int, account: str = ACCOUNT) -> PaymentRequest | None:
        async with unit_of_work(self.pool) as work:
            return (await work.requests.find([key_of(number, account)])).get(
                key_of(number, account)
            )

    async def status(self, number: int) -> str | None:
        request = await self.request(number)
        return str(request.facts.status) if request and request.facts else None

    async def order(self, reference: str = "INV-1043") -> dict[str, Any]:
        (row,) = await self.rows("select * from orders where reference = %s", reference)
        return row

    async def messages(self) -> list[dict[str, Any]]:
        """What the ERP is told, in the order in which it was written."""
        rows = await self.rows("select body from notifications order by serial")
        return [json.loads(row["body"]) for row in rows]

    def with_budget(self) -> "World":
        """The same world with the account's real call budget, as one process draws on it."""
        budget = CallBudget(self.pool)
        return replace(self, parts=replace(self.parts, draw=budget.draw, answered=budget.answered))


def settings_of(**account: object) -> Settings:
    """Two Ginger accounts, the second of which does not discover, and one endpoint."""
    ginger = {"provider": "ginger", "api_base": "https://ginger.test", "api_key": "secret"}
    table: dict[str, Any] = {
        "account": [
            {"name": ACCOUNT, "limit": "5/s", **ginger, **account},
            {"name": "ginger-be", **ginger, "discover": False},
        ],
        "endpoint": [
            {
                "name": "erp",
                "url": "https://erp.example.com/hooks",
                "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            }
        ],
    }
    return parse(table, source="test", environ={}, base=Path())


@asynccontextmanager
async def world_on(pool: Pool, **account: object) -> AsyncIterator[World]:
    """Lend a world on an empty database; account holds keys for the first account."""
    settings = settings_of(**account)
    provider = Provider()
    parts = parts_of(
        pool, connect_accounts(settings), provider, plan_of(settings), endpoints=settings.endpoints
    )
    async with unit_of_work(pool) as work:
        await ensure_accounts(
            work.connection, [(name, "ginger") for name in parts.accounts], end_pauses=False
        )
        await Lanes(work.connection).ensure([("erp", "webhook")])
    yield World(pool, provider, parts)
    await provider.aclose()
