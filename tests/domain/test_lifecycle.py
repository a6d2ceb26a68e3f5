"""How a request moves: every status against every status, and each rule by its name."""

from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.lifecycle import (
    Contradiction,
    NoChange,
    Stale,
    Transition,
    advance,
    with_reversal,
)
from service.domain.request import Direction, Facts, PaymentRequest
from service.domain.status import Status
from tests.builders import AMOUNT, SEEN_AT, facts, request, seen

EVERY = set(Status)

# Where a request may go while no money moves, written down by hand from STATUSES.md, section 3.
# A status that is not final blocks nothing below part_paid; failed may be retried; held restores
# whatever is read.
WITHOUT_MONEY_NEWS: dict[Status, set[Status]] = {
    Status.CREATED: EVERY,
    Status.OPEN: EVERY,
    Status.AUTHORISING: EVERY,
    Status.ACCEPTED: EVERY,
    Status.PROCESSING: EVERY,
    Status.PART_PAID: {Status.PART_PAID, Status.PAID, Status.SETTLED, Status.HELD},
    Status.PAID: {Status.PAID, Status.SETTLED, Status.HELD},
    Status.SETTLED: {Status.SETTLED, Status.HELD},
    Status.REJECTED: {Status.REJECTED, Status.HELD},
    Status.FAILED: EVERY,
    Status.CANCELLED: {Status.CANCELLED, Status.HELD},
    Status.EXPIRED: {Status.EXPIRED, Status.HELD},
    Status.REVERSED: {Status.REVERSED, Status.HELD},
    Status.HELD: EVERY,
}
# Each kind of news about money, as what it changes in facts with 40.00 received, 10.00 refunded,
# 5.00 of it taken back and 20.00 booked.
MONEY_NEWS = [
    {"received": AMOUNT + 500},
    {"refunded": 1500},
    {"refunded": 500},
    {"taken_back": 1000},
    {"taken_back": 0},
    {"booked": AMOUNT},
    {"booked": 0},
]


def with_money(status: Status, *, final: bool) -> Facts:
    return facts(status, final=final, received=AMOUNT, refunded=1000, taken_back=500, booked=2000)


def step(before: Facts | Status, after: Facts | Status) -> Transition:
    verdict = advance(request(before), seen(after), lease_no=2)
    assert isinstance(verdict, Transition)
    return verdict


@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("after", Status)
@pytest.mark.parametrize("final", [False, True])
def test_without_news_of_money_only_the_table_allows_a_move(
    before: Status, after: Status, final: bool
) -> None:
    leaving_final = {before, Status.HELD} if before is not Status.HELD else EVERY
    allowed = after in (leaving_final if final else WITHOUT_MONEY_NEWS[before])

    recorded = request(with_money(before, final=final))
    verdict = advance(recorded, seen(with_money(after, final=False)), lease_no=2)

    if not allowed:
        assert verdict == Contradiction("regression_refused")
    elif after == before:
        assert isinstance(verdict, NoChange)
    else:
        assert isinstance(verdict, Transition)
        assert verdict.type == f"payment_request.{after}"


@pytest.mark.parametrize(
    ("asked", "verdict"), [(2 * AMOUNT, Transition), (AMOUNT, Contradiction), (1, Contradiction)]
)
def test_what_was_all_is_a_part_only_where_more_is_asked(asked: int, verdict: type) -> None:
    before = facts(Status.PAID, final=True)
    after = replace(before, status=Status.PART_PAID, final=False, amount=asked)

    assert isinstance(advance(request(before), seen(after), lease_no=2), verdict)


@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("after", [Status.ACCEPTED, Status.PROCESSING])
def test_a_retry_leads_out_of_a_failure_for_good_and_out_of_nothing_else(
    before: Status, after: Status
) -> None:
    recorded = request(with_money(before, final=True))
    shown = seen(with_money(after, final=False), retried=True)

    verdict = advance(recorded, shown, lease_no=2)

    if before in (Status.FAILED, Status.HELD):
        assert isinstance(verdict, Transition)
    elif before is after:
        assert isinstance(verdict, NoChange)
    else:
        assert verdict == Contradiction("regression_refused")


@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("news", MONEY_NEWS, ids=str)
def test_news_of_money_moves_a_request_from_anywhere_to_anywhere(
    before: Status, final: bool, news: dict[str, int]
) -> None:
    recorded = request(with_money(before, final=final))

    for after in Status:
        shown = replace(with_money(after, final=False), **news)  # type: ignore[arg-type]
        verdict = advance(recorded, seen(shown), lease_no=2)
        assert isinstance(verdict, Transition)
        name = "amount_changed" if after == before else after.value
        assert verdict.type == f"payment_request.{name}"


