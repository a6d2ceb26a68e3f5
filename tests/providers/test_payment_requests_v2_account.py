"""The account: its token, its keys, and what a check of it shows."""

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from service.domain.request import Kind, Observation
from service.errors import (
    Misconfigured,
    NotFoundThere,
    SettledError,
    Unauthorised,
    Unavailable,
    Unreadable,
)
from service.fetch import ConnectedAccount, Fetched, Line, Purpose, fetch
from service.providers import (
    ChecksAccount,
    Exchange,
    Finding,
    HasList,
    NeedsSession,
    SendsWebhooks,
    Session,
)
from service.providers.payment_requests_v2 import PaymentRequestsV2, PaymentRequestsV2Keys
from service.sessions import Sessions
from service.settings import Account, Rate, Secret, parse
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.wire import Wire
from tests.emptied import emptied as emptied
from tests.emptied import shared_url as shared_url
from tests.providers.exchange import always, run
from tests.providers.payment_requests_v2_bodies import BASE, CREATED_AT, LONG_AGO, orders
from tests.providers.world import recording

# Mistake 5: the token of 24 hours


def opened(adapter: PaymentRequestsV2) -> Session:
    session, requests = run(adapter.open_session({}), always(b""))
    assert requests == []
    return session


def test_a_new_token_is_taken_from_its_file_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "partner.token"
    file.write_text("yesterday\n")
    adapter = orders(Secret.read(file))
    file.write_text("today\n")

    assert opened(adapter) == Session({"token": "today", "api_base": BASE}, 86_400.0)


def test_a_token_that_came_from_no_file_stays_what_it_is() -> None:
    assert opened(orders()).values == {"token": "t0ken", "api_base": BASE}


