"""The traps of Ginger's orders, one test each. Source: fact sheet ginger."""

import json
from typing import Any

import pytest

from service.domain.request import NotOurs, Observation, Unmapped
from service.domain.status import Status
from service.errors import Unreadable
from tests.providers.exchange import always
from tests.providers.ginger_bodies import (
    THEIRS,
    authorisation,
    details,
    ginger,
    order,
    read,
    seen,
    status_of,
    transaction,
)

# Words and transactions (section 8)


def test_a_new_order_is_open_only_once_it_has_a_transaction() -> None:
    assert status_of(status="new", transactions=None) == (Status.CREATED, 0, False)
    assert status_of(status="new", transactions=[]) == (Status.CREATED, 0, False)
    preselected = [transaction(status="new")]
    assert status_of(status="new", transactions=preselected) == (Status.OPEN, 0, False)


@pytest.mark.parametrize("word", ["new", "processing"])
def test_a_pending_redirect_is_authorising_and_a_pending_transfer_is_open(word: str) -> None:
    redirect, transfer = (
        transaction(status="pending"),
        transaction(status="pending", payment_method="bank-transfer"),
    )

    assert status_of(status=word, transactions=[redirect])[0] is Status.AUTHORISING
    assert status_of(status=word, transactions=[transfer])[0] is Status.OPEN
    assert status_of(status=word, transactions=[transfer, redirect])[0] is Status.AUTHORISING


def test_a_processing_order_without_pending_attempts_is_processing() -> None:
    assert status_of(status="processing", transactions=[])[0] is Status.PROCESSING


@pytest.mark.parametrize("word", ["error", "declined"])
def test_a_failed_attempt_is_not_the_end_because_the_payer_may_try_again(word: str) -> None:
    failed = [transaction(status=word)]

    assert status_of(status=word, transactions=failed) == (Status.FAILED, 0, False)


def test_a_declined_order_asks_for_a_look() -> None:
    observation = seen(order(status="declined", transactions=[transaction(status="declined")]))

    assert observation.attention == {"declined"}


def test_a_retry_that_won_is_paid_wherever_it_stands() -> None:
    attempts = [
        transaction(status="error"),
        transaction(status="new", payment_method="credit-card"),
        transaction(payment_method="credit-card"),
        transaction(status="cancelled"),
    ]

    assert status_of(transactions=attempts) == (Status.PAID, 5000, True)
    assert status_of(transactions=attempts[::-1]) == (Status.PAID, 5000, True)


def test_less_than_asked_is_part_paid_for_good_once_the_order_is_completed() -> None:
    assert status_of(transactions=[transaction(amount=4999)]) == (Status.PART_PAID, 4999, True)


def test_more_than_asked_is_reported_as_it_is_and_flagged() -> None:
    observation = seen(order(transactions=[transaction(), transaction()]))

    assert (observation.facts.status, observation.facts.received) == (Status.PAID, 10000)
    assert observation.attention == {"more_than_asked"}


def test_only_money_towards_the_payee_counts() -> None:
    debit, untold = transaction(credit_debit="debit"), transaction(credit_debit=None)

    assert status_of(transactions=[debit, transaction(), untold]) == (Status.PAID, 5000, True)


def test_a_completed_transaction_in_another_currency_is_no_amount() -> None:
    with pytest.raises(Unreadable, match="another currency"):
        seen(order(transactions=[transaction(), transaction(currency="USD")]))


def test_a_completed_order_without_a_completed_transaction_is_no_verdict() -> None:
    for transactions in (None, [], [transaction(status="pending")]):
        with pytest.raises(Unreadable, match="without a completed transaction"):
            seen(order(transactions=transactions, amount_details=details()))


def test_money_in_an_expired_order_is_not_booked_but_flagged() -> None:
    observation = seen(order(status="expired"))

    assert (observation.facts.status, observation.facts.received) == (Status.EXPIRED, 0)
    assert observation.attention == {"money_in_unpaid_order"}


@pytest.mark.parametrize(
    ("transactions", "expected"),
    [
        ([], (Status.OPEN, 0, False)),
        ([transaction(status="new")], (Status.OPEN, 0, False)),
        ([transaction(status="pending")], (Status.AUTHORISING, 0, False)),
        ([transaction(status="processing")], (Status.PROCESSING, 0, False)),
        ([transaction(status="error")], (Status.FAILED, 0, False)),
        ([transaction(status="expired"), transaction(status="new")], (Status.OPEN, 0, False)),
        ([transaction(amount=2000)], (Status.PART_PAID, 2000, False)),
        ([transaction(), transaction(status="error")], (Status.PAID, 5000, True)),
    ],
)
def test_see_transactions_is_what_its_transactions_say(
    transactions: list[dict[str, Any]], expected: tuple[Status, int, bool]
) -> None:
    assert status_of(status="see-transactions", transactions=transactions) == expected


def test_see_transactions_with_an_unknown_word_among_them_is_unmapped() -> None:
    body = order(status="see-transactions", transactions=[transaction(status="frozen")])

    assert read(ginger(), always(json.dumps(body).encode())) == Unmapped("frozen")


@pytest.mark.parametrize("word", ["accepted", "captured", "authorized", "Completed", "refunded"])
def test_words_seen_in_plugin_code_only_are_unmapped_even_with_money_beside_them(
    word: str,
) -> None:
    body = json.dumps(order(status=word)).encode()

    assert read(ginger(), always(body)) == Unmapped(word)


def test_the_accounts_own_words_decide_the_status_of_a_word() -> None:
    adapter = ginger(words={"captured": Status.PAID, "accepted": Status.ACCEPTED})

    captured = read(adapter, always(json.dumps(order(status="captured")).encode()))
    accepted = read(adapter, always(json.dumps(order(status="accepted")).encode()))

    assert isinstance(captured, Observation)
    assert isinstance(accepted, Observation)
    assert (captured.facts.status, captured.facts.received) == (Status.PAID, 5000)
    assert (accepted.facts.status, accepted.facts.received) == (Status.ACCEPTED, 0)


def test_the_built_in_table_merged_into_the_accounts_words_overrides_nothing() -> None:
    body = json.dumps(order(transactions=[authorisation()], amount_details=details(capturable=1)))
    answer = read(ginger(words={"completed": Status.PAID}), always(body.encode()))

    assert isinstance(answer, Observation)
    assert answer.facts.status is Status.ACCEPTED


@pytest.mark.parametrize("status", [None, 7, "", [], {}, True])
def test_a_missing_or_malformed_status_is_no_verdict(status: object) -> None:
    body = {**order(), "status": status}
    if status is None:
        del body["status"]

    with pytest.raises(Unreadable):
        seen(body)


# Whose it is


def test_an_order_of_a_foreign_project_is_not_ours() -> None:
    body = json.dumps(order(project_id=THEIRS)).encode()

    assert read(ginger(), always(body)) == NotOurs("foreign_project")


def test_an_order_without_project_is_not_shown_to_be_ours() -> None:
    with pytest.raises(Unreadable):
        seen(order(project_id=None))


@pytest.mark.parametrize(
    "sign", [{"flags": ["is-test"]}, {"transactions": [transaction(balance="test")]}]
)
def test_a_test_order_brings_nothing_to_a_live_book(sign: dict[str, Any]) -> None:
    body = json.dumps(order(**sign)).encode()

    assert read(ginger(live=True), always(body)) == NotOurs("test_order")
    assert isinstance(read(ginger(), always(body)), Observation)
