"""What an ERP has to know at the end of each bunq story. Source: STATUSES.md, sections 1 and 2."""

from datetime import timedelta

import pytest

from service.sandbox.bunq.stories import STORIES
from tests.sandbox.bunq_worlds import account, played

# Of a request for 125.00: status, received, refunded, final. All that is received is booked.
OUTCOMES = {
    "open": ("open", 0, 0, False),
    "paid": ("settled", 12500, 0, True),
    "paid_slowly": ("settled", 12500, 0, True),
    "bunqme_open": ("open", 0, 0, False),
    "bunqme_paid": ("settled", 12500, 0, True),
    "part_paid": ("part_paid", 8928, 0, True),
    "overpaid": ("settled", 15000, 0, True),
    "expired": ("expired", 0, 0, True),
    "cancelled": ("cancelled", 0, 0, True),
    "rejected": ("rejected", 0, 0, True),
    "refund": ("reversed", 12500, 12500, True),
    "part_refund": ("settled", 12500, 8928, True),
    "two_refunds": ("reversed", 12500, 12500, True),
    "part_paid_refund": ("reversed", 8928, 8928, True),
    "silent_refund": ("reversed", 12500, 12500, True),
    "unmarked_refund": ("settled", 12500, 0, True),
    "stale_read": ("settled", 12500, 0, True),
    "revoked_told_as_accepted": ("cancelled", 0, 0, True),
    "paid_told_as_rejected": ("settled", 12500, 0, True),
    "paid_told_as_updated": ("settled", 12500, 0, True),
    "forged_acceptance": ("open", 0, 0, False),
    "request_response": ("open", 0, 0, False),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_story_ends_in_its_one_true_outcome(story: str) -> None:
    holder = account()

    truth = holder.truth(played(story, at=holder))

    assert (truth.status, truth.received, truth.refunded, truth.final) == OUTCOMES[story]
    assert (truth.booked, truth.taken_back) == (truth.received, 0)


def test_the_truth_names_the_request_and_what_was_asked() -> None:
    holder = account()
    request = played("paid", at=holder)

    truth = holder.truth(request)

    named = (truth.account, truth.kind, truth.provider_id, truth.direction)
    assert named == ("bunq-main", "request_inquiry", request.id, "in")
    assert (truth.reference, truth.currency, truth.amount) == ("SO-10042", "EUR", 12500)


def test_nothing_is_given_back_of_nothing_and_never_more_than_came() -> None:
    for story, refunded in (("open", 0), ("part_refund", 12500)):
        holder = account()
        request = played(story, at=holder)
        for beat in STORIES["refund"].ending * 2:
            beat.act(request, request.created_at + timedelta(minutes=1))

        assert holder.truth(request).refunded == refunded


def test_a_reference_is_asked_for_once() -> None:
    holder = account()
    played("open", at=holder)

    with pytest.raises(ValueError, match="merchant_reference"):
        played("open", at=holder)