@pytest.mark.parametrize("text", [None, "", "two\nlines", "tök", "with blank"])
def test_a_token_file_that_is_being_written_is_tried_again_later(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "partner.token"
    file.write_text("yesterday")
    adapter = orders(Secret.read(file))
    file.unlink() if text is None else file.write_text(text)

    with pytest.raises(Unavailable):
        opened(adapter)


def test_every_call_carries_the_token() -> None:
    asked = httpx.Request("GET", "https://api.partner.example/x?a=b", headers={"Accept": "a/b"})
    sent = orders().authorise(asked, Session({"token": "t0ken", "api_base": BASE}, 1.0))

    assert (sent.url, sent.headers["accept"]) == (asked.url, "a/b")
    assert sent.headers["authorization"] == "Bearer t0ken"
    assert "authorization" not in asked.headers


@pytest.mark.parametrize("values", [{"token": "other"}, {"token": "t", "api_base": BASE + "2"}, {}])
def test_a_token_that_was_for_another_address_is_not_shown(values: dict[str, str]) -> None:
    asked = httpx.Request("GET", f"{BASE}/payment-requests")

    assert "authorization" not in orders().authorise(asked, Session(values, 1.0)).headers


async def test_a_token_that_ended_over_night_is_replaced_from_its_file_and_the_read_goes_on(
    emptied: Pool, tmp_path: Path
) -> None:
    file = tmp_path / "partner.token"
    file.write_text("yesterday")
    partner = Partner("yesterday")
    async with connected(emptied, partner, Secret.read(file)) as (account, line):
        assert await is_read(account, line)
        partner.token = "today"
        file.write_text("today")
        await let_the_pause_pass(emptied)

        assert await is_read(account, line)
        assert partner.tokens == ["yesterday", "yesterday", "today"]


async def test_a_token_that_is_still_refused_stops_the_account_and_is_tried_no_more(
    emptied: Pool, tmp_path: Path
) -> None:
    file = tmp_path / "partner.token"
    file.write_text("yesterday")
    partner = Partner("today")
    async with connected(emptied, partner, Secret.read(file)) as (account, line):
        await account_is_logged_in(account, line)
        await let_the_pause_pass(emptied)

        with pytest.raises(Unauthorised):
            await is_read(account, line)
        assert partner.tokens == ["yesterday", "yesterday"]


class Partner:
    """The provider as far as one read needs it: knows one token, notes those that it is shown."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.tokens: list[str] = []

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        shown = request.headers["Authorization"].removeprefix("Bearer ")
        self.tokens.append(shown)
        if shown != self.token:
            return web.Response(status=401)
        return web.Response(body=recording("payment_requests_v2", "get_initiated_bare.json"))


@asynccontextmanager
async def connected(
    pool: Pool, partner: Partner, token: Secret
) -> AsyncIterator[tuple[ConnectedAccount, Line]]:
    """Lend an account at the partner and the line to it, with sessions in PostgreSQL."""

    async def draw(account: ConnectedAccount, purpose: Purpose) -> None:
        """There is always enough."""

    async def opening(account: ConnectedAccount, exchange: Exchange[Session]) -> Fetched[Session]:
        return await fetch(account, exchange, line=Line(wire, draw), purpose="told")

    wire = Wire(check_addresses=False)
    runner = web.ServerRunner(web.Server(partner.take), shutdown_timeout=0.1)
    await runner.setup()
    async with pool.connection() as connection:
        await ensure_accounts(connection, [("partner", "payment_requests_v2")], end_pauses=False)
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        adapter = orders(token, api_base=f"http://127.0.0.1:{runner.addresses[0][1]}")
        section = Account(name="partner", provider="payment_requests_v2")
        account = ConnectedAccount("partner", section, adapter, Rate(1, 1.0))
        yield account, Line(wire, draw, Sessions(pool, opening))
    finally:
        await wire.aclose()
        await runner.cleanup()


async def is_read(account: ConnectedAccount, line: Line) -> bool:
    exchange = account.provider.read(Kind.PAYMENT_REQUEST, "41", None)
    return isinstance(
        (await fetch(account, exchange, line=line, purpose="poll")).answer, Observation
    )


async def account_is_logged_in(account: ConnectedAccount, line: Line) -> None:
    assert line.sessions is not None
    await line.sessions.current(account)


async def let_the_pause_pass(pool: Pool) -> None:
    """Make the last opening a minute older."""
    async with pool.connection() as connection:
        await connection.execute(
            "update sessions set opened_at = opened_at - interval '1 minute',"
            " leased_until = leased_until - interval '1 minute'"
        )


# Mistake 6: a POST that is repeated


def test_nothing_but_reads_is_ever_sent() -> None:
    exchanges = (
        orders().read(Kind.PAYMENT_REQUEST, "41", None),
        orders().list_page(LONG_AGO, CREATED_AT, None),
    )

    assert {next(exchange).method for exchange in exchanges} == {"GET"}
    assert isinstance(orders(), NeedsSession)
    assert isinstance(orders(), HasList)
    assert not isinstance(orders(), SendsWebhooks)


# Keys


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('api_token = "a b"\nclient_account_id = 1', r"api_token: expected a token of visible"),
        ('api_token = "a"\nclient_account_id = 0', r"client_account_id: expected a number from 1"),
        ('api_token = "a"', r"client_account_id: expected a whole number"),
        ("client_account_id = 1", r"api_token: expected one of api_token, api_token_env"),
    ],
)
def test_keys_that_cannot_be_used_stop_the_start(text: str, message: str) -> None:
    table = tomllib.loads(
        '[[account]]\nname = "a"\nprovider = "payment_requests_v2"\n'
        f'api_base = "https://api.partner.example"\n{text}'
    )
    account = parse(table, source="s.toml", environ={}, base=Path("/etc/s")).accounts[0]

    with pytest.raises(Misconfigured, match=message):
        account.keys_as(PaymentRequestsV2Keys)


# The check


ONE = recording("payment_requests_v2", "page_1_of_3.json")
FORBIDDEN = Unauthorised("http_403")


def findings(
    listing: bytes | SettledError | None, accounts: bytes | SettledError | None = None
) -> dict[str, Finding]:
    def answer(asked: httpx.Request) -> bytes | SettledError | None:
        return accounts if asked.url.path.endswith("/client-accounts") else listing

    found, _ = run(orders().check(None), answer)
    assert all(one.remedy for one in found if not one.ok)
    return {one.check: one for one in found}


def test_an_account_in_order_needs_one_call_to_show_it() -> None:
    found, asked = run(orders().check("https://pay.example/webhooks/partner"), always(ONE))

    assert isinstance(orders(), ChecksAccount)
    assert [str(one.url) for one in asked] == [
        f"{BASE}/payment-requests?client_account_id=123&page=1&per_page=1"
    ]
    assert [(one.check, one.ok) for one in found if one.check != "token"] == [
        ("login", True),
        ("permission", True),
        ("webhook", True),
        ("client_account", True),
    ]


@pytest.mark.parametrize(
    ("accounts", "is_visible"),
    [
        (b'{"data": [{"id": 7}, {"id": 123}]}', True),
        (b'{"data": [{"id": "123"}]}', True),
        (b'{"data": [{"id": 7}]}', False),
        (b"[]", None),
        (b"<html>", None),
        (None, None),
        (FORBIDDEN, None),
    ],
)
def test_a_client_account_that_may_not_be_read_is_told_from_one_that_is_not_visible(
    accounts: bytes | SettledError | None, is_visible: bool | None
) -> None:
    found = findings(FORBIDDEN, accounts)

    assert (found["permission"].ok, found["client_account"].ok) == (False, is_visible)


def test_a_list_without_its_page_numbers_fails_the_check_loudly() -> None:
    with pytest.raises(Unreadable):
        findings(b'{"data": [], "pagination": {"hasMore": false}}')


@pytest.mark.parametrize(
    "error", [Unauthorised("http_401"), NotFoundThere("http_404"), Unavailable("http_500")]
)
def test_what_the_login_runs_into_is_raised(error: SettledError) -> None:
    with pytest.raises(type(error)):
        findings(error)


def test_a_token_that_only_a_restart_can_replace_is_pointed_out(tmp_path: Path) -> None:
    file = tmp_path / "partner.token"
    file.write_text("t0ken")
    found, _ = run(orders(Secret.read(file)).check(None), always(ONE))

    assert found[-1] == Finding("token", True, "read again from its file when it is refused")
    assert findings(ONE)["token"].ok is None
    assert "api_token_file" in findings(ONE)["token"].remedy
