"""Checks of accounts at a provider on a real socket, with budgets and pauses in PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiohttp import web

from service.domain.event import Call, Event
from service.domain.request import Answer, Facts, Kind
from service.errors import NotAllowedYet, Unauthorised, Unavailable, Unreadable
from service.fetch import ConnectedAccount
from service.flow.check import Checked, CheckParts, check_accounts, webhook_url_of
from service.flow.findings import Health, budget, failure
from service.providers import Exchange, Finding, Session
from service.settings import Account, Rate, Secret
from service.storage.accounts import ensure_accounts, pause_accounts
from service.storage.database import Pool
from service.storage.unit_of_work import connected, unit_of_work

TOKEN = "wh-0123456789abcdef"
BASE_URL = "https://pay.example.com"


@dataclass
class Bank:
    """A provider that answers with a status, headers and a body; calls are the paths asked for."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = '{"orders": 1}'
    calls: list[str] = field(default_factory=list)
    url: str = ""
    hears: asyncio.Event | None = None

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        self.calls.append(f"{request.path} {request.headers.get('token', '-')}")
        if self.hears is not None:
            await self.hears.wait()
        return web.Response(status=self.status, headers=self.headers, text=self.body)


@asynccontextmanager
async def open_bank(bank: Bank) -> AsyncIterator[Bank]:
    runner = web.ServerRunner(web.Server(bank.take), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        bank.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield bank
    finally:
        await runner.cleanup()


class Adapter:
    """Asks the bank one thing, and repeats the address of our webhooks in what it found."""

    kinds = frozenset({Kind.ORDER})
    body_bytes_max = 1024

    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    def knows(self, kind: Kind, provider_id: str) -> bool:
        return True

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        raise AssertionError("nothing is read here")


class Checking(Adapter):
    def check(self, webhook_url: str | None) -> Exchange[tuple[Finding, ...]]:
        response = yield httpx.Request("GET", f"{self.bank.url}/me")
        orders = json.loads(response.content)["orders"]
        return (
            Finding("login", ok=True, detail=f"sees {orders} orders"),
            Finding("webhook", None, f"register {webhook_url}", f"register {webhook_url}"),
        )


class Calling(Checking):
    """Sends webhooks, too."""

    def verify(self, call: Call) -> list[Event]:
        raise AssertionError("nothing calls here")


class Guarded(Checking):
    """Has to be logged in to."""

    session_seconds_min = 1.0

    def open_session(self, kept: Mapping[str, str]) -> Exchange[Session]:
        yield httpx.Request("POST", f"{self.bank.url}/session")
        return Session({"token": "opened"}, 600.0)

    def authorise(self, request: httpx.Request, session: Session) -> httpx.Request:
        headers = {"token": session.values["token"]}
        return httpx.Request(request.method, request.url, headers=headers)


def account(adapter: Adapter, name: str = "a", **settings: Any) -> ConnectedAccount:
    section = Account(name=name, provider="bank", **settings)
    return ConnectedAccount(name, section, adapter, Rate(5, 1.0), credential="key of the bank")


def health(state: str = "ok", reason: str | None = None, **calls: float | None) -> Health:
    planned = {"planned": 1.0, "possible": 3.5, **calls}
    return {
        "state": state,
        "reason": reason,
        "budget": {"limit": 5, "seconds": 1.0, "used": 0, **planned},
        "stretched": 2.0,
    }


async def checked(
    pool: Pool,
    *accounts: ConnectedAccount,
    known: Health | None = None,
    base_url: str | None = BASE_URL,
    ahead_seconds: float = 0.0,
) -> Checked:
    """Check the first account; ahead_seconds is how far our clock is ahead of the bank's."""
    parts = CheckParts(
        pool,
        {one.name: one for one in accounts},
        base_url,
        lambda: datetime.now(UTC) + timedelta(seconds=ahead_seconds),
    )
    seen = {one.name: known or health() for one in accounts}
    (found,) = await check_accounts(accounts[:1], seen, parts=parts)
    return found


def found_in(found: Checked, check: str) -> Finding:
    (finding,) = (one for one in found.findings if one.check == check)
    return finding


async def states(pool: Pool) -> dict[str, tuple[str, str | None]]:
    async with connected(pool) as connection:
        cursor = await connection.execute("select name, state, reason from accounts")
        return {name: (state, reason) for name, state, reason in await cursor.fetchall()}


async def pause(pool: Pool, name: str, reason: str) -> None:
    async with unit_of_work(pool) as work:
        await ensure_accounts(work.connection, [(name, "bank")], end_pauses=False)
        await pause_accounts(work.connection, [name], reason=reason, seconds=600.0)


async def test_what_the_provider_shows_comes_first_then_clock_and_budget(emptied: Pool) -> None:
    async with open_bank(Bank()) as bank:
        found = await checked(emptied, account(Checking(bank)))

    assert [one.check for one in found.findings] == ["login", "webhook", "clock", "budget"]
    assert found.findings[0] == Finding("login", ok=True, detail="sees 1 orders")
    assert (found.ok, found.reached) == (True, True)


@pytest.mark.parametrize(
    ("status", "said", "reached"),
    [
        (401, "does not accept our credentials", True),
        (403, "does not let us in", True),
        (404, "no such thing", True),
        (400, "does not speak as the provider does", True),
        (429, "call too often", False),
        (503, "out of order", False),
    ],
)
async def test_a_refused_login_is_a_finding_with_a_remedy(
    status: int, said: str, reached: bool, emptied: Pool
) -> None:
    async with open_bank(Bank(status)) as bank:
        found = await checked(emptied, account(Checking(bank)))

    login = found_in(found, "login")
    assert (found.ok, found.reached, login.ok) == (False, reached, False)
    assert said in login.detail
    assert f"http_{status}" in login.detail
    assert login.remedy
    assert found_in(found, "clock").ok, "a refusal tells the time, too"


@pytest.mark.parametrize("body", ["<html>Please log in</html>", "", "[]", '{"orders', "\xff"])
async def test_a_web_page_in_the_providers_place_is_told_apart(body: str, emptied: Pool) -> None:
    async with open_bank(Bank(body=body)) as bank:
        found = await checked(emptied, account(Checking(bank)))

    assert "another server's page" in found_in(found, "login").detail
    assert (found.ok, found.reached) == (False, True)


async def test_a_provider_that_nobody_answers_for_is_not_reached(emptied: Pool) -> None:
    async with open_bank(Bank()) as bank:
        pass

    found = await checked(emptied, account(Checking(bank)))

    assert "nobody answers" in found_in(found, "login").detail
    assert found_in(found, "clock").ok is None
    assert not found.reached


async def test_a_provider_that_keeps_silent_is_not_reached(emptied: Pool) -> None:
    silence = asyncio.Event()
    async with open_bank(Bank(hears=silence)) as bank:
        impatient = account(Checking(bank), timeout=timedelta(milliseconds=50))
        found = await checked(emptied, impatient)
        silence.set()

    assert "does not answer in time" in found_in(found, "login").detail
    assert not found.reached


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unavailable("tls_failed"), "certificate"),
        (Unavailable("name_not_resolved"), "host name"),
        (Unauthorised("a code of its own"), "credentials"),
        (Unreadable("too_long"), "another server's page"),
        (Unavailable("maintenance"), "out of order"),
    ],
)
def test_every_error_has_plain_words_and_keeps_its_code(
    error: Unavailable | Unauthorised | Unreadable, said: str
) -> None:
    finding = failure(error, health())

    assert said in finding.detail
    assert f"({error.detail})" in finding.detail
    assert (finding.ok, bool(finding.remedy)) == (False, True)


