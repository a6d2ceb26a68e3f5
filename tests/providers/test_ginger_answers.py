"""How Ginger is asked, and its amounts, ids and times. Source: fact sheet ginger."""

import base64
import json

import pytest

from service.domain.request import Kind, Observation
from service.domain.status import Status
from service.errors import Unreadable
from service.providers.ginger.moments import microseconds_of
from tests.providers.exchange import always, run
from tests.providers.ginger_bodies import (
    HERE,
    ORDER,
    REFUND,
    ginger,
    order,
    read,
    seen,
    transaction,
)

# The request (section 2)


def test_the_key_is_the_user_name_and_the_password_is_empty() -> None:
    _, (request,) = run(
        ginger().read(Kind.ORDER, ORDER, None), always(json.dumps(order()).encode())
    )

    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"k3y:").decode()
    assert str(request.url) == f"https://api.psp.example{HERE}"
    assert (request.method, request.headers["accept"]) == ("GET", "application/json")


# Amounts and answers (sections 14 to 16)


@pytest.mark.parametrize("currency", ["JPY", "KWD", "EEK"])
def test_amounts_are_minor_units_whatever_the_exponent(currency: str) -> None:
    body = order(currency=currency, amount=1234, transactions=[transaction(currency=currency)])
    body["transactions"][0]["amount"] = 1234
    facts = seen(body).facts

    assert (facts.currency, facts.amount, facts.received) == (currency, 1234, 1234)


@pytest.mark.parametrize("amount", [True, -1, 12.5, 5000.0, "5000", None, [5000]])
def test_an_amount_that_is_no_whole_number_is_unreadable(amount: object) -> None:
    for body in (
        {**order(), "amount": amount},
        order(transactions=[{**transaction(), "amount": amount}]),
    ):
        with pytest.raises(Unreadable):
            seen(body)


@pytest.mark.parametrize("currency", ["eur", "XXX", "", None, 978])
def test_an_unknown_currency_is_unreadable(currency: object) -> None:
    with pytest.raises(Unreadable):
        seen({**order(), "currency": currency})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b"[]",
        b"null",
        b"{}",
        b'{"error": {"status": 404}}',
        json.dumps(order()).replace('"amount": 5000', '"amount": 1, "amount": 5000').encode(),
        json.dumps(order()).encode("utf-16"),
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_no_order_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        seen(always(body))


def test_an_answer_for_another_order_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="another order"):
        seen(order(id=REFUND))


def test_fields_that_we_do_not_know_and_nulls_for_optional_ones_are_fine() -> None:
    nulls = dict.fromkeys(("flags", "refund_orders", "amount_details", "capture_mode"))

    assert seen({**order(), **nulls, "brand_new": {"a": [1]}}).facts.status is Status.PAID


# Times, version, reference (section 16)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:00.000001+00:00", 1),
        ("1970-01-01T02:00:00.5+02:00", 500_000),
        ("1970-01-01T00:00:01", 1_000_000),
        ("2024-05-14T09:14:41.350926+00:00", 1_715_678_081_350_926),
    ],
)
def test_date_times_are_read_to_the_microsecond(text: str, microseconds: int) -> None:
    assert microseconds_of(text) == microseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-05-14",
        "20240514T091441Z",
        "2024-05-14 09:14:41Z",
        "2024-13-14T09:14:41Z",
        "2024-05-14T09:14:41Z\n",
        "2024-05-14T::::::::Z",
        "9999-12-31T23:59:59-23:59",
        "yesterday",
    ],
)
def test_anything_else_is_no_date_time(text: str) -> None:
    with pytest.raises(Unreadable):
        microseconds_of(text)


def test_the_version_is_the_time_of_the_last_change() -> None:
    assert seen(order()).version == 1_715_678_081_350_926
    with pytest.raises(Unreadable):
        seen(order(modified=None))


def test_the_reference_stands_where_the_account_says() -> None:
    body = json.dumps(order(extra={"erp": {"document": "SI-9"}})).encode()

    def reference(path: str | None) -> str | None:
        answer = read(ginger(reference=path), always(body))
        assert isinstance(answer, Observation)
        return answer.reference

    assert reference(None) == "SI-1"
    assert reference("extra.erp.document") == "SI-9"
    assert reference("extra.erp") is None
    assert reference("extra.erp.document.deeper") is None


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "x" * 201, 7, ["SI-1"], None])
def test_a_reference_unfit_to_be_one_is_none(text: object) -> None:
    assert seen({**order(), "merchant_order_id": text}).reference is None
