"""When to look again: by status, stretched with age, spread by jitter."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.polling import (
    PollPlan,
    error_wait_seconds,
    next_look_seconds,
    reread_seconds,
)
from service.domain.request import Facts
from service.domain.status import Status
from tests.builders import facts

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR
PLAN = PollPlan(
    open=timedelta(minutes=15),
    processing=timedelta(minutes=5),
    paid=timedelta(days=1),
    max_age=timedelta(days=60),
)


def look(
    known: Facts | None = None,
    *,
    age: timedelta = timedelta(0),
    plan: PollPlan = PLAN,
    jitter: float = 0.5,
) -> float | None:
    return next_look_seconds(known, age=age, plan=plan, jitter=jitter)


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        (Status.CREATED, 15 * MINUTE),
        (Status.OPEN, 15 * MINUTE),
        (Status.AUTHORISING, 15 * MINUTE),
        (Status.ACCEPTED, 15 * MINUTE),
        (Status.FAILED, 15 * MINUTE),
        (Status.PROCESSING, 5 * MINUTE),
        (Status.HELD, 5 * MINUTE),
        (Status.PART_PAID, 5 * MINUTE),
        (Status.PAID, DAY),
        (Status.SETTLED, DAY),
        (Status.REVERSED, DAY),
    ],
)
def test_a_fresh_request_is_looked_at_as_its_status_asks(status: Status, seconds: float) -> None:
    assert look(facts(status, final=False)) == seconds


@pytest.mark.parametrize("status", Status)
def test_a_final_request_is_watched_for_money_at_the_rate_of_paid_ones(status: Status) -> None:
    assert look(facts(status, final=True)) == DAY


def test_a_request_that_was_never_read_counts_as_open() -> None:
    assert look(None) == 15 * MINUTE


@pytest.mark.parametrize(
    ("age", "factor"),
    [
        (timedelta(seconds=-5), 1),
        (timedelta(minutes=14), 1),
        (timedelta(minutes=15), 1),
        (timedelta(minutes=59), 1),
        (timedelta(hours=1), 2),
        (timedelta(hours=6), 4),
        (timedelta(days=1), 8),
        (timedelta(days=59), 8),
    ],
)
def test_intervals_stretch_with_age(age: timedelta, factor: int) -> None:
    assert look(facts(Status.OPEN), age=age) == factor * 15 * MINUTE


def test_stretching_ends_at_a_day() -> None:
    hourly = PollPlan(timedelta(hours=6), timedelta(hours=1), timedelta(days=3), PLAN.max_age)
    old = timedelta(days=10)

    assert look(facts(Status.OPEN), age=old, plan=hourly) == DAY
    assert look(facts(Status.PROCESSING), age=old, plan=hourly) == 8 * HOUR
    assert look(facts(Status.PAID), age=old, plan=hourly) == 3 * DAY


@pytest.mark.parametrize("status", Status)
def test_the_watch_ends_at_its_maximum_age(status: Status) -> None:
    assert look(facts(status), age=PLAN.max_age) is None
    assert look(facts(status), age=PLAN.max_age - timedelta(seconds=1)) is not None


@given(jitter=st.floats(min_value=0, max_value=1))
def test_jitter_spreads_a_look_by_a_tenth_either_way(jitter: float) -> None:
    seconds = look(facts(Status.OPEN), jitter=jitter)

    assert seconds == pytest.approx(13.5 * MINUTE + jitter * 3 * MINUTE)


def test_a_webhook_read_that_found_nothing_new_is_repeated_three_times() -> None:
    assert [reread_seconds(made) for made in range(5)] == [5, 30, 300, None, None]


def test_errors_wait_longer_and_end_at_the_polling_interval() -> None:
    waits = [error_wait_seconds(errors, jitter=0.5) for errors in range(1, 8)]

    assert waits == [2, 5, 15, 60, 300, None, None]


def test_waits_after_errors_are_spread() -> None:
    assert error_wait_seconds(1, jitter=0) == pytest.approx(1.8)
    assert error_wait_seconds(1, jitter=1) == pytest.approx(2.2)
