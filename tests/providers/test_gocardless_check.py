"""Checking a GoCardless account, and its limits. Source: fact sheet gocardless, 2.3, 5 and 9."""

import json
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import (
    NotFoundThere,
    SettledError,
    Unauthorised,
    Unavailable,
    Unreadable,
)
from service.providers import Finding
from tests.providers.gocardless_bodies import NOW, gocardless

OURS = "https://pay.example.com/webhooks/gc-live"
FORBIDDEN = Unauthorised("http_403")


def listed(name: str, *items: object) -> dict[str, Any]:
    return {name: items, "meta": {"cursors": {"before": None, "after": None}, "limit": 1}}


REQUESTS, PAYMENTS = listed("billing_requests"), listed("payments")


def delivery(url: object = OURS, **changes: object) -> dict[str, object]:
    return {"id": "WB1", "url": url, "successful": True, "request_body": "{}", **changes}


def deliveries(*items: object) -> dict[str, Any]:
    return listed("webhooks", *items)


def check(
    *answers: object, url: str | None = OURS
) -> tuple[dict[str, Finding], list[httpx.Request]]:
    """Check an account whose calls are answered in turn; an error is what a status came to."""
    exchange = gocardless().check(url)
    requests = [next(exchange)]
    try:
        for answer in answers:
            if isinstance(answer, SettledError):
                requests += [exchange.throw(answer)]
            else:
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                requests += [exchange.send(httpx.Response(200, content=body))]
    except StopIteration as done:
        return {finding.check: finding for finding in done.value}, requests
    raise AssertionError("a call more than there are answers")


def webhook(*answers: object, url: str | None = OURS) -> Finding:
    return check(REQUESTS, PAYMENTS, *answers, url=url)[0]["webhook"]


def test_an_account_that_is_well_costs_three_cheap_calls() -> None:
    found, requests = check(REQUESTS, PAYMENTS, deliveries(delivery()))

    assert [str(request.url) for request in requests] == [
        "https://api.psp.example/billing_requests?limit=1",
        "https://api.psp.example/payments?limit=1",
        "https://api.psp.example/webhooks?limit=10",
    ]
    assert {request.headers["gocardless-version"] for request in requests} == {"2015-07-06"}
    assert {name: finding.ok for name, finding in found.items()} == {
        "login": True,
        "permission": True,
        "webhook": True,
    }


@pytest.mark.parametrize("error", [Unauthorised("http_401"), Unavailable("http_500")])
def test_what_the_login_runs_into_is_raised(error: SettledError) -> None:
    with pytest.raises(type(error)):
        check(error)
    with pytest.raises(type(error)):
        check(REQUESTS, error)


@pytest.mark.parametrize(
    ("answers", "forbidden"),
    [
        ((FORBIDDEN, PAYMENTS), "billing_requests"),
        ((REQUESTS, FORBIDDEN), "payments"),
        ((FORBIDDEN, FORBIDDEN), "billing_requests and payments"),
    ],
)
def test_a_token_that_may_not_read_everything_is_named(
    answers: tuple[object, ...], forbidden: str
) -> None:
    found, _ = check(*answers, deliveries(delivery()))

    assert found["login"].ok
    assert found["permission"].ok is False
    assert found["permission"].detail.endswith(f"may not read {forbidden}")
    assert "access token" in found["permission"].remedy


def test_our_address_counts_wherever_it_stands_among_the_newest_deliveries() -> None:
    assert webhook(deliveries(delivery("https://other.example"), delivery())).ok


@pytest.mark.parametrize(
    ("items", "ok"),
    [
        ([delivery("https://other.example")], False),
        ([delivery(OURS + "/")], False),
        ([delivery(successful=False), delivery()], False),
        ([delivery(), delivery(successful=False)], True),
        ([delivery(successful=None)], True),
        ([], None),
        ([delivery(None), {}, None, 7], None),
    ],
)
def test_deliveries_tell_whether_webhooks_reach_us(items: list[object], ok: bool | None) -> None:
    finding = webhook(deliveries(*items))

    assert finding.ok is ok
    assert bool(finding.remedy) is (ok is not True)