@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("after", Status)
@pytest.mark.parametrize("final", [False, True])
def test_received_money_never_falls(before: Status, after: Status, final: bool) -> None:
    shown = replace(with_money(after, final=final), received=AMOUNT - 1)

    verdict = advance(request(with_money(before, final=final)), seen(shown), lease_no=2)

    assert verdict == Contradiction("regression_refused")


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("final", [False, True])
def test_the_first_observation_is_always_told(status: Status, final: bool) -> None:
    verdict = advance(request(None), seen(with_money(status, final=final)), lease_no=1)

    assert isinstance(verdict, Transition)
    assert verdict.type == f"payment_request.{status}"
    assert (verdict.after.sequence, verdict.correction) == (1, False)
    assert verdict.after.occurred_at == SEEN_AT


def test_a_settled_request_cannot_open_again() -> None:
    verdict = advance(request(Status.SETTLED), seen(Status.OPEN), lease_no=2)

    assert verdict == Contradiction("regression_refused")


def test_a_payment_moves_an_open_request_to_paid() -> None:
    verdict = step(Status.OPEN, Status.PAID)

    assert verdict.type == "payment_request.paid"
    assert not verdict.correction
    assert verdict.after.facts == facts(Status.PAID)
    assert (verdict.after.sequence, verdict.after.lease_no) == (2, 2)
    assert verdict.before == request(Status.OPEN)


# Reads that come late


@pytest.mark.parametrize(
    ("recorded", "shown", "lease_no", "is_stale"),
    [
        (7, 6, 9, True),
        (7, 7, 4, True),
        (7, 7, 5, False),
        (7, 8, 4, False),
        (None, None, 4, True),
        (None, None, 5, False),
        (None, 8, 4, True),
        (7, None, 4, True),
        (7, None, 6, False),
    ],
)
def test_the_providers_version_orders_reads_and_else_the_lease(
    recorded: int | None, shown: int | None, lease_no: int, is_stale: bool
) -> None:
    known = request(Status.OPEN, version=recorded, lease_no=5)

    verdict = advance(known, seen(Status.PAID, version=shown), lease_no=lease_no)

    assert (verdict == Stale()) == is_stale


def test_a_stale_read_is_stale_whatever_it_says() -> None:
    known = request(Status.PAID, version=7)
    older = seen(facts(Status.OPEN, currency="USD"), version=6)

    assert advance(known, older, lease_no=9) == Stale()


def test_a_newer_read_never_lowers_version_or_lease() -> None:
    known = request(Status.OPEN, version=7, lease_no=5)

    without_version = advance(known, seen(Status.PAID), lease_no=6)
    under_older_lease = advance(known, seen(Status.PAID, version=8), lease_no=4)

    assert isinstance(without_version, Transition)
    assert isinstance(under_older_lease, Transition)
    assert without_version.after.version == 7
    assert (under_older_lease.after.version, under_older_lease.after.lease_no) == (8, 5)


# Money that comes late or goes


@pytest.mark.parametrize(
    "status", [Status.CANCELLED, Status.EXPIRED, Status.REJECTED, Status.FAILED]
)
def test_money_after_the_end_is_late_and_corrects_what_we_said(status: Status) -> None:
    verdict = step(facts(status, final=True), Status.PAID)

    assert verdict.correction
    assert verdict.after.attention == {"late_money"}


def test_a_refund_after_the_end_is_not_late_money() -> None:
    ended = facts(Status.CANCELLED, received=1500)

    verdict = step(ended, replace(ended, refunded=500))

    assert verdict.after.attention == frozenset()
    assert not verdict.correction


def test_a_retry_after_a_failure_is_ordinary() -> None:
    verdict = step(Status.FAILED, Status.PAID)

    assert not verdict.correction
    assert verdict.after.attention == frozenset()


def test_late_money_that_went_back_at_once_is_still_late_money() -> None:
    verdict = step(Status.EXPIRED, Status.REVERSED)

    assert verdict.type == "payment_request.reversed"
    assert verdict.correction
    assert verdict.after.attention == {"late_money"}


def test_a_part_refund_is_an_amount_changed_and_no_correction() -> None:
    verdict = step(Status.PAID, facts(Status.PAID, refunded=1000))

    assert verdict.type == "payment_request.amount_changed"
    assert not verdict.correction


