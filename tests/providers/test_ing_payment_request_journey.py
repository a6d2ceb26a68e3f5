"""ING from the registration to the record: real PostgreSQL and sync, the provider's answers given.

What payers may choose is paid when it comes to what the ERP registered. Source: STATUSES.md,
section 2, point 4.
"""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.domain.money import Money
from service.domain.request import Key, Kind
from service.fetch import ConnectedAccount
from service.flow.look import SyncParts
from service.flow.register import register_order, register_request
from service.flow.sync import sync_due
from service.runtime import plan_of
from service.settings import Rate, Settings, parse
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.storage.unit_of_work import unit_of_work
from tests.emptied import emptied as emptied
from tests.emptied import shared_url as shared_url
from tests.flow.parts import Answers, parts_of
from tests.providers.ing_payment_request_bodies import (
    HERE,
    REQUEST,
    ing,
    payment,
    request,
)

SUGGESTED = {"suggestedValue": 50.0, "currency": "EUR"}
KEY = Key("ing", Kind.PAYMENT_REQUEST, REQUEST)


def settings() -> Settings:
    account = {
        "name": "ing",
        "provider": "ing_payment_request",
        "api_base": "https://api.ing.example",
        "client_id": "client",
        "tls_certificate_file": "tls.pem",
        "tls_key_file": "tls.pem",
    }
    return parse({"account": [account]}, source="test", environ={}, base=Path())


@dataclass
class World:
    pool: Pool
    wire: Answers
    parts: SyncParts

    def shows(self, *payments: float) -> None:
        """Let the provider show a request whose amount the payers choose, and its payments."""
        open_amount = request(
            fixedAmount=None,
            maximumReceivableAmount=None,
            maximumAllowedPayments=None,
            variableAmount=SUGGESTED,
        )
        listed = [payment(value, number) for number, value in enumerate(payments)]
        self.wire.bodies = {HERE: open_amount, f"{HERE}/payments": {"payments": listed}}

    async def register(self, minor: int) -> None:
        await register_order(
            self.pool,
            reference="INV-1",
            amount=Money(minor, "EUR"),
            requests=[KEY],
            metadata={},
            endpoints=[],
            now=datetime.now(UTC),
        )
        await self.sync()

    async def sync(self) -> None:
        while await sync_due(self.parts, slots=4, bell=asyncio.Event()):
            pass

    async def told(self) -> list[tuple[str, int, int]]:
        """What the ERP is told of each move: status, received and amount."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                "select body from notifications where subject = 'request' order by serial"
            )
            rows: list[tuple[Any, ...]] = await cursor.fetchall()
        bodies = [json.loads(body)["data"] for (body,) in rows]
        return [
            (data["status"], data["received"]["minor"], data["amount"]["minor"]) for data in bodies
        ]


@pytest.fixture
async def world(emptied: Pool) -> World:
    configured = settings()
    account = ConnectedAccount("ing", configured.accounts[0], ing(), Rate(100, 1.0))
    wire = Answers()
    parts = parts_of(emptied, {"ing": account}, wire, plan_of(configured))
    async with unit_of_work(emptied) as work:
        await ensure_accounts(work.connection, [("ing", "ing_payment_request")], end_pauses=False)
    return World(emptied, wire, parts)


async def test_a_request_that_suggests_less_is_a_part_of_what_was_registered(world: World) -> None:
    world.shows(50.0)
    await world.register(12500)

    assert await world.told() == [("part_paid", 5000, 12500)]


async def test_a_request_that_suggests_more_is_paid_by_what_was_registered(world: World) -> None:
    world.shows(20.0)
    await world.register(2000)

    assert await world.told() == [("paid", 2000, 2000)]


async def test_paid_as_suggested_becomes_a_part_when_more_is_registered(world: World) -> None:
    world.shows(50.0)
    await register_request(world.pool, key=KEY, reference=None, endpoints=[], now=datetime.now(UTC))
    await world.sync()
    await world.register(12500)

    assert await world.told() == [("paid", 5000, 5000), ("part_paid", 5000, 12500)]


async def test_where_an_order_has_two_requests_neither_is_measured_by_all_of_it(
    world: World,
) -> None:
    world.shows(50.0)
    other = Key("ing", Kind.PAYMENT_REQUEST, "other")
    for key in (KEY, other):
        await register_request(
            world.pool, key=key, reference="INV-1", endpoints=[], now=datetime.now(UTC)
        )
    await register_order(
        world.pool,
        reference="INV-1",
        amount=Money(12500, "EUR"),
        requests=[KEY, other],
        metadata={},
        endpoints=[],
        now=datetime.now(UTC),
    )
    await world.sync()

    assert await world.told() == [("paid", 5000, 5000)]
