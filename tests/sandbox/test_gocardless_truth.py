"""What an ERP has to know at the end of each story, and the words on the way there.

Source: STATUSES.md, sections 1 and 2; fact sheet gocardless, sections 3 and 4.
"""

from datetime import timedelta
from itertools import pairwise

import pytest

from service.sandbox.gocardless.happenings import What
from service.sandbox.gocardless.moves import happen, is_legal
from service.sandbox.gocardless.stories import STORIES
from service.sandbox.gocardless.truth import truth_of
from service.sandbox.gocardless.words import billing_word, payment_word
from tests.sandbox.gocardless_worlds import account, asked_for, played
from tests.sandbox.worlds import NOON

# Of a request of 70.00: status, received, refunded, taken back, booked, final.
OUTCOMES = {
    "created": ("open", 0, 0, 0, 0, False),
    "open": ("open", 0, 0, 0, 0, False),
    "bank_authorisation_expired": ("open", 0, 0, 0, 0, False),
    "failed_event_only": ("open", 0, 0, 0, 0, False),
    "authorising": ("authorising", 0, 0, 0, 0, False),
    "fulfilling": ("authorising", 0, 0, 0, 0, False),
    "payment_awaited": ("processing", 0, 0, 0, 0, False),
    "payment_appears_late": ("paid", 7000, 0, 0, 0, False),
    "accepted": ("accepted", 0, 0, 0, 0, False),
    "customer_approval_awaited": ("authorising", 0, 0, 0, 0, False),
    "customer_approval_granted": ("paid", 7000, 0, 0, 0, False),
    "customer_approval_denied": ("rejected", 0, 0, 0, 0, True),
    "rejected": ("rejected", 0, 0, 0, 0, True),
    "processing": ("processing", 0, 0, 0, 0, False),
    "paid": ("paid", 7000, 0, 0, 0, False),
    "paid_at_once": ("paid", 7000, 0, 0, 0, False),
    "paid_slowly": ("paid", 7000, 0, 0, 0, False),
    "paid_out": ("settled", 7000, 0, 0, 7000, True),
    "payment_and_mandate": ("paid", 7000, 0, 0, 0, False),
    "payer_declines_then_pays": ("paid", 7000, 0, 0, 0, False),
    "unknown_events": ("paid", 7000, 0, 0, 0, False),
    "cancelled": ("cancelled", 0, 0, 0, 0, True),
    "payment_cancelled": ("cancelled", 0, 0, 0, 0, True),
    "failed": ("failed", 0, 0, 0, 0, True),
    "fallback": ("settled", 7000, 0, 0, 7000, True),
    "fallback_late_failure": ("reversed", 7000, 7000, 7000, 0, True),
    "failed_awaiting_retry": ("failed", 0, 0, 0, 0, False),
    "failed_then_retried": ("paid", 7000, 0, 0, 0, False),
    "failed_for_good": ("failed", 0, 0, 0, 0, True),
    "late_money": ("paid", 7000, 0, 0, 0, False),
    "late_failure": ("reversed", 7000, 7000, 7000, 7000, True),
    "late_failure_before_payout": ("reversed", 7000, 7000, 7000, 0, True),
    "late_failure_then_retried": ("paid", 7000, 0, 0, 0, False),
    "chargeback": ("reversed", 7000, 7000, 7000, 7000, True),
    "chargeback_cancelled": ("settled", 7000, 0, 0, 7000, True),
    "chargeback_cancelled_before_payout": ("paid", 7000, 0, 0, 0, False),
    "refund": ("reversed", 7000, 7000, 0, 7000, True),
    "part_refund": ("paid", 7000, 5000, 0, 0, False),
    "two_refunds": ("reversed", 7000, 7000, 0, 7000, True),
    "failed_refund": ("settled", 7000, 0, 0, 7000, True),
    "refund_then_chargeback": ("reversed", 7000, 12000, 7000, 7000, True),
    "stale_read": ("paid", 7000, 0, 0, 0, False),
}


@pytest.mark.parametrize("story", sorted(STORIES.keys() - {"mandate_only"}))
def test_a_story_ends_in_its_one_true_outcome(story: str) -> None:
    truth = truth_of(played(story), account="gc-live")

    assert truth is not None
    amounts = (truth.received, truth.refunded, truth.taken_back, truth.booked)
    assert (truth.status, *amounts, truth.final) == OUTCOMES[story]


def test_a_mandate_alone_is_none_of_the_erps_business() -> None:
    assert truth_of(played("mandate_only"), account="gc-live") is None


def test_the_truth_names_the_request_and_what_was_asked() -> None:
    request = played("paid", currency="EUR")

    truth = truth_of(request, account="gc-live")

    assert truth is not None
    assert (truth.account, truth.kind, truth.provider_id) == (
        "gc-live",
        "billing_request",
        request.id,
    )
    assert (truth.reference, truth.currency, truth.amount) == ("SO-10042", "EUR", 7000)


