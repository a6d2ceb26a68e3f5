"""What each payment order story says, and what an ERP has to know at its end.

Source: STATUSES.md, sections 1 and 2; fact sheet payment_requests_v2, section 3.
"""

from itertools import product

import pytest

from service.sandbox.payment_requests_v2.account import PaymentRequestsAccount
from service.sandbox.payment_requests_v2.happenings import ENDS, MOVEMENTS, What, may_follow
from service.sandbox.payment_requests_v2.orders import Transfer
from service.sandbox.payment_requests_v2.stories import STORIES, happens
from tests.sandbox.payment_requests_v2_worlds import account, asked, go_on, shown, words
from tests.sandbox.worlds import NOON

# Of an order over 70.00: status, received, refunded, booked, final.
OUTCOMES = {
    "created": ("created", 0, 0, 0, False),
    "authorising": ("authorising", 0, 0, 0, False),
    "accepted": ("accepted", 0, 0, 0, False),
    "processing": ("processing", 0, 0, 0, False),
    "paid": ("paid", 7000, 0, 0, False),
    "paid_slowly": ("paid", 7000, 0, 0, False),
    "settled": ("settled", 7000, 0, 7000, True),
    "no_transfer_date": ("settled", 7000, 0, 7000, True),
    "two_transfers": ("settled", 7000, 0, 7000, True),
    "some_transfers_done": ("part_paid", 5000, 0, 5000, False),
    "part_paid": ("part_paid", 5000, 0, 5000, True),
    "rejected": ("rejected", 0, 0, 0, True),
    "failed": ("failed", 0, 0, 0, True),
    "cancelled": ("cancelled", 0, 0, 0, True),
    "returned": ("reversed", 7000, 7000, 0, True),
    "part_returned": ("paid", 7000, 2000, 5000, True),
    "request_word_lags": ("settled", 7000, 0, 7000, True),
    "transfers_disagree": ("part_paid", 5000, 0, 5000, True),
    "stale_read": ("settled", 7000, 0, 7000, True),
}

# The request's own status, then each transfer's; where there are several words, all that may come.
DONE, CODE_DONE, AT_BANK = "completed|executed", "accc", "acsp|pdng|acwc|acwp"
WORDS = {
    ("created", "words"): ("initiated", "initiated"),
    ("created", "iso"): ("rcvd", "rcvd"),
    ("created", "numbers"): ("0", "0"),
    ("authorising", "words"): ("pending_approval", "pending_approval"),
    ("authorising", "iso"): ("pending_approval", "pending_approval"),
    ("authorising", "numbers"): ("1", "1"),
    ("accepted", "words"): ("accepted", "accepted"),
    ("accepted", "iso"): ("accp|actc", "accp|actc"),
    ("accepted", "numbers"): ("accepted", "accepted"),
    ("processing", "words"): (AT_BANK, AT_BANK),
    ("processing", "iso"): (AT_BANK, AT_BANK),
    ("processing", "numbers"): ("3|4|6", "3|4|6"),
    ("paid", "words"): ("acsc", "acsc"),
    ("paid", "iso"): ("acsc", "acsc"),
    ("paid", "numbers"): ("acsc", "acsc"),
    ("settled", "words"): (DONE, DONE),
    ("settled", "iso"): (CODE_DONE, CODE_DONE),
    ("settled", "numbers"): ("7", "7"),
    ("some_transfers_done", "iso"): ("rcvd", CODE_DONE, AT_BANK),
    ("part_paid", "words"): ("initiated", DONE, "failed"),
    ("rejected", "words"): ("rejected", "rejected"),
    ("rejected", "iso"): ("rjct", "rjct"),
    ("rejected", "numbers"): ("5", "5"),
    ("failed", "words"): ("failed", "failed"),
    ("failed", "iso"): ("failed", "failed"),
    ("cancelled", "words"): ("cancelled", "cancelled"),
    ("cancelled", "numbers"): ("2|8", "2|8"),
    ("returned", "words"): ("returned", "returned"),
    ("returned", "iso"): ("returned", "returned"),
    ("returned", "numbers"): ("returned", "returned"),
    ("part_returned", "words"): ("initiated", DONE, "returned"),
    ("request_word_lags", "words"): ("initiated", DONE, DONE),
    ("request_word_lags", "iso"): ("rcvd", CODE_DONE, CODE_DONE),
    ("transfers_disagree", "words"): (DONE, DONE, "rejected"),
    ("transfers_disagree", "numbers"): ("7", "7", "5"),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_story_ends_in_its_one_true_outcome(story: str) -> None:
    holder = account()

    truth = holder.truth(go_on(asked(story, at=holder), story))

    said = (truth.status, truth.received, truth.refunded, truth.booked, truth.final)
    assert said == OUTCOMES[story]
    assert truth.taken_back == truth.refunded


@pytest.mark.parametrize(("story", "style"), WORDS)
def test_a_story_is_told_in_the_words_of_its_style(story: str, style: str) -> None:
    order = go_on(asked(story), story)

    for said, expected in zip(words(order, style=style), WORDS[story, style], strict=True):
        assert said in expected.split("|")


def test_the_truth_is_about_outgoing_money_and_names_no_document() -> None:
    holder = account()
    order = asked(at=holder)

    truth = holder.truth(order)

    named = (truth.account, truth.kind, truth.provider_id, truth.direction)
    assert named == ("partner", "payment_request", order.id, "out")
    assert (order.reference, truth.reference) == (None, None)
    assert (truth.currency, truth.amount) == ("NOK", 7000)


def test_every_word_comes_in_several_dresses_and_none_changes_by_itself() -> None:
    holder = account()
    orders = [go_on(asked(at=holder), "settled") for _ in range(40)]

    said = [shown(order)["transfers"][0]["payment_status"] for order in orders]

    assert {each.strip().lower() for each in said} == {"completed", "executed"}
    assert any(each.isupper() for each in said)
    assert any(each != each.strip() for each in said)
    assert said == [shown(order)["transfers"][0]["payment_status"] for order in orders]


def test_the_one_documented_word_and_the_codes_are_always_written_alike() -> None:
    holder = account()
    orders = [asked(at=holder) for _ in range(20)]
    fresh = {shown(order)["payment_status"] for order in orders}
    settled = {shown(go_on(order, "settled"), style="iso")["payment_status"] for order in orders}

    assert (fresh, settled) == ({"initiated"}, {"accc"})


def test_what_has_come_to_an_end_goes_on_with_nothing_but_a_return() -> None:
    for end, after in product(ENDS, What):
        news = [What.SENT, end] if end in MOVEMENTS else [end]
        is_return = end is What.BOOKED and after is What.RETURNED

        assert may_follow(news, after) is is_return


def test_a_transfer_goes_forwards_and_nothing_arrives_that_was_not_sent() -> None:
    assert may_follow([], What.EXECUTING)
    assert not may_follow([What.EXECUTING], What.APPROVED)
    assert not may_follow([What.EXECUTING], What.BOOKED)
    assert not may_follow([What.EXECUTING], What.RETURNED)
    assert not may_follow([What.SENT], What.REJECTED)
    assert may_follow([What.SENT], What.BOOKED)


def test_a_return_goes_on_with_an_order_that_has_money() -> None:
    holder = account()
    order = go_on(asked("two_transfers", at=holder), "two_transfers")
    assert holder.has_money(order)

    go_on(order, "returned", has_money=True)

    assert (holder.truth(order).status, holder.truth(order).refunded) == ("reversed", 7000)


def test_money_can_come_back_before_it_has_arrived() -> None:
    holder = account()
    order = go_on(asked(at=holder), "paid")

    happens(What.RETURNED).act(order, NOON)

    truth = holder.truth(order)
    assert (truth.status, truth.taken_back, truth.booked) == ("reversed", 7000, 0)


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (What.FAILED, What.CANCELLED, ("failed", True)),
        (What.CANCELLED, What.REJECTED, ("rejected", True)),
        (What.REJECTED, What.QUEUED, ("authorising", False)),
        (What.EXECUTING, What.APPROVED, ("accepted", False)),
        (What.SENT, What.FAILED, ("part_paid", False)),
    ],
)
def test_transfers_without_money_in_common_are_judged_together(
    first: What, second: What, outcome: tuple[str, bool]
) -> None:
    holder = account()
    order = asked("two_transfers", at=holder)
    for number, what in enumerate((first, second)):
        happens(what, number).act(order, NOON)

    assert (holder.truth(order).status, holder.truth(order).final) == outcome


