"""How a request moves: each rule by its name. Every move there is stands in test_moves.py."""

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
    without_future_version,
)
from service.domain.request import Direction, Facts, PaymentRequest
from service.domain.status import Status
from tests.builders import AMOUNT, SEEN_AT, facts, request, seen


def step(before: Facts | Status, after: Facts | Status) -> Transition:
    verdict = advance(request(before), seen(after), lease_no=2)
    assert isinstance(verdict, Transition)
    return verdict


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


def test_what_was_received_is_what_the_read_shows_and_never_added_up() -> None:
    verdict = step(Status.PART_PAID, Status.PAID)

    assert verdict.before.facts == facts(Status.PART_PAID)
    assert verdict.after.facts == facts(Status.PAID)


# Reads that come late


def test_a_stale_read_is_stale_whatever_it_says() -> None:
    known = request(Status.PAID, version=7)
    older = seen(facts(Status.OPEN, currency="USD"), version=6)

    assert advance(known, older, lease_no=9) == Stale()


@pytest.mark.parametrize("version", [None, 7])
def test_an_older_lease_is_stale_where_no_version_decides(version: int | None) -> None:
    known = request(Status.OPEN, version=7, lease_no=5)

    assert advance(known, seen(Status.PAID, version=version), lease_no=4) == Stale()


def test_a_newer_read_never_lowers_version_or_lease() -> None:
    known = request(Status.OPEN, version=7, lease_no=5)

    without_version = advance(known, seen(Status.PAID), lease_no=6)
    under_older_lease = advance(known, seen(Status.PAID, version=8), lease_no=4)

    assert isinstance(without_version, Transition)
    assert isinstance(under_older_lease, Transition)
    assert without_version.after.version == 7
    assert (under_older_lease.after.version, under_older_lease.after.lease_no) == (8, 5)


# A day ahead of 14:30 on 20 November 2026, in microseconds since 1970.
LATEST = 1_795_271_400_000_000


@pytest.mark.parametrize(
    ("version", "kept"),
    [(LATEST, LATEST), (LATEST + 1, None), (2**62, None), (3, 3), (None, None)],
)
def test_a_version_more_than_a_day_ahead_of_our_clock_is_none(
    version: int | None, kept: int | None
) -> None:
    read = seen(Status.PAID, version=version, attention=frozenset({"is_test"}))

    judged = without_future_version(read, at=SEEN_AT)

    attention = {"is_test"} if kept == version else {"is_test", "version_in_future"}
    assert judged == replace(read, version=kept, attention=frozenset(attention))


def test_a_version_of_next_year_makes_no_later_read_stale() -> None:
    known = request(Status.OPEN, version=7, lease_no=5)
    of_next_year = seen(Status.PROCESSING, version=LATEST + 10**13)

    first = advance(known, without_future_version(of_next_year, at=SEEN_AT), lease_no=6)
    assert isinstance(first, Transition)
    later = advance(first.after, seen(Status.PAID, version=8), lease_no=7)
    older = advance(first.after, seen(Status.OPEN, version=6), lease_no=7)

    assert isinstance(later, Transition)
    assert first.after.attention == {"version_in_future"}
    assert later.after.attention == frozenset()
    assert (first.after.version, later.after.version) == (7, 8)
    assert older == Stale()


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


def test_a_refund_that_came_back_and_a_booking_undone_are_corrections() -> None:
    refunded = facts(Status.SETTLED, refunded=1000)

    came_back = step(refunded, Status.SETTLED)
    undone = step(Status.SETTLED, Status.PAID)

    assert (came_back.type, came_back.correction) == ("payment_request.amount_changed", True)
    assert (undone.type, undone.correction) == ("payment_request.paid", True)


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
