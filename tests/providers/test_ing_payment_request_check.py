"""What a check of an ING account shows, and that no answer breaks out of the tree of errors."""

import json
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.request import Kind, Observation, Unmapped
from service.domain.status import words_of
from service.errors import NotFoundThere, SettledError, Unauthorised, Unavailable, Unreadable
from service.providers import ChecksAccount, Finding, Session
from tests.providers.exchange import FallibleResponder, always, run
from tests.providers.ing_payment_request_bodies import (
    BEARER,
    HERE,
    REQUEST,
    SIGNED_BEARER,
    check_signature,
    digest_of,
    ing,
    request,
)
from tests.providers.world import recording

BASE = "https://api.ing.example"
NOBODYS = "/payment-requests/" + "0" * 32
TOKEN = "/oauth2/token"
REGISTRATION = "/payment-requests/registrations"
FORBIDDEN, REFUSED = Unauthorised("http_403"), Unauthorised("http_401")
STATUSES = json.loads(recording("ing_payment_request", "statuses.json"))


def answers(**changes: bytes | SettledError | None) -> FallibleResponder:
    """Answer as an account in order would, but for these: nobodys, token and registration."""
    given = {
        "nobodys": None,
        "token": recording("ing_payment_request", "token_response.json"),
        "registration": recording("ing_payment_request", "registration_get_active.json"),
        **changes,
    }
    names = {NOBODYS: "nobodys", TOKEN: "token", REGISTRATION: "registration"}
    return lambda asked: given[names[asked.url.path]]


def findings(**changes: bytes | SettledError | None) -> dict[str, Finding]:
    found, _ = run(ing().check(None), answers(**changes))
    return {finding.check: finding for finding in found}


def token(**changes: Any) -> bytes:
    return json.dumps(
        json.loads(recording("ing_payment_request", "token_response.json")) | changes
    ).encode()


def test_an_account_in_order_needs_three_calls_to_show_it() -> None:
    found, asked = run(ing().check("https://pay.example/webhooks/ing"), answers())

    assert isinstance(ing(), ChecksAccount)
    assert [one.url.path for one in asked] == [NOBODYS, TOKEN, REGISTRATION]
    assert [(finding.check, finding.ok) for finding in found] == [
        ("login", True),
        ("permission", True),
        ("webhook", True),
        ("scope", True),
        ("registration", True),
    ]


def test_an_account_that_may_not_read_says_so_and_why() -> None:
    narrow = token(scope="payment-requests:create")
    found = findings(nobodys=FORBIDDEN, token=narrow, registration=FORBIDDEN)

    assert (found["permission"].ok, found["scope"].ok) == (False, False)
    assert "subscribe the app to payment-requests:view" in found["scope"].remedy
    assert found["registration"].ok is None


@pytest.mark.parametrize("status", STATUSES["registration"])
def test_only_an_active_registration_is_in_order(status: str) -> None:
    found = findings(registration=json.dumps({"status": status}).encode())["registration"]

    assert (found.ok, found.detail) == (status == "Active", status)
    assert bool(found.remedy) == (status != "Active")


def test_a_certificate_that_is_missing_in_the_contract_is_named_with_what_to_do() -> None:
    body = recording("ing_payment_request", "registration_get_certificate_missing.json")

    assert "iDEAL dashboard" in findings(registration=body)["registration"].remedy
    assert findings(registration=None)["registration"].detail == "Unregistered"


def test_what_the_api_hides_is_left_open() -> None:
    silent = findings(token=token(scope=None), registration=FORBIDDEN)
    without_all = findings(token=Unreadable("http_400"))

    for found in (silent, without_all):
        assert (found["scope"].ok, found["registration"].ok) == (None, None)
        assert found["scope"].remedy
        assert found["registration"].remedy


@pytest.mark.parametrize("error", [REFUSED, Unavailable("http_500")])
def test_what_the_login_runs_into_is_raised(error: SettledError) -> None:
    with pytest.raises(type(error)):
        findings(nobodys=error)


def test_every_finding_that_is_not_in_order_says_what_to_do() -> None:
    for changes in ({"nobodys": FORBIDDEN}, {"registration": None}, {"token": token(scope="")}):
        assert all(one.remedy for one in findings(**changes).values() if not one.ok)