def test_a_full_refund_reverses_whatever_the_providers_word() -> None:
    verdict = step(Status.PAID, facts(Status.PAID, final=False, refunded=AMOUNT))

    assert verdict.type == "payment_request.reversed"
    assert verdict.after.facts == facts(Status.REVERSED, provider_status="paid")
    assert not verdict.correction


def test_a_charge_back_and_its_end_are_corrections() -> None:
    taken = facts(Status.REVERSED, taken_back=AMOUNT)

    charged_back = step(Status.PAID, taken)
    given_again = step(taken, Status.PAID)

    assert (charged_back.type, charged_back.correction) == ("payment_request.reversed", True)
    assert (given_again.type, given_again.correction) == ("payment_request.paid", True)


def test_more_taken_than_received_calls_a_person_once() -> None:
    twice = facts(Status.PAID, refunded=AMOUNT + 1000, taken_back=AMOUNT)

    verdict = step(facts(Status.PAID, refunded=1000), twice)
    acknowledged = replace(verdict.after, attention=frozenset())
    again = advance(acknowledged, seen(twice), lease_no=3)
    booked = advance(acknowledged, seen(replace(twice, booked=AMOUNT)), lease_no=3)

    assert verdict.type == "payment_request.reversed"
    assert verdict.after.attention == {"taken_back_twice"}
    assert again == NoChange(replace(acknowledged, lease_no=3))
    assert isinstance(booked, Transition)
    assert booked.after.attention == frozenset()


@pytest.mark.parametrize(
    ("received", "refunded", "is_reversed"),
    [(0, 0, False), (0, 10, False), (100, 99, False), (100, 100, True), (100, 101, True)],
)
def test_reversed_means_that_all_that_came_is_gone(
    received: int, refunded: int, is_reversed: bool
) -> None:
    shown = facts(Status.HELD, received=received, refunded=refunded)

    judged = with_reversal(shown)

    reversed_facts = replace(shown, status=Status.REVERSED, final=True)
    assert judged == (reversed_facts if is_reversed else shown)


def test_a_lowered_amount_completes_what_is_part_paid() -> None:
    verdict = step(Status.PART_PAID, facts(Status.PAID, amount=1500, received=1500))

    assert verdict.type == "payment_request.paid"


# What changes without a word


def test_a_look_that_finds_the_same_updates_quietly() -> None:
    known = request(Status.OPEN, version=7, parked="unmapped_status")
    shown = facts(Status.OPEN, amount=5000, final=True, provider_status="new", reason="x")

    verdict = advance(known, seen(shown, version=8, reference="INV-2"), lease_no=3)

    expected = replace(known, facts=shown, version=8, lease_no=3, reference="INV-2", parked=None)
    assert verdict == NoChange(expected)


@pytest.mark.parametrize("before", Status)
def test_another_currency_changes_nothing(before: Status) -> None:
    verdict = advance(request(before), seen(facts(before, currency="USD")), lease_no=2)

    assert verdict == Contradiction("currency_changed")


@pytest.mark.parametrize(
    ("registered", "recorded", "shown", "kept"),
    [
        (True, "INV-1", "other", "INV-1"),
        (True, None, "read", "read"),
        (False, "INV-1", "other", "other"),
        (False, "INV-1", None, "INV-1"),
    ],
)
def test_a_registered_reference_stands(
    registered: bool, recorded: str | None, shown: str | None, kept: str
) -> None:
    known = request(Status.OPEN, registered=registered, reference=recorded)

    verdict = advance(known, seen(Status.PAID, reference=shown), lease_no=2)

    assert isinstance(verdict, Transition)
    assert verdict.after.reference == kept


@pytest.mark.parametrize("shown", [Status.OPEN, Status.PAID])
def test_conditions_go_with_the_read_and_calls_for_a_person_stay(shown: Status) -> None:
    known = request(Status.OPEN, attention=frozenset({"late_money", "unreadable_answer"}))

    verdict = advance(known, seen(shown, attention=frozenset({"is_test"})), lease_no=2)

    assert isinstance(verdict, Transition | NoChange)
    assert verdict.after.attention == {"late_money", "is_test"}


def test_a_move_unparks_and_takes_time_and_direction_from_the_read() -> None:
    known = request(None, parked="unmapped_status")
    later = SEEN_AT + timedelta(hours=1)

    verdict = advance(
        known, seen(Status.PAID, direction=Direction.OUT, occurred_at=later), lease_no=1
    )

    assert isinstance(verdict, Transition)
    after: PaymentRequest = verdict.after
    assert (after.parked, after.direction, after.occurred_at) == (None, Direction.OUT, later)
