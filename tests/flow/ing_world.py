"""An account at ING, which takes letters and digits only, beside one at Ginger, which takes all."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg.rows import dict_row

from service.domain.request import Key, Kind, ObservedBy
from service.fetch import ConnectedAccount
from service.flow.look import SyncParts
from service.flow.sync import sync_due
from service.runtime import connect_accounts, plan_of
from service.settings import Rate, parse
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.storage.unit_of_work import unit_of_work
from tests.flow.parts import Answers, parts_of
from tests.flow.world import order, order_id
from tests.providers.ing_payment_request_bodies import ing, payment, request


def ing_key(number: int) -> Key:
    return Key("ing", Kind.PAYMENT_REQUEST, f"{number:032d}")


def ginger_key(number: int) -> Key:
    return Key("ginger", Kind.ORDER, order_id(number))


@dataclass(frozen=True, slots=True)
class IngWorld:
    wire: Answers
    parts: SyncParts

    def ing_shows(self, number: int, purchase_id: str, *payments: float) -> None:
        """A request for 40.00 and the payments under it."""
        key = ing_key(number).provider_id
        body = request(
            id=key,
            purchaseId=purchase_id,
            fixedAmount={"value": 40.0, "currency": "EUR"},
            maximumReceivableAmount=None,
            maximumAllowedPayments=1,
        )
        listed = [payment(value, n) for n, value in enumerate(payments)]
        path = f"/payment-requests/{key}"
        self.wire.bodies |= {path: body, f"{path}/payments": {"payments": listed}}

    def ginger_shows(self, number: int, reference: str) -> None:
        """A completed order of 40.00."""
        self.wire.bodies[f"/v1/orders/{order_id(number)}/"] = order(number, reference=reference)

    async def read(self, *keys: Key) -> None:
        async with unit_of_work(self.parts.pool) as work:
            await work.due.trigger(keys, observed_by=ObservedBy.POLL, known=True)
        await self.sync()

    async def sync(self) -> None:
        while await sync_due(self.parts, slots=4, bell=asyncio.Event()):
            pass

    async def rows(self, query: str) -> list[dict[str, Any]]:
        async with (
            self.parts.pool.connection() as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            await cursor.execute(query.encode())
            return await cursor.fetchall()

    async def orders(self) -> dict[str, tuple[str, int]]:
        """Status and received of each order, by its reference."""
        rows = await self.rows("select reference, status, received from orders")
        return {row["reference"]: (row["status"], row["received"]) for row in rows}

    async def attention(self, key: Key) -> list[str]:
        (row,) = await self.rows(
            f"select attention from requests where provider_id = '{key.provider_id}'"
        )
        return sorted(row["attention"])

    async def told(self, reference: str) -> list[str]:
        """The types of the messages about an order."""
        rows = await self.rows("select body from notifications order by serial")
        bodies = [json.loads(row["body"]) for row in rows]
        return [
            body["type"]
            for body in bodies
            if body["type"].startswith("order.") and body["data"]["reference"] == reference
        ]


@asynccontextmanager
async def ing_world_on(pool: Pool, **context: Any) -> AsyncIterator[IngWorld]:
    """Lend such a world on an empty database; context is the ING account's."""
    ing_account = {
        "name": "ing",
        "provider": "ing_payment_request",
        "api_base": "https://api.ing.example",
        "client_id": "client",
        "tls_certificate_file": "tls.pem",
        "tls_key_file": "tls.pem",
    }
    ginger_account = {
        "name": "ginger",
        "provider": "ginger",
        "api_base": "https://ginger.test",
        "api_key": "secret",
    }
    both = parse({"account": [ginger_account, ing_account]}, source="test", environ={}, base=Path())
    alone = parse({"account": [ginger_account]}, source="test", environ={}, base=Path())
    accounts = {
        **connect_accounts(alone),
        "ing": ConnectedAccount("ing", both.accounts[1], ing(**context), Rate(100, 1.0)),
    }
    wire = Answers()
    async with unit_of_work(pool) as work:
        await ensure_accounts(
            work.connection,
            [("ing", "ing_payment_request"), ("ginger", "ginger")],
            end_pauses=False,
        )
    yield IngWorld(wire, parts_of(pool, accounts, wire, plan_of(both)))
    await wire.aclose()