# Each pair: the billing request's word and the payment's, as they follow each other.
WORDS = {
    "paid_slowly": [
        ("pending", None),
        ("ready_to_fulfil", None),
        ("fulfilling", None),
        ("fulfilled", "pending_submission"),
        ("fulfilled", "submitted"),
        ("fulfilled", "confirmed"),
    ],
    "payment_appears_late": [
        ("pending", None),
        ("ready_to_fulfil", None),
        ("fulfilled", None),
        ("fulfilled", "pending_submission"),
        ("fulfilled", "submitted"),
        ("fulfilled", "confirmed"),
    ],
    "payer_declines_then_pays": [
        ("pending", None),
        ("ready_to_fulfil", None),
        ("fulfilled", "pending_submission"),
        ("fulfilled", "submitted"),
        ("fulfilled", "confirmed"),
    ],
    "customer_approval_denied": [
        ("pending", None),
        ("ready_to_fulfil", None),
        ("fulfilled", "pending_customer_approval"),
        ("fulfilled", "customer_approval_denied"),
    ],
    "failed_then_retried": [
        ("pending", None),
        ("ready_to_fulfil", None),
        ("fulfilled", "pending_submission"),
        ("fulfilled", "submitted"),
        ("fulfilled", "failed"),
        ("fulfilled", "pending_submission"),
        ("fulfilled", "submitted"),
        ("fulfilled", "confirmed"),
    ],
    "cancelled": [("pending", None), ("cancelled", None)],
    "failed_event_only": [("pending", None)],
}
AFTER_PAYOUT = {
    "late_failure": ["failed"],
    "chargeback": ["charged_back"],
    "chargeback_cancelled": ["charged_back", "paid_out"],
    "refund": [],
    "failed_refund": [],
}


def words(story: str) -> list[tuple[str, str | None]]:
    """Return what is shown after each beat, without repetitions."""
    request = asked_for(story)
    shown = [(billing_word(request.entries), payment_word(request.entries))]
    for second, beat in enumerate(STORIES[story].beats(has_money=False), start=1):
        beat.act(request, NOON + timedelta(seconds=second))
        shown.append((billing_word(request.entries), payment_word(request.entries)))
    return [shown[0], *(after for before, after in pairwise(shown) if after != before)]


@pytest.mark.parametrize("story", WORDS)
def test_the_words_follow_from_the_ledger(story: str) -> None:
    assert words(story) == WORDS[story]


@pytest.mark.parametrize("story", AFTER_PAYOUT)
def test_a_payment_that_was_paid_out_is_not_final(story: str) -> None:
    told = [payment for _, payment in words(story)]

    assert told[told.index("paid_out") + 1 :] == AFTER_PAYOUT[story]


@pytest.mark.parametrize("story", STORIES)
def test_every_beat_of_a_story_fits_where_it_stands(story: str) -> None:
    request = asked_for(story)
    for second, beat in enumerate(STORIES[story].beats(has_money=False), start=1):
        before = len(request.entries)
        beat.act(request, NOON + timedelta(seconds=second))

        assert len(request.entries) > before


@pytest.mark.parametrize(
    ("story", "what"),
    [
        ("cancelled", What.FULFILLED),
        ("open", What.FULFILLED),
        ("authorising", What.CREATED),
        ("accepted", What.CONFIRMED),
        ("accepted", What.CREATED),
        ("processing", What.PAYMENT_CANCELLED),
        ("processing", What.REFUNDED),
        ("paid", What.RETRIED),
        ("paid", What.CANCELLED),
        ("failed", What.CHARGED_BACK),
        ("rejected", What.SUBMITTED),
        ("chargeback", What.FAILED),
    ],
)
def test_what_does_not_fit_does_not_happen(story: str, what: What) -> None:
    request = played(story)

    assert not is_legal(what, request)
    assert happen(request, what, at=NOON) is None


def test_no_more_is_refunded_than_is_there() -> None:
    request = played("part_refund")
    for beat in STORIES["refund"].ending * 2:
        beat.act(request, NOON)

    truth = truth_of(request, account="gc-live")

    assert truth is not None
    assert (truth.received, truth.refunded) == (7000, 7000)


def test_a_story_on_a_request_with_money_plays_its_ending_alone() -> None:
    holder = account()
    request = played("paid_out", at=holder)

    assert holder.has_money(request)
    for beat in STORIES["chargeback"].beats(has_money=True):
        beat.act(request, NOON)
    assert payment_word(request.entries) == "charged_back"
    assert not holder.has_money(played("failed_for_good"))


def test_money_that_the_provider_never_shows_is_in_the_truth() -> None:
    request = played("cancelled")
    request.unseen = 1

    truth = truth_of(request, account="gc-live")

    assert truth is not None
    assert (truth.status, truth.received) == ("part_paid", 1)
