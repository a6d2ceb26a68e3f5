"""Call in, notification out: the whole road in one process, over real sockets and servers.

The sandbox is provider and ERP. Its webhooks go into the application, whose drains read it back
over the network and post to its ERP.
"""

import asyncio
import contextlib
import json
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from service.embedded import Urls
from service.nudge import SWEEP, SYNC
from service.runtime import introduce, open_runtime
from service.sandbox.app import create_app as create_sandbox
from service.sandbox.erp import Notification
from service.settings import Settings, parse
from service.storage.database import Pool
from service.storage.unit_of_work import connected
from service.web.app import create_app
from service.web.turns import Turns
from tests.flow.surroundings import SECRET, eventually
from tests.sandbox.worlds import KEY, PROJECT_ID, open_account, play, quiet
from workers.drains import Drains

ERP_KEY = "key-of-the-erp"
AMOUNT = {"currency": "EUR", "minor": 4000}
SILENT_CHANGES = 3


@dataclass(frozen=True, slots=True)
class World:
    """Our application, seen by its API, and the sandbox around it."""

    api: httpx.AsyncClient
    sandbox: httpx.AsyncClient
    received: list[Notification]
    pool: Pool
    drains: Drains

    async def register(self, reference: str, order_id: str) -> None:
        """Tell our API what the ERP wants paid."""
        request = {"account": "ginger-nl", "kind": "order", "provider_id": order_id}
        order = {"reference": reference, "amount": AMOUNT, "requests": [request]}
        answer = await self.api.post("/v1/orders", json=order)
        assert answer.status_code == 201, answer.text

    async def order(self, reference: str) -> Any:
        return (await self.api.get(f"/v1/orders/{reference}")).json()

    async def account(self) -> Any:
        [account] = (await self.api.get("/v1/accounts")).json()["data"]
        return account

    async def is_silent_after_a_look(self) -> bool:
        """Have the provider's list looked through where that is due."""
        self.drains.ring(SWEEP)
        return bool((await self.account())["state"] == "silent")

    async def is_heard(self) -> bool:
        return bool((await self.account())["state"] == "ok")

    async def has_status(self, reference: str, status: str) -> bool:
        return bool((await self.order(reference)).get("status") == status)

    async def is_idle(self) -> bool:
        """Whether every trigger has been read and every delivery has arrived."""
        async with connected(self.pool) as connection:
            cursor = await connection.execute(
                "select from due where done < wanted"
                " union all select from deliveries where state = 'waiting'"
            )
            return cursor.rowcount == 0


