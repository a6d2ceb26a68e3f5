"""The proof that what no webhook told is found, all of it and nothing else.

The sandbox is the provider, and its own account of what it kept back is the truth. Its webhooks
come in through the receiver and are read back from it; only the sockets are left out.
"""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.domain.event import Call
from service.flow.receive import receive
from service.flow.sweep import sweep
from service.runtime import connect_accounts, plan_of, utc_now
from service.sandbox.accounts import Account
from service.sandbox.app import create_app
from service.sandbox.bunq.stories import accept
from service.sandbox.ginger.happenings import What
from service.sandbox.ginger.stories import attempt_news
from service.sandbox.gocardless.stories import CONFIRMED
from service.sandbox.story import Beat
from service.sandbox.world import World as Sandbox
from service.settings import Settings, parse
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.storage.event_writer import EventWriter
from service.storage.unit_of_work import unit_of_work
from service.storage.views.accounts import list_coverage
from service.wire import USER_AGENT
from tests.flow.parts import parts_of, sessions_on
from tests.flow.world import ACCOUNT, Provider, World
from tests.sandbox.bunq_worlds import ACCOUNT_ID, BUNQ_KEY, USER_ID
from tests.sandbox.gocardless_worlds import SECRET, TOKEN
from tests.sandbox.worlds import AT_ONCE, KEY, PROJECT_ID, pages, quiet

# At Ginger the list is one by creation: what was made before the window is found by polls alone.
LONG_AGO = timedelta(hours=3)
LOOKBACK = timedelta(hours=1)
NO_WAIT = timedelta(milliseconds=1)

BUNQ = {"api_key": BUNQ_KEY, "user_id": USER_ID, "monetary_account_id": ACCOUNT_ID}

# As many reads side by side as a worker makes.
SLOTS = 128


@dataclass(frozen=True, slots=True)
class Way:
    """A provider, and payments of one change and one webhook each.

    begun is the story that the payers begin with, paid what then happens. lists_old: the list
    shows changes of what was made long ago.
    Ginger's bodies carry no status: one that claims more than a read shows asks for more reads.
    """

    sandbox: dict[str, object]
    account: dict[str, object]
    begun: str
    paid: Beat
    changes: int
    lists_old: bool


WAYS = {
    "ginger": Way(
        {"api_key": KEY, "project_id": PROJECT_ID, "webhook_order_status": False},
        {"api_key": KEY, "project_ids": [PROJECT_ID]},
        begun="authorising",
        paid=attempt_news(What.RECEIVED),
        changes=1_000,
        lists_old=False,
    ),
    "gocardless": Way(
        {"access_token": TOKEN, "webhook_secret": SECRET, "call_limit_factor": 1e6},
        {"access_token": TOKEN, "webhook_secrets": [SECRET]},
        begun="processing",
        paid=CONFIRMED,
        changes=100,
        lists_old=True,
    ),
    "bunq": Way(
        BUNQ | {"call_limit_factor": 1e6},
        BUNQ | {"api_base": "http://sandbox/v1"},
        begun="open",
        paid=accept(),
        changes=200,
        lists_old=True,
    ),
}