@pytest.mark.parametrize(
    ("detail", "reason", "said"),
    [
        ("session", None, "a session was asked for a moment ago"),
        ("session", "unauthorised", "the last one was refused"),
        ("budget", "rate_limited", "wants no call for 40 s more"),
        ("budget", None, "budget is used up"),
    ],
)
def test_what_was_not_tried_is_neither_right_nor_wrong(
    detail: str, reason: str | None, said: str
) -> None:
    error = NotAllowedYet(detail, retry_after_seconds=40.0)

    finding = failure(error, health("paused", reason))

    assert said in finding.detail
    assert finding.ok is None
    assert finding.remedy.startswith("check again")


@pytest.mark.parametrize(
    ("ahead_seconds", "ok", "said"),
    [
        (0.0, True, "within 30 s"),
        (-28.0, True, "within 30 s"),
        (28.0, True, "within 30 s"),
        (90.0, False, "ahead of the provider's"),
        (-90.0, False, "behind the provider's"),
    ],
)
async def test_clocks_that_differ_by_more_than_30_seconds_are_found(
    ahead_seconds: float, ok: bool, said: str, emptied: Pool
) -> None:
    async with open_bank(Bank()) as bank:
        found = await checked(emptied, account(Checking(bank)), ahead_seconds=ahead_seconds)

    clock = found_in(found, "clock")
    assert (clock.ok, found.ok) == (ok, ok)
    assert said in clock.detail


