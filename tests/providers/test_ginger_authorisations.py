"""Authorised is not paid. Source: fact sheet ginger, sections 1.5, 8.4 and 9."""

from datetime import datetime
from typing import Any

import pytest

from service.domain.status import Status
from service.errors import Unreadable
from tests.providers.exchange import at_paths
from tests.providers.ginger_bodies import (
    HERE,
    WITH_DETAILS,
    authorisation,
    details,
    order,
    seen,
    status_of,
    transaction,
)


def test_a_completed_authorisation_is_accepted_and_no_money() -> None:
    body = order(transactions=[authorisation()], amount_details=details(capturable=5000))

    assert seen(body).facts.status is Status.ACCEPTED
    assert seen(body).facts.received == 0


@pytest.mark.parametrize(
    "sign",
    [
        {"transactions": [authorisation()]},
        {"transactions": [transaction(is_capturable=True)]},
        {"transactions": [transaction(capture_mode="manual")]},
        {"transactions": [transaction(status="accepted")]},
        {"flags": ["has-captures"]},
        {"flags": ["has-voids"]},
        {"capture_mode": "delayed"},
        {"transactions": []},
    ],
)
def test_amount_details_are_asked_for_where_only_they_tell_what_was_captured(
    sign: dict[str, Any],
) -> None:
    first, second = order(**sign), order(**sign, amount_details=details(captured=3000))
    answer = at_paths({HERE: first, WITH_DETAILS: second})

    assert seen(answer).facts.received == 3000


@pytest.mark.parametrize("word", ["new", "processing", "error", "cancelled", "expired"])
def test_amount_details_are_not_asked_for_while_there_can_be_no_money(word: str) -> None:
    body = order(status=word, capture_mode="manual", transactions=[])

    assert seen(at_paths({HERE: body})).facts.received == 0


def test_the_answer_with_details_counts_as_a_whole() -> None:
    first = order(capture_mode="manual", transactions=[authorisation()])
    second = {**first, "amount_details": details(captured=5000), "merchant_order_id": "SI-2"}
    observation = seen(at_paths({HERE: first, WITH_DETAILS: second}))

    assert (observation.facts.status, observation.reference) == (Status.PAID, "SI-2")


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        (details(capturable=5000), (Status.ACCEPTED, 0, False)),
        (details(captured=2000, capturable=3000), (Status.PART_PAID, 2000, False)),
        (details(captured=2000, voided=3000), (Status.PART_PAID, 2000, True)),
        (details(captured=5000), (Status.PAID, 5000, True)),
        (details(captured=5000, capturable=100), (Status.PAID, 5000, True)),
        (details(voided=5000), (Status.CANCELLED, 0, True)),
        (details(), (Status.CANCELLED, 0, True)),
    ],
)
def test_what_was_captured_decides(
    amounts: dict[str, int], expected: tuple[Status, int, bool]
) -> None:
    assert status_of(transactions=[authorisation()], amount_details=amounts) == expected


def test_a_lapsed_authorisation_is_flagged_and_a_voided_one_is_not() -> None:
    lapsed = order(transactions=[authorisation()], amount_details=details())
    voided = order(transactions=[authorisation()], amount_details=details(voided=5000))

    assert seen(lapsed).attention == {"authorisation_lapsed"}
    assert seen(voided).attention == frozenset()


def test_an_authorisation_ends_when_the_order_last_changed_not_when_it_was_made() -> None:
    body = order(transactions=[authorisation()], amount_details=details(voided=5000))

    assert seen(body).occurred_at == datetime.fromisoformat(body["modified"])


def test_details_that_are_all_zero_do_not_unpay_a_method_without_authorisation() -> None:
    assert status_of(amount_details=details()) == (Status.PAID, 5000, True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"transactions": [authorisation()]}, (Status.ACCEPTED, 0, False)),
        (
            {"transactions": [authorisation(is_capturable=False, is_fully_captured=True)]},
            (Status.PAID, 5000, True),
        ),
        (
            {
                "transactions": [
                    authorisation(is_capturable=True),
                    transaction(amount=2000, transaction_type="capture"),
                ],
                "flags": ["has-captures"],
            },
            (Status.PART_PAID, 2000, False),
        ),
        (
            {
                "transactions": [
                    authorisation(is_capturable=False),
                    transaction(transaction_type="void"),
                ]
            },
            (Status.CANCELLED, 0, True),
        ),
    ],
)
def test_a_brand_without_amount_details_is_judged_by_its_transactions(
    changes: dict[str, Any], expected: tuple[Status, int, bool]
) -> None:
    assert status_of(**changes) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"transactions": [authorisation(is_capturable=True)], "flags": ["has-captures"]},
        {"transactions": [transaction(status="captured")]},
        {"flags": ["has-voids"]},
    ],
)
def test_captures_and_voids_of_unknown_size_are_no_verdict(changes: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        seen(order(**changes))