@pytest.mark.parametrize("error", [FORBIDDEN, NotFoundThere("http_404"), Unreadable("http_400")])
def test_where_deliveries_cannot_be_read_the_dashboard_tells(error: SettledError) -> None:
    finding = webhook(error)

    assert finding.ok is None
    assert "dashboard" in finding.remedy


def test_without_our_address_no_delivery_is_looked_at() -> None:
    found, requests = check(REQUESTS, PAYMENTS, url=None)

    assert (found["webhook"].ok, len(requests)) == (None, 2)
    assert "base_url" in found["webhook"].remedy


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"billing_requests": []}'])
def test_a_first_answer_that_is_none_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        check(body)


@given(st.lists(st.binary(max_size=40) | st.just(json.dumps(PAYMENTS).encode()), min_size=3))
def test_any_answers_are_unreadable_or_findings(answers: list[bytes]) -> None:
    with suppress(Unreadable):
        found, _ = check(json.dumps(REQUESTS).encode(), *answers)
        assert set(found) == {"login", "permission", "webhook"}


# Limits (section 9)


def wait(remaining: str | None, reset: str | None, *, status: int = 200) -> float | None:
    headers = {"ratelimit-remaining": remaining, "ratelimit-reset": reset}
    present = {name: value for name, value in headers.items() if value is not None}
    return gocardless().wait_seconds(httpx.Response(status, headers=present), now=NOW)


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("Mon, 03 Mar 2025 09:05:30 GMT", 30.0),
        ("Mon, 03 Mar 2025 09:05:00 GMT", 0.0),
        ("Thu, 03 May 2018 16:00:00 GMT", 0.0),
        ("Mon, 03 Mar 2025 10:05:00 GMT", 120.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 120.0),
    ],
)
def test_the_limit_is_reset_at_an_http_date(reset: str, seconds: float) -> None:
    assert wait("0", reset) == wait("0", reset, status=429) == seconds


def test_calls_that_were_too_many_wait_for_the_reset_whatever_is_said_to_be_left() -> None:
    assert wait(None, "Mon, 03 Mar 2025 09:05:30 GMT", status=429) == 30.0
    assert wait("7", "Mon, 03 Mar 2025 09:05:30 GMT", status=429) == 30.0
    assert wait(None, None, status=429) is None


@pytest.mark.parametrize("remaining", [None, "", "1", "999", "-1", "zero"])
def test_while_calls_are_left_there_is_nothing_to_wait_for(remaining: str | None) -> None:
    assert wait(remaining, "Mon, 03 Mar 2025 09:05:30 GMT") is None


@pytest.mark.parametrize(
    "reset",
    [
        None,
        "",
        "30",
        "nan",
        "2025-03-03T09:05:30Z",
        "Mon, 03 Xyz 2025 09:05:30 GMT",
        "Mon, 33 Mar 2025 09:05:30 GMT",
        "Mon, 03 Mar 2025 09:05:30 GMT, Mon, 03 Mar 2025 09:05:30 GMT",
        "Mon, 03 Mar 2025 09:05:30 +9999",
        "9" * 10_000,
    ],
)
def test_a_reset_that_is_no_http_date_tells_nothing(reset: str | None) -> None:
    assert wait("0", reset) is None


@given(
    st.dictionaries(
        st.sampled_from(["ratelimit-remaining", "ratelimit-reset", "ratelimit-limit"]),
        st.binary(max_size=40) | st.sampled_from([b"0", b"Mon, 03 Mar 0000 09:05:30 GMT"]),
    )
)
def test_whatever_stands_in_the_headers_the_wait_is_bounded(headers: dict[str, bytes]) -> None:
    raw = [(name.encode(), value) for name, value in headers.items()]
    seconds = gocardless().wait_seconds(httpx.Response(200, headers=raw), now=NOW)

    assert seconds is None or 0 <= seconds <= 120
