"""A client account at the fake payment_requests_v2 for tests, and what a read of it shows."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import msgspec

from service.sandbox.app import create_app
from service.sandbox.payment_requests_v2.account import (
    PaymentRequestsAccount,
    PaymentRequestsSettings,
)
from service.sandbox.payment_requests_v2.orders import PaymentOrder
from service.sandbox.payment_requests_v2.stories import STORIES
from service.sandbox.payment_requests_v2.words import ENCODER, order_json
from tests.sandbox.worlds import AT_ONCE, NOON, quiet

TOKEN, CLIENT_ACCOUNT = "snb_0123456789abcdef", 123
MINE = {"client_account_id": CLIENT_ACCOUNT}
PATH = "/api/v2/payment-requests"
SETTINGS = {
    "name": "partner",
    "provider": "payment_requests_v2",
    "api_token": TOKEN,
    "client_account_id": CLIENT_ACCOUNT,
}


class Clock:
    """A time that a test moves on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def account(**settings: Any) -> PaymentRequestsAccount:
    return PaymentRequestsAccount(msgspec.convert(SETTINGS | settings, PaymentRequestsSettings))


def asked(
    story: str = "created",
    *,
    at: PaymentRequestsAccount | None = None,
    amount: int = 7000,
    currency: str = "NOK",
) -> PaymentOrder:
    """Return the order that a story is going to be about."""
    order = (at or account()).ask(
        STORIES[story], reference="PO-1", amount=amount, currency=currency, at=NOON
    )
    assert isinstance(order, PaymentOrder)
    return order


def go_on(order: PaymentOrder, story: str, *, has_money: bool = False) -> PaymentOrder:
    """Play a story on an order, a second between its beats."""
    start = order.entries[-1].at if order.entries else NOON
    for second, beat in enumerate(STORIES[story].beats(has_money=has_money), start=1):
        beat.act(order, start + timedelta(seconds=second))
    return order


def shown(order: PaymentOrder, *, style: Any = "words") -> Any:
    """Return an order as a read shows it."""
    content = order_json(order, order.entries, style=style, client_account_id=CLIENT_ACCOUNT)
    return json.loads(ENCODER.encode(content), parse_float=Decimal)


def words(order: PaymentOrder, *, style: Any = "words") -> list[str]:
    """Return the statuses of a read, the request's own first, case and blanks taken away."""
    read = shown(order, style=style)
    return [each["payment_status"].strip().lower() for each in (read, *read["transfers"])]


@asynccontextmanager
async def partner(clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox in this process that shows the token of the one account in it."""
    app = create_app(now=clock)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://sandbox",
            headers={"authorization": f"Bearer {TOKEN}"},
        ) as client,
    ):
        await open_account(client)
        yield client


async def open_account(client: httpx.AsyncClient, **settings: Any) -> None:
    """Open the account, or replace its settings; what is not named is ordinary."""
    ordinary = SETTINGS | {"pace": AT_ONCE, "call_limit_factor": 100}
    answer = await client.post("/sandbox/accounts", json=ordinary | settings)
    assert answer.status_code in (200, 201), answer.text


async def play(client: httpx.AsyncClient, story: str, **body: Any) -> str:
    """Play a story to its end; return the request's id."""
    wanted = {"amount": 7000, "currency": "NOK", **body}
    answer = await client.post(f"/sandbox/accounts/partner/stories/{story}", json=wanted)
    assert answer.status_code == 201, answer.text
    await quiet(client)
    return str(answer.json()["provider_id"])


async def truths(client: httpx.AsyncClient) -> Any:
    return (await client.get("/sandbox/truth", params={"account": "partner"})).json()


def shape(value: Any) -> Any:
    """Return a value's structure without notes to the reader; numbers are numbers."""
    match value:
        case dict():
            return {name: shape(each) for name, each in value.items() if not name.startswith("_")}
        case list():
            return [shape(each) for each in value[:1]]
        case bool():
            return bool
        case int() | float() | Decimal():
            return float
        case _:
            return type(value)
