"""What an ERP has to know at the end of each story. Source: STATUSES.md, sections 1 and 2."""

import pytest

from service.sandbox.ginger.happenings import BANK_TRANSFER, What
from service.sandbox.ginger.shelf import Listed
from service.sandbox.ginger.stories import ORDER_STORIES, attempt_news, offer
from service.sandbox.ginger.truth import truth_of
from tests.sandbox.worlds import NOON, PROJECT_ID, account, played

# Of an order of 70.00: status, received, refunded, taken back, final.
OUTCOMES = {
    "created": ("created", 0, 0, 0, False),
    "open": ("open", 0, 0, 0, False),
    "authorising": ("authorising", 0, 0, 0, False),
    "processing": ("processing", 0, 0, 0, False),
    "paid": ("paid", 7000, 0, 0, True),
    "paid_slowly": ("paid", 7000, 0, 0, True),
    "failed": ("failed", 0, 0, 0, False),
    "error": ("failed", 0, 0, 0, False),
    "declined": ("failed", 0, 0, 0, False),
    "error_then_paid": ("paid", 7000, 0, 0, True),
    "expired": ("expired", 0, 0, 0, True),
    "error_then_expired": ("expired", 0, 0, 0, True),
    "cancelled": ("cancelled", 0, 0, 0, True),
    "cancelled_then_paid": ("paid", 7000, 0, 0, True),
    "late_money": ("paid", 7000, 0, 0, True),
    "bank_transfer": ("paid", 7000, 0, 0, True),
    "bank_transfer_awaited": ("open", 0, 0, 0, False),
    "two_transactions": ("paid", 7000, 0, 0, True),
    "split": ("paid", 7000, 0, 0, True),
    "split_awaited": ("part_paid", 5000, 0, 0, False),
    "part_paid": ("part_paid", 5000, 0, 0, True),
    "overpaid": ("paid", 14000, 0, 0, True),
    "refund": ("reversed", 7000, 7000, 0, True),
    "part_refund": ("paid", 7000, 5000, 0, True),
    "two_refunds": ("reversed", 7000, 7000, 0, True),
    "silent_refund": ("reversed", 7000, 7000, 0, True),
    "failed_refund": ("paid", 7000, 0, 0, True),
    "chargeback": ("reversed", 7000, 7000, 7000, True),
    "silent_chargeback": ("reversed", 7000, 7000, 7000, True),
    "reversal": ("reversed", 7000, 7000, 7000, True),
    "refund_then_chargeback": ("reversed", 7000, 12000, 7000, True),
    "accepted": ("accepted", 0, 0, 0, False),
    "authorised_only": ("accepted", 0, 0, 0, False),
    "captured": ("paid", 7000, 0, 0, True),
    "captured_at_expiry": ("paid", 7000, 0, 0, True),
    "captured_then_refunded": ("paid", 7000, 5000, 0, True),
    "part_captured": ("part_paid", 5000, 0, 0, False),
    "part_captured_rest_voided": ("part_paid", 5000, 0, 0, True),
    "voided": ("cancelled", 0, 0, 0, True),
    "stale_read": ("paid", 7000, 0, 0, True),
    "lapsed": ("cancelled", 0, 0, 0, True),
}


@pytest.mark.parametrize("story", [name for name in ORDER_STORIES if name != "foreign_project"])
def test_a_story_ends_in_its_one_true_outcome(story: str) -> None:
    truth = truth_of(played(story), account="ginger-nl")

    amounts = (truth.received, truth.refunded, truth.taken_back)
    assert (truth.status, *amounts, truth.final) == OUTCOMES[story]


def test_the_truth_names_the_order_and_what_was_asked() -> None:
    seller = account()
    order = played("paid", at=seller)

    truth = truth_of(order, account="ginger-nl")

    assert (truth.account, truth.kind, truth.provider_id) == (
        "ginger-nl",
        "order",
        order.id,
    )
    assert (truth.reference, truth.currency, truth.amount) == ("SI-000317", "EUR", 7000)


def test_an_order_of_another_project_is_none_of_the_erps_business() -> None:
    seller = account()
    story = ORDER_STORIES["foreign_project"]
    order = seller.ask(story, reference="INV-1", amount=7000, currency="EUR", at=NOON)

    shown = seller.picture(Listed(order), order.entries, details=False)

    assert seller.truth(order) is None
    assert shown["project_id"] != PROJECT_ID


def test_attempts_count_by_where_they_stand_and_not_by_their_place() -> None:
    order = account().create(7000, "EUR", {}, at=NOON)
    for beat in (
        offer("ideal"),
        attempt_news(What.AT_BANK),
        offer(BANK_TRANSFER),
        attempt_news(What.AT_BANK, method=BANK_TRANSFER),
    ):
        beat.act(order, NOON)

    assert truth_of(order, account="ginger-nl").status == "authorising"


def test_no_more_is_refunded_than_was_received_and_no_more_taken_than_that() -> None:
    order = played("part_captured")
    for _ in range(2):
        for story in ("refund", "chargeback"):
            for beat in ORDER_STORIES[story].ending:
                beat.act(order, order.entries[-1].at)

    truth = truth_of(order, account="ginger-nl")
    assert (truth.received, truth.refunded, truth.taken_back) == (5000, 10000, 5000)


def test_giving_back_needs_money_that_was_received() -> None:
    order = played("authorised_only")
    for beat in ORDER_STORIES["refund"].ending:
        beat.act(order, order.entries[-1].at)

    assert truth_of(order, account="ginger-nl").refunded == 0


def test_only_what_is_reserved_can_be_captured() -> None:
    order = played("voided")
    for beat in ORDER_STORIES["captured"].ending:
        beat.act(order, order.entries[-1].at)

    assert truth_of(order, account="ginger-nl").received == 0


def test_a_story_on_an_order_with_money_starts_after_its_opening() -> None:
    assert ORDER_STORIES["refund"].beats(has_money=True) == ORDER_STORIES["refund"].ending
