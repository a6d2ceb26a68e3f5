"""The API for the ERP and operators: every call is refused in its own words, or taken whole.

It has no database here: what it does not refuse it answers with 503, and until then it has judged
all that was sent.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from functools import cache
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.types import Message

from service.domain.money import EXPONENTS
from service.domain.strict_json import parse
from service.runtime import Runtime, open_runtime
from service.web.app import create_app
from tests.fuzz.target import Target, joined, parts_of
from tests.web.conftest import KEYS, not_opened, settings_of

ORDER_ID = "4c6afd74-0000-4000-8000-000000000001"
REQUEST = {"account": "ginger-nl", "kind": "order", "provider_id": ORDER_ID}
ORDER = {
    "reference": "INV-1/é",
    "amount": {"currency": "EUR", "minor": 4000},
    "requests": [REQUEST],
    "metadata": {"note": [1, 2.5, None]},
}
CHANGES = ("POST /v1/orders", "POST /v1/requests", "POST /v1/recover", "POST /v1/reconciles")

SEEDS = [
    joined(b"POST /v1/orders", b"", json.dumps(ORDER).encode()),
    joined(b"POST /v1/requests", b"idempotency-key: a", json.dumps(REQUEST).encode()),
    joined(b"PATCH /v1/orders/INV-1", b'if-match: "7", W/"8"', b'{"withdrawn": true}'),
    joined(b"POST /v1/orders/INV%2f1/acknowledge", b"", b'{"code": "overpaid", "reason": "x"}'),
    joined(b"POST /v1/requests/prq_01kaxyz0123456789012345678/link", b"", b'{"reference": "a"}'),
    joined(b"POST /v1/recover", b"", b'{"endpoint": "erp", "since": "2026-11-20T14:31:02Z"}'),
    joined(b"POST /v1/reconciles", b"", b'{"account": "ginger-nl", "reason": "x"}'),
    joined(b"POST /v1/endpoints/erp/pause", b"", b'{"reason": "moving"}'),
    joined(b"GET /v1/changes?after=f12&limit=5", b"", b""),
    joined(b"GET /v1/requests?status=paid&updated_since=2026-11-20T14:31:02Z", b"", b""),
    joined(b"GET /v1/deliveries?state=dead&endpoint=erp&cursor=MTc2My5hYmM", b"", b""),
    joined(b"GET /v1/events?account=ginger-nl&verdict=parked", b"", b""),
]
HEADERS = (b"idempotency-key", b"if-match", b"content-type", b"content-encoding", b"content-length")


def targets() -> dict[str, Target]:
    return {"api": Target(_api, SEEDS)}


@cache
def _opened() -> tuple[asyncio.Runner, Any, Runtime]:
    """A loop, the application, and a runtime whose database is away; for the whole process."""
    runner, stack = asyncio.Runner(), AsyncExitStack()

    async def open_it() -> Runtime:
        opened = open_runtime(settings_of("dbname=none"), role="worker")
        runtime = await stack.enter_async_context(opened)
        await runtime.pool.close()
        return runtime

    return runner, create_app(not_opened), runner.run(open_it())


def _api(data: bytes) -> None:
    line, head, body, *_ = [*parts_of(data), b"", b"", b""]
    method, _, target = line.partition(b" ")
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/v1/"):
        return
    lines = [one.partition(b": ") for one in head.split(b"\n")]
    headers = [(name, value) for name, _, value in lines if name in HEADERS]
    status, answer, kind = _ask(method, path, query, headers, body)
    assert status < 500 or status == 503, (status, answer)
    if status >= 400:
        assert kind == b"application/problem+json"
        assert json.loads(answer)["status"] == status
    if status == 503 and line == b"POST /v1/orders":
        _check_order(body)


def _check_order(body: bytes) -> None:
    """An order that would have been stored is what it says: whole money, and ids of the shape."""
    taken = parse(body)
    assert isinstance(taken, dict)
    assert type(taken["amount"]["minor"]) is int
    assert 1 <= taken["amount"]["minor"] <= 10**15
    assert taken["amount"]["currency"] in EXPONENTS
    for item in taken.get("requests", []):
        assert len(item["provider_id"]) == len(ORDER_ID)


def _ask(
    method: bytes, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> tuple[int, bytes, bytes]:
    """Return status, body and content type of the answer."""
    runner, app, runtime = _opened()
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    key = (b"authorization", f"Bearer {KEYS['operator']}".encode())
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method.decode("latin-1"),
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [key, (b"host", b"settled"), *headers],
        "client": ("127.0.0.1", 7),
        "server": ("127.0.0.1", 8080),
        "state": {"runtime": runtime},
    }
    runner.run(app(scope, receive, send))
    told = dict(sent[0]["headers"])
    whole = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], whole, told.get(b"content-type", b"")
