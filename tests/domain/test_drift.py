"""In which way a fresh read departs from the record."""

from dataclasses import replace
from itertools import permutations

import pytest

from service.domain.drift import DriftClass, class_of
from service.domain.lifecycle import advance, refused
from service.domain.request import Facts, PaymentRequest
from service.domain.status import Status
from tests.builders import facts, request, seen


def drift(
    ours: PaymentRequest | None, shown: Status | Facts, *, is_pending: bool = False
) -> DriftClass | None:
    look = seen(shown)
    verdict = advance(ours or request(None), look, lease_no=1)
    return class_of(ours, verdict, look, is_pending=is_pending)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("is_pending", [False, True])
def test_the_same_picture_is_no_drift(status: Status, is_pending: bool) -> None:
    assert drift(request(status), status, is_pending=is_pending) is None


@pytest.mark.parametrize("status", Status)
def test_whatever_we_have_no_record_of_is_unknown_here(status: Status) -> None:
    assert drift(None, status) is DriftClass.UNKNOWN_HERE


@pytest.mark.parametrize(("ours", "theirs"), list(permutations(Status, 2)))
def test_two_statuses_that_differ_are_always_drift_and_lag_where_a_look_is_outstanding(
    ours: Status, theirs: Status
) -> None:
    found = drift(request(ours), theirs)
    assert found in (DriftClass.MISSED, DriftClass.LAGGING, DriftClass.CONFLICTING_AMOUNT)
    assert drift(request(ours), theirs, is_pending=True) is DriftClass.LAGGING


def test_a_request_that_was_never_read_is_missed() -> None:
    assert drift(request(None), Status.OPEN) is DriftClass.MISSED


def test_what_moved_on_without_a_word_is_missed() -> None:
    assert drift(request(Status.OPEN), Status.PAID) is DriftClass.MISSED
    assert drift(request(Status.OPEN), Status.EXPIRED) is DriftClass.MISSED


def test_that_a_request_ended_is_drift_although_its_status_stands() -> None:
    ours = request(facts(Status.FAILED, final=False))

    assert drift(ours, facts(Status.FAILED, final=True)) is DriftClass.MISSED


@pytest.mark.parametrize(
    "theirs",
    [
        facts(Status.PAID, refunded=1000),
        facts(Status.PAID, amount=4500),
        facts(Status.PAID, booked=4000),
        facts(Status.PAID, received=3500),
        facts(Status.PAID, currency="USD"),
        facts(Status.OPEN),
    ],
)
def test_other_amounts_under_the_same_status_and_money_that_vanished_conflict(
    theirs: Facts,
) -> None:
    assert drift(request(Status.PAID), theirs) is DriftClass.CONFLICTING_AMOUNT


def test_an_older_picture_without_money_lags() -> None:
    assert drift(request(Status.EXPIRED), Status.OPEN) is DriftClass.LAGGING


def test_a_contradiction_that_was_flagged_is_no_news_also_when_somebody_has_seen_to_it() -> None:
    flagged = refused(request(Status.EXPIRED), seen(Status.OPEN), code="regression_refused")
    seen_to = replace(flagged, attention=frozenset())

    assert drift(flagged, Status.OPEN) is None
    assert drift(seen_to, Status.OPEN) is None
    assert drift(seen_to, Status.CREATED) is DriftClass.LAGGING


def test_a_read_that_is_older_than_the_record_says_nothing() -> None:
    ours = replace(request(Status.PAID), lease_no=2)

    assert drift(ours, Status.OPEN) is None