class Twin(Provider):
    """The sandbox as the provider, asked without a socket."""

    def __init__(self, carrier: httpx.AsyncBaseTransport) -> None:
        super().__init__()
        self._carrier = carrier

    async def send(
        self,
        request: httpx.Request,
        *,
        total_seconds: float,
        body_bytes_max: int,
        truncate: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> httpx.Response:
        request.headers.setdefault("user-agent", USER_AGENT)
        response = await self._carrier.handle_async_request(request)
        await response.aread()
        response.request = request
        return response


@dataclass(slots=True)
class Clock:
    """The sandbox's: behind tells by how much it is slow."""

    behind: timedelta = timedelta(0)

    def now(self) -> datetime:
        return utc_now() - self.behind


@dataclass(frozen=True, slots=True)
class Proof:
    """Our side, the sandbox and its clock."""

    way: Way
    ours: World
    sandbox: Sandbox
    control: httpx.AsyncClient
    clock: Clock

    @property
    def account(self) -> Account[Any]:
        return self.sandbox.accounts[ACCOUNT]

    async def ask(self, count: int, reference: str) -> None:
        """Have payers begin to pay; all of it is told, and read."""
        plan = {"story": self.way.begun, "count": count, "reference": reference}
        await self.control.post(f"/sandbox/accounts/{ACCOUNT}/requests", json=plan)
        await quiet(self.control)
        await self.settle()

    async def settle(self) -> None:
        """Read until every webhook is answered, as often as each may want, without the waits."""
        open_still = "done < wanted or observed_by <> 'poll'"
        await self.ours.sync(slots=SLOTS)
        while await self.ours.value(f"select exists (select from due where {open_still})"):
            await self.ours.run(
                f"update due set due_at = now(), not_before = '-infinity' where {open_still}"
            )
            await self.ours.sync(slots=SLOTS)

    async def pay_all(self) -> None:
        """Everything is paid: one change each, told by one webhook each. Nothing is read."""
        for request in self.account.requests.values():
            self.way.paid.act(request, self.sandbox.now())
            self.sandbox.sender.tell(self.account, request)
        await quiet(self.control)

    async def sweep(self) -> None:
        await sweep(self.ours.parts, every=NO_WAIT, lookback=LOOKBACK)
        await self.ours.sync(slots=SLOTS)

    async def poll(self) -> None:
        await self.ours.let_time_pass()
        await self.ours.sync(slots=SLOTS)

    async def found_by(self, *labels: str) -> set[str]:
        """Return the requests whose payment was found like that."""
        rows = await self.ours.rows(
            "select provider_id from transitions join requests on requests.id = subject_id"
            " where subject = 'request' and before is not null"
            " and observed_by = any(%s)",
            list(labels),
        )
        return {row["provider_id"] for row in rows}


def settings_of(provider: str) -> Settings:
    ordinary = {"name": ACCOUNT, "provider": provider, "api_base": "http://sandbox"}
    account = ordinary | WAYS[provider].account
    return parse({"account": [account]}, source="test", environ={}, base=Path())


@pytest.fixture(params=list(WAYS))
async def proof(
    request: pytest.FixtureRequest, emptied: Pool, shared_url: str
) -> AsyncIterator[Proof]:
    way = WAYS[request.param]
    settings, clock = settings_of(request.param), Clock()
    accounts = connect_accounts(settings)
    writer = EventWriter(shared_url)

    async def door(sent: httpx.Request) -> httpx.Response:
        call = Call(dict(sent.headers), sent.content, datetime.now(UTC))
        await receive(
            call,
            accounts[ACCOUNT],
            store=writer.store,
            wake=lambda: None,
        )
        return httpx.Response(204)

    app = create_app(transport=httpx.MockTransport(door), now=clock.now)
    provider = Twin(httpx.ASGITransport(app))
    parts = parts_of(emptied, accounts, provider, plan_of(settings))
    parts = replace(parts, sessions=sessions_on(emptied, provider))
    async with unit_of_work(emptied) as work:
        await ensure_accounts(work.connection, [(ACCOUNT, request.param)], end_pauses=False)
    await writer.start()
    async with pages(app) as control:
        opened = {"provider": request.param, "name": ACCOUNT, "pace": AT_ONCE} | way.sandbox
        opened |= {"webhook_url": "https://settled.example/hooks"}
        answer = await control.post("/sandbox/accounts", json=opened)
        assert answer.status_code == 201, answer.text
        yield Proof(way, World(emptied, provider, parts), app.state.world, control, clock)
    await writer.stop()
    await provider.aclose()
    await app.state.world.close()


async def test_what_is_found_without_a_webhook_is_exactly_what_was_dropped(proof: Proof) -> None:
    """The sweep lists the payments before one of them was read: those told of stay told."""
    proof.clock.behind = LONG_AGO
    await proof.ask(proof.way.changes // 2, "OLD")
    unlisted = set() if proof.way.lists_old else set(proof.account.requests)
    proof.clock.behind = timedelta(0)
    await proof.ask(proof.way.changes // 2, "NEW")
    await proof.sweep()
    await proof.control.post(f"/sandbox/accounts/{ACCOUNT}/faults", json={"drop": 0.1})

    await proof.pay_all()
    dropped = {about for call in proof.account.dropped for about in call.about}
    await proof.sweep()
    told, swept = await proof.found_by("webhook"), await proof.found_by("sweep")
    await proof.poll()

    assert proof.way.changes * 0.07 < len(dropped) < proof.way.changes * 0.13
    assert told == set(proof.account.requests) - dropped
    assert swept == dropped - unlisted
    assert await proof.found_by("poll") == dropped & unlisted
    assert await proof.found_by("poll", "sweep") == dropped
    assert await untold(proof) == dropped
    (shown,) = await list_coverage(proof.ours.pool, [ACCOUNT])
    assert shown["untold"] == len(dropped)
    assert shown["changes"]["poll"] + shown["changes"]["sweep"] == len(dropped)
    assert await proof.ours.value("select state from accounts") == "ok"


async def untold(proof: Proof) -> set[str]:
    rows = await proof.ours.rows(
        "select provider_id from untold_changes join requests on requests.id = request_id"
    )
    assert len(rows) == len({row["provider_id"] for row in rows})
    return {row["provider_id"] for row in rows}
