"""What the fake bunq says, against the samples of its fact sheet."""

import base64
import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from service.sandbox.bunq.callbacks import encoded
from service.sandbox.bunq.stories import STORIES
from service.sandbox.bunq.words import amount, inquiry_json, payment_json, stamp, status_word
from tests.sandbox.bunq_worlds import account, notices, played, shape
from tests.sandbox.worlds import sample


def shown(story: str) -> Any:
    holder = account()
    request = played(story, at=holder)
    return inquiry_json(request, request.entries, holder.payee)


@pytest.mark.parametrize(
    ("story", "name"),
    [
        ("open", "inquiry_pending"),
        ("bunqme_open", "inquiry_pending_bunqme"),
        ("paid", "inquiry_accepted"),
        ("part_paid", "inquiry_accepted_lower_amount"),
        ("expired", "inquiry_expired"),
        ("cancelled", "inquiry_revoked"),
        ("rejected", "inquiry_rejected"),
    ],
)
def test_a_request_inquiry_has_the_shape_of_its_sample(story: str, name: str) -> None:
    (expected,) = sample(f"bunq/{name}")["Response"]
    told = shown(story)

    assert shape(told) == shape(expected["RequestInquiry"])
    assert list(told) == list(expected["RequestInquiry"])
    assert told["status"] == expected["RequestInquiry"]["status"]


@pytest.mark.parametrize(
    ("number", "name"), [(0, "payment_incoming_for_request"), (1, "payment_outgoing_refund")]
)
def test_a_payment_has_the_shape_of_its_sample(number: int, name: str) -> None:
    holder = account()
    played("refund", at=holder)
    (expected,) = sample(f"bunq/{name}")["Response"]
    told = payment_json(holder.payments[number], holder.payee)

    assert shape(told) == shape(expected["Payment"])
    for same in ("amount", "sub_type"):
        assert told[same] == expected["Payment"][same]


@pytest.mark.parametrize(
    ("story", "categories", "name"),
    [
        ("open", ["REQUEST"], "request_inquiry_created"),
        ("paid", ["REQUEST"], "request_inquiry_accepted"),
        ("expired", ["REQUEST"], "request_inquiry_expired"),
        ("cancelled", ["REQUEST"], "request_inquiry_revoked"),
        ("rejected", ["REQUEST"], "request_inquiry_rejected"),
        ("paid", ["MUTATION"], "mutation_received"),
        ("refund", ["MUTATION"], "mutation_created"),
    ],
)
def test_a_callback_has_the_shape_of_its_sample(
    story: str, categories: list[str], name: str
) -> None:
    expected = sample(f"bunq/callback_{name}")["NotificationUrl"]
    told = notices(story, *categories)[-1]

    assert shape(told) == shape(expected)
    assert (told["category"], told["event_type"]) == (expected["category"], expected["event_type"])


def test_a_request_response_has_the_shape_of_its_sample() -> None:
    expected = sample("bunq/callback_request_response_created")["NotificationUrl"]
    told = notices("request_response")[1]

    assert shape(told) == shape(expected)
    assert told["event_type"] == expected["event_type"]


def test_bodies_are_written_byte_for_byte_as_observed() -> None:
    observed = base64.b64decode(sample("bunq/callback_bytes")["body_base64"])

    assert encoded(json.loads(observed)) == observed


@pytest.mark.parametrize(
    ("minor", "text"), [(1, "0.01"), (12500, "125.00"), (-5, "-0.05"), (-12500, "-125.00")]
)
def test_amounts_are_text_with_two_decimals(minor: int, text: str) -> None:
    assert amount(minor, "EUR") == {"currency": "EUR", "value": text}


def test_times_have_microseconds_and_no_zone() -> None:
    assert stamp(datetime(2025, 3, 3, 9, tzinfo=UTC)) == "2025-03-03 09:00:00.000000"


@pytest.mark.parametrize(
    ("story", "words"),
    [
        ("open", ["PENDING"]),
        ("paid", ["PENDING", "ACCEPTED"]),
        ("part_paid", ["PENDING", "ACCEPTED"]),
        ("expired", ["PENDING", "EXPIRED"]),
        ("cancelled", ["PENDING", "REVOKED"]),
        ("rejected", ["PENDING", "REJECTED"]),
        ("two_refunds", ["PENDING", "ACCEPTED", "ACCEPTED", "ACCEPTED"]),
        ("forged_acceptance", ["PENDING", "PENDING"]),
        ("request_response", ["PENDING", "PENDING", "PENDING"]),
    ],
)
def test_status_words_follow_from_the_ledger(story: str, words: list[str]) -> None:
    entries = played(story).entries

    assert [status_word(entries[:length]) for length in range(len(entries) + 1)] == words


@pytest.mark.parametrize("story", STORIES)
def test_one_answer_is_the_last_word(story: str) -> None:
    request = played(story)
    before = status_word(request.entries)
    for beat in (*STORIES["paid"].opening, *STORIES["expired"].opening):
        beat.act(request, request.created_at)

    assert status_word(request.entries) == ("ACCEPTED" if before == "PENDING" else before)


def test_a_refund_changes_nothing_about_the_request() -> None:
    holder = account()
    request = played("refund", at=holder)
    paid, refunded = (
        inquiry_json(request, entries, holder.payee)
        for entries in (request.entries[:1], request.entries)
    )

    assert paid == refunded


def test_payments_carry_the_reference_unless_somebody_left_it_out() -> None:
    for story, carried in (("refund", "SO-10042"), ("unmarked_refund", None)):
        holder = account()
        played(story, at=holder)
        incoming, outgoing = (payment_json(each, holder.payee) for each in holder.payments)

        assert incoming["merchant_reference"] == "SO-10042"
        assert outgoing["merchant_reference"] == carried


def test_the_balance_follows_the_payments() -> None:
    holder = account()
    played("part_refund", at=holder)
    balances = [each.balance for each in holder.payments]

    (before, after) = balances
    assert before - after == 12500 * 5 // 7


@pytest.mark.parametrize("story", STORIES)
def test_times_grow_with_every_entry_even_at_one_moment(story: str) -> None:
    request = played("open")
    for beat in STORIES[story].beats(has_money=False):
        beat.act(request, request.created_at)

    times = [request.created_at, *(entry.at for entry in request.entries)]
    assert all(before < after for before, after in pairwise(times))
