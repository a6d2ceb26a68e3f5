"""Sandbox worlds for tests: orders with a story played on them, and a whole sandbox in process."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
from starlette.applications import Starlette

from service.sandbox.app import create_app
from service.sandbox.ginger.account import GingerAccount, GingerSettings
from service.sandbox.ginger.shelf import Listed
from service.sandbox.ginger.stories import CAPTURED_LATER, STORIES
from service.sandbox.ledger import PaymentRequest

SAMPLES = Path(__file__).parent / "samples"
PROJECT_ID = "405d8375-3514-403b-8c43-83ae74cfe0e9"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = "0123456789abcdef0123456789abcdef"
AT_ONCE = {"min_ms": 0, "max_ms": 0}


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def account(**settings: Any) -> GingerAccount:
    ordinary = {"name": "ginger-nl", "api_key": KEY, "project_id": PROJECT_ID}
    return GingerAccount(msgspec.convert(ordinary | settings, GingerSettings))


def played(story: str, *, at: GingerAccount | None = None, amount: int = 7000) -> PaymentRequest:
    """Return an order with every beat of a story played on it, a second apart."""
    as_created: dict[str, object] = {
        "client": {"user_agent": "erp-bridge/1.4"},
        "description": "Invoice SI-000317",
        "expiration_period": "PT30M",
        "extra": {"erp_company": "NL01", "erp_document": "SI-000317"},
        "merchant_order_id": "SI-000317",
        "return_url": "https://shop.example/return",
        "webhook_url": "https://hooks.example/ginger/acct-1",
    }
    if STORIES[story] in CAPTURED_LATER:
        as_created["capture_mode"] = "manual"
    order = (at or account()).create(amount, "EUR", as_created, at=NOON)
    for second, beat in enumerate(STORIES[story].beats(has_money=False), start=1):
        beat.act(order, NOON + timedelta(seconds=second))
    return order


def shown(story: str, *, details: bool = False) -> Any:
    """Return the order of a played story as a read shows it."""
    seller = account()
    order = played(story, at=seller)
    return json.loads(seller.rendered(Listed(order), NOON, details=details))


def pages(app: Starlette) -> httpx.AsyncClient:
    """Return a client of a sandbox in this process, logged in with KEY."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://sandbox", auth=(KEY, "")
    )


class Merchant:
    """Takes the sandbox's webhooks: keeps each body, answers with the statuses given, then 204."""

    def __init__(self, *statuses: int) -> None:
        self.bodies: list[Any] = []
        self._statuses = list(statuses)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(json.loads(request.content))
        return httpx.Response(self._statuses.pop(0) if self._statuses else 204)

    @property
    def words(self) -> list[str]:
        return [body["order_status"] for body in self.bodies]


def sandbox_for(merchant: Merchant) -> Starlette:
    return create_app(transport=httpx.MockTransport(merchant))


async def open_account(client: httpx.AsyncClient, **settings: Any) -> None:
    ordinary = {
        "name": "ginger-nl",
        "api_key": KEY,
        "project_id": PROJECT_ID,
        "webhook_url": "https://merchant.example/hooks",
        "pace": AT_ONCE,
        "time_scale": 0.000001,
    }
    answer = await client.post("/sandbox/accounts", json=ordinary | settings)
    assert answer.status_code in (200, 201), answer.text


async def play(client: httpx.AsyncClient, story: str, **body: Any) -> Any:
    """Play a story to its end, webhooks included; return which request it was."""
    answer = await client.post(f"/sandbox/accounts/ginger-nl/stories/{story}", json=body)
    assert answer.status_code == 201, answer.text
    await quiet(client)
    return answer.json()


async def quiet(client: httpx.AsyncClient) -> Any:
    """Wait until no story and no webhook is under way; return the stats."""
    stats = (await client.get("/sandbox/stats", params={"wait": 10})).json()
    assert (stats["playing"], stats["webhooks"]["waiting"]) == (0, 0)
    return stats