@pytest.mark.parametrize("date", ["soon", "Tue, 99 May 2024 09:12:03 GMT", "0", "x" * 100])
async def test_a_date_that_is_none_tells_no_time(date: str, emptied: Pool) -> None:
    async with open_bank(Bank(headers={"Date": date})) as bank:
        found = await checked(emptied, account(Checking(bank)))

    assert found_in(found, "clock").ok is None
    assert found.ok, "what cannot be told is not wrong"


async def test_the_path_token_reaches_the_provider_and_nobody_else(emptied: Pool) -> None:
    async with open_bank(Bank()) as bank:
        calling = account(Calling(bank), webhook_token=Secret(TOKEN))
        found = await checked(emptied, calling)

    assert webhook_url_of(calling, f"{BASE_URL}/") == f"{BASE_URL}/webhooks/a/{TOKEN}"
    told = Finding("webhook", None, *[f"register {BASE_URL}/webhooks/a/***"] * 2)
    assert found_in(found, "webhook") == told


def test_an_address_is_named_only_where_webhooks_come_in() -> None:
    assert webhook_url_of(account(Calling(Bank())), BASE_URL) == f"{BASE_URL}/webhooks/a"
    assert webhook_url_of(account(Calling(Bank())), None) is None
    assert webhook_url_of(account(Checking(Bank())), BASE_URL) is None


async def test_a_refusal_pauses_all_accounts_with_the_credential(emptied: Pool) -> None:
    async with open_bank(Bank(401)) as bank:
        both = account(Checking(bank)), account(Checking(bank), "b")
        await pause(emptied, "b", "rate_limited")
        await checked(emptied, *both)

    assert await states(emptied) == {
        "a": ("paused", "unauthorised"),
        "b": ("paused", "unauthorised"),
    }


async def test_mended_credentials_end_the_pause(emptied: Pool) -> None:
    await pause(emptied, "a", "unauthorised")
    async with open_bank(Bank()) as bank:
        known = health("paused", "unauthorised")
        found = await checked(emptied, account(Checking(bank)), known=known)

    assert found.ok
    assert await states(emptied) == {"a": ("ok", None)}


async def test_a_provider_that_wants_no_call_gets_none(emptied: Pool) -> None:
    await pause(emptied, "a", "rate_limited")
    async with open_bank(Bank()) as bank:
        known = health("paused", "rate_limited")
        found = await checked(emptied, account(Checking(bank)), known=known)

        assert bank.calls == []
    assert "wants no call" in found_in(found, "login").detail
    assert (found_in(found, "login").ok, found.reached, found.ok) == (None, False, False)


async def test_too_many_calls_pause_the_account_as_told(emptied: Pool) -> None:
    async with open_bank(Bank(429, headers={"Retry-After": "30"})) as bank:
        await checked(emptied, account(Checking(bank)))

    assert await states(emptied) == {"a": ("paused", "rate_limited")}


async def test_a_session_is_opened_on_the_same_road(emptied: Pool) -> None:
    async with open_bank(Bank()) as bank:
        guarded = account(Guarded(bank))
        found = await checked(emptied, guarded)
        await checked(emptied, guarded)

        assert bank.calls == ["/session -", "/me opened", "/me opened"]
    assert found.ok


async def test_a_provider_without_a_check_cannot_tell(emptied: Pool) -> None:
    found = await checked(emptied, account(Adapter(Bank())))

    assert found.findings[0].ok is None
    assert found.ok


@pytest.mark.parametrize(
    ("planned", "possible", "ok"), [(3.5, 3.5, True), (7.0, 3.5, False), (None, None, None)]
)
def test_more_calls_planned_than_possible_is_a_finding(
    planned: float | None, possible: float | None, ok: bool | None
) -> None:
    finding = budget(health(planned=planned, possible=possible))

    assert finding.ok is ok
    assert bool(finding.remedy) == (ok is not True)