def test_transfers_in_another_currency_count_for_the_status_alone() -> None:
    holder = account()
    transfers = [Transfer(456, 789, 100, "NOK", None), Transfer(456, 987, 900, "EUR", None)]
    order = holder.create(transfers, "international", "credit_transfer", at=NOON)

    go_on(order, "some_transfers_done")

    truth = holder.truth(order)
    assert (truth.currency, truth.amount, truth.received) == ("NOK", 100, 100)
    assert (truth.status, truth.final) == ("part_paid", False)


def test_unseen_money_is_in_the_truth_alone() -> None:
    holder = account()
    order = asked(at=holder)
    order.unseen = 1

    assert (holder.truth(order).status, holder.truth(order).received) == ("part_paid", 1)
    assert words(order) == ["initiated", "initiated"]


@pytest.mark.parametrize(
    ("currency", "text"), [("NOK", "70.00"), ("JPY", "7000"), ("KWD", "7.000")]
)
def test_amounts_are_numbers_in_major_units(currency: str, text: str) -> None:
    (transfer,) = shown(asked(currency=currency))["transfers"]

    assert str(transfer["amount"]) == text


def ids_of(holder: PaymentRequestsAccount) -> tuple[list[int], list[int]]:
    """Return the ids of five requests made at an account, and those of their transfers."""
    reads = [shown(asked("two_transfers", at=holder)) for _ in range(5)]
    transfers = [transfer["id"] for read in reads for transfer in read["transfers"]]
    return [read["id"] for read in reads], transfers


def test_ids_only_ever_grow_and_the_same_seed_makes_the_same() -> None:
    made, again = ids_of(account(seed=3)), ids_of(account(seed=3))

    assert made == again
    for ids in made:
        assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    ("story", "amount", "currency"), [("two_transfers", 1, "NOK"), ("created", 100, "kroner")]
)
def test_what_cannot_be_ordered_is_refused(story: str, amount: int, currency: str) -> None:
    with pytest.raises(ValueError, match=currency if currency == "kroner" else "too little"):
        asked(story, amount=amount, currency=currency)
