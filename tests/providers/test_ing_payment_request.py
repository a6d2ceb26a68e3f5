"""The traps of ING's payment requests, one test each. Source: fact sheet ing_payment_request."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from service.domain.lifecycle import Contradiction, Transition, advance
from service.domain.money import Money
from service.domain.request import Key, Kind, Observation, PaymentRequest, Unmapped
from service.domain.status import Status
from service.errors import Malformed, Unreadable
from service.providers import ChecksOrders, LagsBehind
from tests.providers.exchange import always, at_paths, run
from tests.providers.ing_payment_request_bodies import (
    HERE,
    NOW,
    REQUEST,
    at,
    euros,
    ing,
    payment,
    request,
    seen,
)
from tests.providers.world import recording

# What the words and the payments come to (section 6.3)


@pytest.mark.parametrize(
    ("word", "paid", "expected"),
    [
        ("open", [], (Status.OPEN, 0, False)),
        ("open", [24.95], (Status.PART_PAID, 2495, False)),
        ("open", [24.95, 100], (Status.PAID, 12495, True)),
        ("open", [124.95, 124.95], (Status.PAID, 24990, True)),
        ("fulfilled", [], (Status.PROCESSING, 0, False)),
        ("fulfilled", [24.95], (Status.PART_PAID, 2495, True)),
        ("fulfilled", [124.95], (Status.PAID, 12495, True)),
        ("expired", [], (Status.EXPIRED, 0, True)),
        ("expired", [24.95], (Status.PART_PAID, 2495, True)),
        ("expired", [124.95], (Status.PAID, 12495, True)),
        ("closed", [], (Status.CANCELLED, 0, True)),
        ("closed", [24.95], (Status.PART_PAID, 2495, True)),
        ("closed", [124.95], (Status.PAID, 12495, True)),
    ],
)
def test_the_sum_of_payments_decides_and_the_word_only_whether_more_may_come(
    word: str, paid: list[float], expected: tuple[Status, int, bool]
) -> None:
    assert at(*paid, status=word) == expected


def test_fulfilled_is_not_paid_where_the_payer_chose_a_smaller_amount() -> None:
    free = {"suggestedValue": 50.00, "minimumValue": 10.00, "currency": "EUR"}
    body = {"status": "fulfilled", "fixedAmount": None, "maximumReceivableAmount": None}

    assert at(10.00, variableAmount=free, **body) == (Status.PART_PAID, 1000, True)


def test_fulfilled_without_visible_payments_is_flagged_and_read_again() -> None:
    observation = seen(request(status="fulfilled"))

    assert observation.attention == {"payments_not_visible"}
    assert (observation.facts.status, observation.facts.final) == (Status.PROCESSING, False)


def test_an_invoice_paid_twice_is_more_than_asked() -> None:
    observation = seen(request(), payment(124.95, 1), payment(124.95, 2))

    assert observation.attention == {"more_than_asked"}
    assert (observation.facts.amount, observation.facts.received) == (12495, 24990)


def test_an_invoice_without_maxima_is_to_be_closed_before_it_is_paid_twice() -> None:
    unlimited = {"maximumAllowedPayments": None, "maximumReceivableAmount": None}

    assert seen(request(**unlimited), payment(24.95)).attention == frozenset()
    assert seen(request(**unlimited), payment(124.95)).attention == {"can_be_paid_again"}
    assert seen(request(**unlimited, status="closed"), payment(124.95)).attention == frozenset()
    assert seen(request(), payment(124.95)).attention == frozenset()


def test_a_payment_listed_twice_counts_once() -> None:
    assert seen(request(), payment(24.95), payment(24.95)).facts.received == 2495


def test_a_payment_with_two_amounts_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        seen(request(), payment(24.95), payment(24.96))


@pytest.mark.parametrize("number", [" 1", "1 ", "1\n", "", "\u00a01", "1\u200b"])
def test_a_payment_whose_number_may_be_anothers_in_disguise_is_unreadable(number: str) -> None:
    with pytest.raises(Unreadable):
        seen(request(), payment(24.95, transactionId=number))


@pytest.mark.parametrize("body", [request(), request(status="fulfilled")])
def test_a_payment_of_nothing_is_unreadable(body: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        seen(body, payment(0))


def test_the_deprecated_list_in_the_request_is_not_looked_at() -> None:
    body = recording("ing_payment_request", "get_fulfilled_with_deprecated_transactions.json")

    assert seen(body).facts.received == 0
    assert seen(body, payment(124.95)).facts.received == 12495


def test_payments_are_read_after_the_request_so_that_none_falls_between() -> None:
    answers = at_paths({HERE: request(), f"{HERE}/payments": {"payments": []}})
    _, requests = run(ing().read(Kind.PAYMENT_REQUEST, REQUEST, None), answers)

    assert [one.url.raw_path.decode() for one in requests] == [HERE, f"{HERE}/payments"]


def test_payments_that_are_not_found_say_nothing_about_the_request() -> None:
    with pytest.raises(Unreadable):
        run(ing().read(Kind.PAYMENT_REQUEST, REQUEST, None), at_paths({HERE: request()}))


@pytest.mark.parametrize("payments", [{}, {"payments": None}, [], {"payments": [{}]}])
def test_payments_of_another_shape_are_unreadable(payments: object) -> None:
    answers = at_paths({HERE: request(), f"{HERE}/payments": payments})

    with pytest.raises(Unreadable):
        run(ing().read(Kind.PAYMENT_REQUEST, REQUEST, None), answers)


def test_with_the_setting_what_is_paid_is_on_the_account_at_once() -> None:
    paid = seen(request(), payment(124.95), paid_is_settled=True).facts
    part = seen(request(), payment(24.95), paid_is_settled=True).facts

    assert (paid.status, paid.final, paid.booked) == (Status.SETTLED, True, 12495)
    assert (part.status, part.final, part.booked) == (Status.PART_PAID, False, 2495)
    assert seen(request(), payment(124.95)).facts.booked == 0


def test_several_payers_add_up_whatever_the_order_of_their_payments() -> None:
    payments = [payment(50, 1), payment(10, 2), payment(50, 3)]

    assert seen(request(), *payments).facts == seen(request(), *reversed(payments)).facts
    assert seen(request(), *payments).facts.received == 11_000


def test_payments_that_appear_after_the_end_are_late_money() -> None:
    for word, after in (("expired", Status.EXPIRED), ("closed", Status.CANCELLED)):
        before = recorded(seen(request(status=word)))
        late = advance(before, seen(request(status=word), payment(124.95)), lease_no=2)

        assert before.facts is not None
        assert before.facts.status is after
        assert isinstance(late, Transition)
        assert (late.type, late.correction) == ("payment_request.paid", True)
        assert late.after.attention == {"late_money"}


def test_a_list_of_payments_that_lags_behind_takes_no_money_back() -> None:
    before = recorded(seen(request(status="fulfilled"), payment(124.95)))

    assert advance(before, seen(request(status="fulfilled")), lease_no=2) == Contradiction(
        "regression_refused"
    )


def test_a_request_that_opens_again_after_its_end_is_to_be_looked_at() -> None:
    ended = seen(request(status="fulfilled")).facts

    assert seen(request(), known=ended).attention == {"reopened"}
    assert seen(request(status="fulfilled"), known=ended).attention == {"payments_not_visible"}
    assert seen(request(), known=seen(request()).facts).attention == frozenset()


def recorded(observation: Observation) -> PaymentRequest:
    """Return a request as it is recorded after its first read."""
    key = Key("ing", Kind.PAYMENT_REQUEST, REQUEST)
    verdict = advance(PaymentRequest("R1", key, NOW), observation, lease_no=1)
    assert isinstance(verdict, Transition)
    return verdict.after


# What was asked (STATUSES.md, section 2, point 4)


VARIABLE = {"suggestedValue": 50.0, "currency": "EUR"}


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, 12495),
        ({"maximumReceivableAmount": euros(200)}, 20000),
        ({"maximumReceivableAmount": None, "maximumAllowedPayments": 3}, 37485),
        ({"maximumReceivableAmount": None, "maximumAllowedPayments": None}, 12495),
        ({"fixedAmount": None, "variableAmount": VARIABLE}, 12495),
        ({"fixedAmount": None, "variableAmount": VARIABLE, "maximumReceivableAmount": None}, 5000),
    ],
)
def test_what_was_asked_is_the_maximum_else_the_fixed_or_the_suggested_amount(
    changes: dict[str, Any], asked: int
) -> None:
    assert seen(request(**changes)).facts.amount == asked


@pytest.mark.parametrize(
    ("maximum", "registered", "asked"),
    [
        (None, Money(6000, "EUR"), 6000),
        (None, Money(6000, "USD"), 5000),
        (euros(70), Money(6000, "EUR"), 7000),
    ],
)
def test_what_the_erp_registered_takes_the_place_of_what_is_suggested(
    maximum: dict[str, Any] | None, registered: Money, asked: int
) -> None:
    body = request(fixedAmount=None, variableAmount=VARIABLE, maximumReceivableAmount=maximum)
    reading = ing().read_registered(Kind.PAYMENT_REQUEST, REQUEST, None, registered)

    answer, _ = run(reading, at_paths({HERE: body, f"{HERE}/payments": {"payments": []}}))

    assert isinstance(answer, Observation)
    assert answer.facts.amount == asked


def test_what_the_erp_registered_changes_no_fixed_amount() -> None:
    reading = ing().read_registered(Kind.PAYMENT_REQUEST, REQUEST, None, Money(1, "EUR"))

    answer, _ = run(reading, at_paths({HERE: request(), f"{HERE}/payments": {"payments": []}}))

    assert isinstance(answer, Observation)
    assert answer.facts.amount == 12495


def test_an_amount_left_to_the_payers_is_paid_once_a_maximum_is_reached() -> None:
    free = {
        "fixedAmount": None,
        "maximumReceivableAmount": None,
        "variableAmount": {"suggestedValue": 0, "currency": "EUR"},
    }

    assert seen(request(**free)).facts.amount is None
    assert at(7.5, **free) == (Status.PART_PAID, 750, False)
    assert at(7.5, status="fulfilled", **free) == (Status.PAID, 750, True)


@pytest.mark.parametrize("amount", [None, euros(0)])
def test_a_request_without_any_amount_is_unreadable(amount: dict[str, Any] | None) -> None:
    with pytest.raises(Unreadable):
        seen(request(fixedAmount=amount, maximumReceivableAmount=None))


# Amounts (section 1, fact 6)


@pytest.mark.parametrize(
    ("number", "cents"),
    [
        ("0.29", 29),
        ("0.1", 10),
        ("100.0", 10000),
        ("100", 10000),
        ("40.000", 4000),
        ("1.1e2", 11000),
        ("9999999999.99", 999_999_999_999),
    ],
)
def test_amounts_are_decimal_text_and_never_binary_floats(number: str, cents: int) -> None:
    body = json.dumps(request()).replace('"value": 124.95', f'"value": {number}')

    assert seen(body.encode()).facts.amount == cents


@pytest.mark.parametrize(
    "value", ["0.30000000000000004", "0.001", "-0.01", "true", "null", '"9.99"', "NaN", "1e40"]
)
def test_an_amount_that_is_not_whole_cents_is_unreadable(value: str) -> None:
    body = json.dumps(request()).replace('"value": 124.95', f'"value": {value}')

    with pytest.raises(Unreadable):
        seen(body.encode())


def test_any_currency_but_euros_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        seen(request(), payment(1, amount={"value": 1, "currency": "USD"}))


# Words


def test_a_word_of_the_accounts_own_goes_over_the_table() -> None:
    assert seen(request(status="paused"), words={"paused": Status.HELD}).facts.status is Status.HELD


def test_a_word_that_promises_money_does_not_replace_it() -> None:
    observation = seen(request(status="done"), words={"done": Status.PAID})

    assert observation.facts.status is Status.PROCESSING
    assert observation.attention == {"payments_not_visible"}


def test_an_unknown_word_stops_the_read_before_it_costs_another_call() -> None:
    body = json.dumps(request(status="Open")).encode()
    answer, requests = run(ing().read(Kind.PAYMENT_REQUEST, REQUEST, None), always(body))

    assert (answer, len(requests)) == (Unmapped("Open"), 1)


@pytest.mark.parametrize("word", [None, "", 7, ["open"]])
def test_a_missing_or_malformed_status_is_no_verdict(word: object) -> None:
    with pytest.raises(Unreadable):
        seen({**request(), "status": word})


# Times and reference


def test_a_request_is_looked_at_when_it_ends_and_an_hour_and_a_day_later() -> None:
    assert seen(request()).ends_at == datetime(2024, 6, 18, 21, 59, 59, tzinfo=UTC)
    assert isinstance(ing(), LagsBehind)
    assert ing().looks_after_end == (3600.0, 86400.0)


@pytest.mark.parametrize(
    "text", ["2024-06-18T23:59:59", "2024-6-18T23:59:59+02:00", "2024-06-31T00:00:00Z", "", 7]
)
def test_an_end_without_zone_or_with_a_month_of_one_digit_is_unreadable(text: object) -> None:
    with pytest.raises(Unreadable):
        seen(request(validUntil=text))


def test_the_newest_payment_tells_when_it_happened_else_the_end() -> None:
    later = payment(1, 2, executed="2024-05-17T20:10:05.919+02:00")
    end = datetime(2024, 6, 18, 21, 59, 59, tzinfo=UTC)

    newest = seen(request(), later, payment(1)).occurred_at
    assert newest == datetime(2024, 5, 17, 18, 10, 5, 919000, tzinfo=UTC)
    assert seen(request(status="expired")).occurred_at == end
    assert seen(request()).occurred_at is None


def test_the_reference_is_the_purchase_id_or_the_field_that_the_account_names() -> None:
    assert seen(request()).reference == "SI000317"
    assert seen(request(), reference_from="description").reference == "Invoice SI 000317"
    assert seen(request(), reference_from="fixedAmount").reference is None


# Limits (section 1, fact 7)


@pytest.mark.parametrize(
    ("changes", "attention"),
    [
        ({"validUntil": "2024-06-18T23:59:59.000+02:00"}, set()),
        ({"validUntil": "2024-06-20T00:00:00.000+02:00"}, {"life_above_limit"}),
        ({"validUntil": "2024-06-20T00:00:00.000+02:00", "status": "closed"}, set()),
        ({"maximumReceivableAmount": euros(5000)}, set()),
        ({"maximumReceivableAmount": euros(5000.01)}, {"amount_above_limit"}),
        ({"maximumReceivableAmount": euros(5000.01), "status": "expired"}, set()),
    ],
)
def test_a_request_over_35_days_or_5000_euros_is_flagged_as_long_as_it_can_be_paid(
    changes: dict[str, Any], attention: set[str]
) -> None:
    assert seen(request(**changes)).attention == attention


def test_an_order_above_5000_euros_has_to_be_split_over_several_requests() -> None:
    adapter = ing()
    assert isinstance(adapter, ChecksOrders)

    adapter.check_order(Money(500_000, "EUR"), requests=1)
    adapter.check_order(Money(1_000_000, "EUR"), requests=2)
    adapter.check_order(Money(1_000_000, "EUR"), requests=0)
    with pytest.raises(Malformed, match=r"at most 5000\.00 EUR"):
        adapter.check_order(Money(500_001, "EUR"), requests=1)
    with pytest.raises(Malformed, match="EUR only"):
        adapter.check_order(Money(100, "USD"), requests=1)