def test_the_token_that_shows_the_scopes_is_asked_for_and_used_in_the_style_of_the_account() -> (
    None
):
    adapter = ing(signs=True)
    _, (_, asked, looked) = run(adapter.check(None), answers())
    shown = adapter.authorise(looked, SIGNED_BEARER)

    assert b"scope" not in asked.content
    assert adapter.authorise(asked, SIGNED_BEARER) is asked
    assert shown.headers["authorization"] == "Bearer eyJhbGciOiJkaXIiLCJlbmMiOi.example"
    check_signature(
        shown.headers["signature"],
        f"(request-target): get {REGISTRATION}\n"
        f"date: {shown.headers['date']}\ndigest: {digest_of(b'')}",
    )


def test_a_request_for_a_token_never_carries_the_one_before() -> None:
    _, (_, asked, _) = run(ing().check(None), answers())

    assert "authorization" not in ing().authorise(asked, BEARER).headers


def test_nothing_is_created_so_no_purchase_id_amount_or_limit_of_ours_can_be_refused() -> None:
    _, checking = run(ing().check(None), answers())
    _, logging_in = run(ing().open_session({}), answers())
    reading = [next(ing().read(Kind.PAYMENT_REQUEST, REQUEST, None))]
    sent = {(one.method, one.url.path) for one in [*checking, *logging_in, *reading]}

    assert {path for method, path in sent if method != "GET"} == {TOKEN}


def test_the_words_of_the_sheet_are_the_words_of_the_table() -> None:
    assert set(STATUSES["payment_request"]) == set(
        words_of("ing_payment_request", "payment_request")
    )


@pytest.mark.parametrize("refusal", [Unreadable("http_400"), NotFoundThere("http_404"), REFUSED])
def test_a_login_that_is_refused_pauses_the_account_and_parks_no_request(
    refusal: SettledError,
) -> None:
    with pytest.raises(Unauthorised):
        run(ing().open_session({}), lambda asked: refusal)


def test_a_token_that_cannot_be_read_is_no_refusal() -> None:
    with pytest.raises(Unreadable):
        run(ing().open_session({}), always(b"<html>"))


# Any answer at all

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
FIELDS = ("access_token", "expires_in", "scope", "status", "id", "payments", "validUntil")
BODIES = (
    st.binary(max_size=40)
    | ODD.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(FIELDS), ODD).map(lambda value: token(**value))
    | st.dictionaries(st.sampled_from(FIELDS), ODD).map(
        lambda value: json.dumps(request() | value).encode()
    )
)
ERRORS = st.sampled_from([None, FORBIDDEN, REFUSED, Unreadable("http_400"), Unavailable("x")])


@given(st.lists(BODIES | ERRORS, min_size=3, max_size=3), st.booleans())
def test_any_answers_to_a_check_end_in_findings_or_an_error_of_ours(
    given_answers: list[bytes | SettledError | None], signs: bool
) -> None:
    rest = iter(given_answers)
    try:
        found, _ = run(ing(signs=signs).check(None), lambda asked: next(rest))
    except (Unreadable, Unauthorised, Unavailable):
        return

    assert all(type(one) is Finding and (one.ok is True or one.remedy) for one in found)
    assert all(one.detail.isprintable() for one in found)


@given(BODIES | ERRORS)
def test_any_answer_to_a_login_is_a_usable_token_or_an_error_of_ours(
    given_answer: bytes | SettledError | None,
) -> None:
    try:
        session, _ = run(ing().open_session({}), lambda asked: given_answer)
    except (Unreadable, Unauthorised, Unavailable):
        return

    assert isinstance(session, Session)
    assert session.expires_in_seconds > 0
    assert httpx.Headers({"Authorization": session.values["token"]})


@given(BODIES, BODIES)
def test_any_answers_to_a_read_and_its_payments_end_in_a_verdict_or_are_unreadable(
    about: bytes, payments: bytes
) -> None:
    bodies = {HERE: about, f"{HERE}/payments": payments}
    with suppress(Unreadable):
        answer, _ = run(
            ing().read(Kind.PAYMENT_REQUEST, REQUEST, None),
            lambda asked: bodies[asked.url.path],
        )
        assert isinstance(answer, Observation | Unmapped)
