"""GoCardless for tests: accounts with stories played on them, and a client that is let in."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import msgspec
from starlette.applications import Starlette

from service.sandbox.app import create_app
from service.sandbox.gocardless.account import GoCardlessAccount, GoCardlessSettings
from service.sandbox.gocardless.creation import BillingRequest
from service.sandbox.gocardless.stories import STORIES
from tests.sandbox.worlds import AT_ONCE, NOON, SAMPLES, quiet

TOKEN = "sandbox_token_0123456789"
SECRET = "wh_test_Qk3v-Zr8T1nYw0sPdM5uXaLcB7eHfJgK2iOq"
SETTINGS = {
    "name": "gc-live",
    "provider": "gocardless",
    "access_token": TOKEN,
    "webhook_secret": SECRET,
}
HEADERS = {"authorization": f"Bearer {TOKEN}", "gocardless-version": "2015-07-06"}


def sample(name: str) -> Any:
    return json.loads((SAMPLES / "gocardless" / f"{name}.json").read_text(encoding="utf-8"))


def account(**settings: Any) -> GoCardlessAccount:
    return GoCardlessAccount(msgspec.convert(SETTINGS | settings, GoCardlessSettings))


def asked_for(
    story: str, *, at: GoCardlessAccount | None = None, amount: int = 7000, currency: str = "GBP"
) -> BillingRequest:
    """Return a request made for a story, with nothing of it played yet."""
    request = (at or account()).ask(
        STORIES[story], reference="SO-10042", amount=amount, currency=currency, at=NOON
    )
    assert isinstance(request, BillingRequest)
    return request


def played(
    story: str, *, at: GoCardlessAccount | None = None, amount: int = 7000, currency: str = "GBP"
) -> BillingRequest:
    """Return a request with every beat of a story played on it, a second apart, and noted."""
    holder = at or account()
    request = asked_for(story, at=holder, amount=amount, currency=currency)
    holder.note(request, returns=True)
    for second, beat in enumerate(STORIES[story].beats(has_money=False), start=1):
        beat.act(request, NOON + timedelta(seconds=second))
        holder.note(request, returns=True)
    return request


class Receiver:
    """Takes webhooks: keeps the requests, answers with the statuses given, then 204."""

    def __init__(self, *statuses: int) -> None:
        self.requests: list[httpx.Request] = []
        self._statuses = list(statuses)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self._statuses.pop(0) if self._statuses else 204)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]

    @property
    def events(self) -> list[Any]:
        return [event for body in self.bodies for event in body["events"]]

    @property
    def actions(self) -> list[str]:
        return [f"{event['resource_type']} {event['action']}" for event in self.events]


@asynccontextmanager
async def visiting(
    receiver: Receiver | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Open an account in a sandbox of its own; the client is let in to it."""
    app: Starlette = create_app(transport=httpx.MockTransport(receiver or Receiver()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://sandbox", headers=HEADERS
    ) as client:
        ordinary = SETTINGS | {
            "webhook_url": "https://merchant.example/hooks",
            "pace": AT_ONCE,
            "time_scale": 1e-9,
        }
        answer = await client.post("/sandbox/accounts", json=ordinary | settings)
        assert answer.status_code == 201, answer.text
        yield client
    await app.state.world.close()


async def play(client: httpx.AsyncClient, story: str, **body: Any) -> str:
    """Play a story to its end, webhooks included; return the billing request's id."""
    answer = await client.post(f"/sandbox/accounts/gc-live/stories/{story}", json=body)
    assert answer.status_code == 201, answer.text
    await quiet(client)
    return str(answer.json()["provider_id"])


async def set_faults(client: httpx.AsyncClient, **faults: Any) -> None:
    answer = await client.post("/sandbox/accounts/gc-live/faults", json=faults)
    assert answer.status_code == 200, answer.text


async def billing_request(client: httpx.AsyncClient, request_id: str) -> Any:
    return (await client.get(f"/billing_requests/{request_id}")).json()["billing_requests"]


async def payment_of(client: httpx.AsyncClient, request_id: str) -> Any:
    """Return the payment that a billing request links to."""
    links = (await billing_request(client, request_id))["links"]
    return (await client.get(f"/payments/{links['payment_request_payment']}")).json()["payments"]


def reason(answer: httpx.Response) -> str:
    """Return the first reason that an error gives."""
    return str(answer.json()["error"]["errors"][0]["reason"])
