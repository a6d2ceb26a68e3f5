"""Orders of the sandbox against the fact sheet's samples: the same fields, the same types."""

import json
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from service.sandbox.ginger.happenings import What
from service.sandbox.ginger.orders import order_word
from service.sandbox.ginger.shelf import Listed
from service.sandbox.ginger.stories import ORDER_STORIES
from tests.sandbox.worlds import NOON, account, played, sample, shown


def shape(value: Any) -> Any:
    """Return a value with each leaf replaced by the name of its type; times are told apart."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(inner), sort_keys=True) for inner in value})
    if isinstance(value, str) and value.endswith("+00:00"):
        return f"time, {len(value)} characters"
    return type(value).__name__


@pytest.mark.parametrize(
    ("story", "name"),
    [
        ("open", "order_new"),
        ("processing", "order_processing"),
        ("error", "order_error"),
        ("expired", "order_expired"),
        ("cancelled", "order_cancelled"),
        ("paid", "order_completed"),
        ("error_then_paid", "order_completed_after_retry"),
        ("part_refund", "order_partially_refunded"),
    ],
)
def test_an_order_has_the_shape_of_its_sample(story: str, name: str) -> None:
    assert shape(shown(story)) == shape(sample(name))


@pytest.mark.parametrize(
    ("story", "name"),
    [
        ("authorised_only", "order_authorized_not_captured"),
        ("captured", "order_captured_full.assumed"),
        ("part_captured", "order_captured_partially.assumed"),
        ("voided", "order_voided.assumed"),
    ],
)
def test_a_captured_order_has_the_shape_of_its_sample(story: str, name: str) -> None:
    order, expected = shown(story, details=True), sample(name)

    # extra is free form and repeated as it was sent.
    assert shape(order | {"extra": {}}) == shape(expected | {"extra": {}})


def test_amount_details_say_what_the_samples_say() -> None:
    voided, captured = (shown(story, details=True) for story in ("voided", "captured"))

    assert voided["amount_details"] == {
        "capturable": 0,
        "captured": 0,
        "refundable": 0,
        "refunded": 0,
        "voidable": 0,
        "voided": 7000,
    }
    assert captured["amount_details"]["refundable"] == 7000


def test_a_bank_transfer_has_the_transaction_of_its_sample() -> None:
    (transaction,) = shown("bank_transfer_awaited")["transactions"]
    (expected,) = sample("order_processing_bank_transfer")["transactions"]

    # That sample's order was created without a description.
    assert shape(transaction) == shape(expected | {"description": "Invoice"})


def test_a_split_order_refers_to_its_transactions() -> None:
    order, expected = shown("split_awaited"), sample("order_see_transactions")

    assert order.keys() == expected.keys()
    assert order["status"] == "see-transactions"
    assert [each["amount"] for each in order["transactions"]] == [5000, 2000]
    assert [each["status"] for each in order["transactions"]] == ["completed", "pending"]


def test_a_refund_is_an_order_of_its_own_that_points_back() -> None:
    seller = account()
    original = played("part_refund", at=seller)
    refund = seller.family(original)[1]

    shown_refund = json.loads(seller.rendered(refund, NOON, details=False))

    assert shape(shown_refund) == shape(sample("refund_response_order_shape"))
    assert shown_refund["refund_of_order_id"] == original.id
    assert shape([seller.summary(refund, NOON)]) == shape(sample("refunds_list"))


@pytest.mark.parametrize(
    ("story", "field", "points_back"),
    [
        ("chargeback", "chargeback_orders", "chargeback_of_order_id"),
        ("reversal", "reversal_orders", "reversal_of_order_id"),
    ],
)
def test_what_is_taken_back_is_linked_both_ways(story: str, field: str, points_back: str) -> None:
    seller = account()
    original = played(story, at=seller)
    counter = seller.family(original)[1]

    shown_counter = json.loads(seller.rendered(counter, NOON, details=False))

    assert shown(story)["status"] == "completed"
    assert len(shown(story)[field]) == 1
    assert (shown_counter["status"], shown_counter[points_back]) == ("completed", original.id)


@pytest.mark.parametrize(
    ("story", "words"),
    [
        ("paid", ["new", "processing", "completed"]),
        ("error_then_paid", ["new", "processing", "error", "processing", "completed"]),
        ("late_money", ["new", "expired", "completed"]),
        ("captured", ["new", "processing", "completed"]),
        ("chargeback", ["new", "processing", "completed"]),
        ("split", ["new", "processing", "see-transactions", "completed"]),
    ],
)
def test_status_words_follow_from_the_ledger(story: str, words: list[str]) -> None:
    order = played(story)
    told = [order_word(order, order.entries[:length]) for length in range(len(order.entries) + 1)]

    changes = [told[0], *(after for before, after in pairwise(told) if after != before)]
    assert changes == words


def test_the_method_that_was_never_used_stays_new() -> None:
    statuses = [each["status"] for each in shown("two_transactions")["transactions"]]

    assert statuses == ["new", "completed"]


@pytest.mark.parametrize("story", ORDER_STORIES)
def test_modified_grows_with_every_entry_even_at_one_moment(story: str) -> None:
    seller = account()
    order = seller.create(7000, "EUR", {}, at=datetime.fromisoformat("2026-11-20T12:00:00Z"))
    for beat in ORDER_STORIES[story].beats(has_money=False):
        beat.act(order, order.created_at)

    times = [order.created_at, *(entry.at for entry in order.entries)]
    assert all(before < after for before, after in pairwise(times))


def test_an_older_picture_is_the_ledger_up_to_then() -> None:
    seller = account()
    order = played("paid", at=seller)
    received_at = next(entry.at for entry in order.entries if entry.what is What.RECEIVED)
    before = [entry for entry in order.entries if entry.at < received_at]

    assert order.entries_until(before[-1].at) == before
    assert seller.picture(Listed(order), before, details=False)["status"] == "processing"
