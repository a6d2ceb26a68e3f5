"""The account: its token, its keys, and what a check of it shows."""

import tomllib
from pathlib import Path

import httpx
import pytest

from service.domain.request import Kind
from service.errors import (
    Misconfigured,
    NotFoundThere,
    SettledError,
    Unauthorised,
    Unavailable,
    Unreadable,
)
from service.providers import (
    ChecksAccount,
    Finding,
    HasList,
    NeedsSession,
    SendsWebhooks,
    Session,
)
from service.providers.payment_requests_v2 import PaymentRequestsV2, PaymentRequestsV2Keys
from service.settings import Secret, parse
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