class QuietServer(uvicorn.Server):
    """A server that leaves the signals of this process alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(app: Starlette, listener: socket.socket) -> AsyncIterator[None]:
    """Serve app on this loop until the block ends."""
    server = QuietServer(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await eventually(lambda: server.started)
        yield
    finally:
        server.should_exit = True
        await serving


def settings_of(database_url: str, redis_url: str, sandbox_url: str) -> Settings:
    table: dict[str, Any] = {
        "settled": {"api_keys": [{"name": "erp", "role": "erp", "key": ERP_KEY}]},
        "database": {"url": database_url},
        "redis": {"url": redis_url},
        "polling": {"sweep": "1s", "silent_changes": SILENT_CHANGES},
        "account": [
            {
                "name": "ginger-nl",
                "provider": "ginger",
                "api_base": sandbox_url,
                "api_key": KEY,
                "project_ids": [PROJECT_ID],
                "limit": "1000/s",
            }
        ],
        "endpoint": [
            {
                "name": "erp",
                "url": f"{sandbox_url}/erp/hooks",
                "secrets": [SECRET],
                "allow_private": True,
                "rate": "1000/s",
            }
        ],
    }
    return parse(table, source="test", environ={}, base=Path())


@pytest.fixture
async def world(database_url: str, servers: Urls) -> AsyncIterator[World]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sandbox_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = settings_of(database_url, servers.redis, sandbox_url)
        async with open_runtime(settings, role="web") as runtime:
            await introduce(runtime)
            drains = Drains(runtime)
            here = replace(runtime, wake=lambda: drains.ring(SYNC))
            app = create_app(lambda: contextlib.nullcontext(here))
            state = {"runtime": here, "turns": Turns()}

            async def app_in_its_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
                await app({**scope, "state": state}, receive, send)

            door = httpx.ASGITransport(app_in_its_lifespan)
            sandbox = create_sandbox(transport=door)
            async with (
                served(sandbox, listener),
                httpx.AsyncClient(base_url=sandbox_url, timeout=30) as outside,
                httpx.AsyncClient(
                    transport=door,
                    base_url="http://settled",
                    headers={"authorization": f"Bearer {ERP_KEY}"},
                ) as api,
            ):
                await outside.post("/sandbox/erp/secrets", json={"secrets": [SECRET]})
                await open_account(outside, webhook_url="http://settled/webhooks/ginger-nl")
                working = asyncio.create_task(drains.run())
                yield World(api, outside, sandbox.state.world.erp.received, runtime.pool, drains)
                drains.stop()
                await working


def by_subject(received: list[Notification]) -> dict[str, list[Any]]:
    """Return the data of what arrived, in order of arrival, per request and per order."""
    subjects = defaultdict(list)
    for notification in received:
        data = json.loads(notification.body)["data"]
        subjects[data.get("request_id") or data["order_id"]].append(data)
    return subjects


async def test_a_paid_invoice_reaches_the_erp_signed_numbered_and_explained(world: World) -> None:
    order_id = (await play(world.sandbox, "created", reference="INV-1043"))["provider_id"]
    await world.register("INV-1043", order_id)
    await play(world.sandbox, "paid", provider_id=order_id)
    await eventually(lambda: world.has_status("INV-1043", "paid"))
    await eventually(world.is_idle)

    order = await world.order("INV-1043")
    assert (order["received"]["minor"], order["registered"]) == (4000, True)
    [request] = order["requests"]
    for notification in world.received:
        Webhook(SECRET).verify(notification.body, dict(notification.headers))
    for told in by_subject(world.received).values():
        assert [data["sequence"] for data in told] == list(range(1, len(told) + 1))
        assert (told[-1]["status"], told[-1]["received"]["minor"]) == ("paid", 4000)

    feed = (await world.api.get("/v1/changes")).json()["data"]
    delivered = [json.loads(notification.body) for notification in world.received]
    assert sorted(feed, key=by_id) == sorted(delivered, key=by_id)

    timeline = (await world.api.get(f"/v1/requests/{request['id']}/timeline")).json()["data"]
    assert [entry["at"] for entry in timeline] == sorted(entry["at"] for entry in timeline)
    assert {entry["what"] for entry in timeline} == {
        "event",
        "observation",
        "transition",
        "notification",
        "attempt",
    }


def by_id(body: Any) -> str:
    return str(body["id"])


async def test_a_webhook_that_lies_changes_nothing(world: World) -> None:
    order_id = (await play(world.sandbox, "open", reference="INV-1"))["provider_id"]
    await world.register("INV-1", order_id)
    await eventually(world.is_idle)
    before = len(world.received)
    lie = {
        "event": "status_changed",
        "project_id": PROJECT_ID,
        "order_id": order_id,
        "order_status": "completed",
    }

    answer = await world.api.post("/webhooks/ginger-nl", json=lie)
    await eventually(world.is_idle)

    assert answer.status_code == 204
    assert len(world.received) == before
    assert (await world.order("INV-1"))["received"]["minor"] == 0


async def test_doubled_and_reordered_webhooks_end_in_the_ledgers_truth_told_once(
    world: World,
) -> None:
    await open_account(
        world.sandbox,
        webhook_url="http://settled/webhooks/ginger-nl",
        faults={"duplicate": 0.4, "reorder": 0.4, "reorder_ms": 100},
    )
    plan = {"story": "refund", "count": 20, "reference": "INV"}
    await world.sandbox.post("/sandbox/accounts/ginger-nl/requests", json=plan)
    await quiet(world.sandbox)
    await eventually(world.is_idle)

    truth = (await world.sandbox.get("/sandbox/truth")).json()
    assert len(truth) == 20
    for expected in truth:
        [known] = (await world.order(expected["reference"]))["requests"]
        assert known["status"] == expected["status"]
        assert known["received"]["minor"] == expected["received"]
        assert known["refunded"]["minor"] == expected["refunded"]
    for told in by_subject(world.received).values():
        assert [data["sequence"] for data in told] == list(range(1, len(told) + 1))


async def test_an_account_without_webhooks_is_silent_until_they_come_again(world: World) -> None:
    """First none ever comes, then they come, then they stop."""
    for reason in ("no_webhook_ever", "webhooks_stopped"):
        await kept_back(world, SILENT_CHANGES)
        await eventually(world.is_silent_after_a_look)
        assert (await world.account())["reason"] == reason

        await open_account(world.sandbox, webhook_url="http://settled/webhooks/ginger-nl")
        await play(world.sandbox, "paid")
        await eventually(world.is_heard)
        assert (await world.account())["reason"] is None

    [coverage] = (await world.api.get("/v1/coverage")).json()["data"]
    changes = coverage["changes"]
    assert coverage["untold"] == changes["sweep"] + changes["poll"] >= 2 * SILENT_CHANGES
    assert changes["webhook"] > 0
    finished = [window["to"] for window in coverage["windows"] if window["finished_at"]]
    assert coverage["complete_up_to"] in finished
    text = (await world.api.get("/metrics")).text
    assert 'settled_account_state{account="ginger-nl",state="ok"} 1.0' in text
    assert 'settled_complete_up_to_timestamp_seconds{account="ginger-nl"}' in text


async def kept_back(world: World, count: int) -> None:
    """Have orders paid, and every webhook about them lost."""
    await open_account(
        world.sandbox, webhook_url="http://settled/webhooks/ginger-nl", faults={"drop": 1}
    )
    plan = {"story": "paid", "count": count, "reference": "LOST"}
    await world.sandbox.post("/sandbox/accounts/ginger-nl/requests", json=plan)
    await quiet(world.sandbox)
