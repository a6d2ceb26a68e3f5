"""What the check of a Ginger account finds. Source: fact sheet ginger, sections 2, 3, 7 and 13."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import NotFoundThere, SettledError, Unauthorised, Unavailable, Unreadable
from service.providers import ChecksAccount, Exchange, Finding
from tests.providers.ginger_bodies import ORDER, OURS, THEIRS, ginger
from tests.providers.world import recording

OUR_ADDRESS = "https://pay.example.com/webhooks/ginger-nl/s3cr3t"
DATE = "Tue, 14 May 2024 09:30:00 GMT"
METHODS = recording("ginger", "currencies_per_method_response.json")

# What an answer is: a body, or the error that its status comes to.
Given = bytes | SettledError


def checked(
    *answers: Given, date: str | None = DATE, address: str | None = OUR_ADDRESS, **setting: Any
) -> tuple[dict[str, Finding], list[httpx.Request]]:
    """Run a check over answers in turn; return its findings by name and what was asked."""
    exchange: Exchange[tuple[Finding, ...]] = ginger(**setting).check(address)
    requests: list[httpx.Request] = []
    left = list(answers)
    step: Callable[[], httpx.Request] = lambda: next(exchange)  # noqa: E731 - rebound below
    try:
        while True:
            requests.append(step())
            step = _next_step(exchange, left.pop(0), date)
    except StopIteration as done:
        return {finding.check: finding for finding in done.value}, requests


def _next_step(exchange: Any, answer: Given, date: str | None) -> Callable[[], httpx.Request]:
    if isinstance(answer, SettledError):
        return lambda: exchange.throw(answer)
    headers = {} if date is None else {"date": date}
    return lambda: exchange.send(httpx.Response(200, content=answer, headers=headers))


def lately(*orders: dict[str, Any], **setting: Any) -> dict[str, Finding]:
    """Check an account whose last hour's list holds these orders."""
    return checked(b"[]", json.dumps(orders).encode(), METHODS, **setting)[0]


def listed(**shown: Any) -> dict[str, Any]:
    return {"id": ORDER, "project_id": OURS, **shown}


def test_a_good_account_is_fine_as_far_as_the_api_tells() -> None:
    found = lately(listed(webhook_url=OUR_ADDRESS))

    assert {name: finding.ok for name, finding in found.items()} == {
        "login": True,
        "permission": True,
        "payment_methods": True,
        "project": True,
        "mode": True,
        "webhook": True,
    }


def test_three_cheap_calls_ask_for_nothing_the_last_hour_and_the_methods() -> None:
    _, requests = checked(b"[]", b"[]", METHODS)

    assert isinstance(ginger(), ChecksAccount)
    assert [(request.url.path, *request.url.params.values()) for request in requests] == [
        ("/v1/orders/", "2000-01-01T00:00:00.000000Z", "2000-01-01T00:00:01.000000Z"),
        ("/v1/orders/", "2024-05-14T08:30:00.000000Z", "2024-05-14T09:30:00.000000Z"),
        ("/v1/merchants/self/projects/self/currencies",),
    ]


@pytest.mark.parametrize("error", [Unauthorised("http_401"), Unavailable("http_503")])
def test_what_the_login_runs_into_is_raised(error: SettledError) -> None:
    with pytest.raises(type(error)):
        checked(error)


def test_a_key_that_may_not_read_orders_is_a_matter_of_permission() -> None:
    found, requests = checked(Unauthorised("http_403"))

    assert (found["login"].ok, found["permission"].ok, found["webhook"].ok) == (True, False, None)
    assert len(requests) == 1


def test_a_project_id_that_no_order_has_is_found_out() -> None:
    assert lately(listed(project_id=THEIRS))["project"].ok is False
    assert lately(listed(project_id=THEIRS), listed(project_id=OURS.upper()))["project"].ok is True
    assert lately(listed(project_id=None))["project"].ok is None


def test_every_project_is_ours_where_none_is_configured() -> None:
    assert lately(listed(project_id=THEIRS), project_ids=())["project"].ok is True


def test_a_test_key_of_a_live_account_is_found_out() -> None:
    test = listed(flags=["is-test"])

    assert lately(listed(), test, live=True)["mode"].ok is False
    assert lately(listed(), live=True)["mode"].ok is None
    assert lately(listed(), test)["mode"].ok is True


def test_the_webhook_of_the_project_cannot_be_asked_for() -> None:
    finding = lately(listed())["webhook"]

    assert finding.ok is None
    assert "dashboard" in finding.remedy


def test_orders_that_name_another_webhook_are_found_out_and_no_address_is_repeated() -> None:
    other = "https://pay.example.com/webhooks/ginger-nl/0ld-s3cr3t"
    finding = lately(listed(webhook_url=OUR_ADDRESS + "/"), listed(webhook_url=other))["webhook"]

    assert (finding.ok, finding.detail[:1]) == (False, "1")
    assert "s3cr3t" not in finding.detail + finding.remedy


def test_without_an_address_of_ours_there_is_nothing_to_compare() -> None:
    finding = lately(listed(webhook_url=OUR_ADDRESS), address=None)["webhook"]

    assert (finding.ok, finding.remedy) == (None, "set base_url")


@pytest.mark.parametrize(
    ("answer", "ok"),
    [(METHODS, True), (b'{"payment_methods": {}}', False), (NotFoundThere("http_404"), None)],
)
def test_an_account_needs_a_payment_method(answer: Given, ok: bool | None) -> None:
    assert checked(b"[]", b"[]", answer)[0]["payment_methods"].ok is ok


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 01 Jan 1990 00:00:00 GMT"])
def test_without_the_providers_time_no_orders_are_looked_at(date: str | None) -> None:
    found, requests = checked(b"[]", METHODS, date=date)

    assert (found["login"].ok, found["project"].ok, len(requests)) == (True, None, 2)


def test_whatever_is_not_fine_says_what_to_do() -> None:
    everything = [
        *lately().values(),
        *lately(listed(project_id=THEIRS, flags=["is-test"], webhook_url="x"), live=True).values(),
        *checked(Unauthorised("http_403"))[0].values(),
        *checked(b"[]", b"[]", b'{"payment_methods": {}}')[0].values(),
    ]

    assert all(finding.remedy for finding in everything if finding.ok is not True)
    assert not any(finding.remedy for finding in everything if finding.ok is True)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["project_id", "flags", "webhook_url", "payment_methods", "id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
BODIES = st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode())
LISTS = st.lists(VALUES, max_size=3).map(lambda value: json.dumps(value).encode())


@given(LISTS | BODIES, LISTS | BODIES, BODIES, st.text(st.characters(max_codepoint=126)), st.data())
def test_any_answer_to_a_check_is_unreadable_or_findings(
    first: bytes, second: bytes, third: bytes, date: str, data: st.DataObject
) -> None:
    sent = data.draw(st.sampled_from([DATE, date.strip()]))
    try:
        found, _ = checked(first, second, third, date=sent)
    except Unreadable:
        return

    assert found["login"].ok is True
