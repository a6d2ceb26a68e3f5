"""When to look again: by status, stretched with age and budget, spread over the whole round."""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.polling import (
    Place,
    PollPlan,
    end_of,
    error_wait_seconds,
    every_seconds,
    next_turn,
    place_in,
    reread_seconds,
    seconds_to_end,
)
from service.domain.request import Facts
from service.domain.status import Status
from tests.builders import SEEN_AT, facts

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
) -> float | None:
    return every_seconds(known, age=age, plan=plan)


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
@pytest.mark.parametrize(
    ("place", "soonest", "latest"),
    [
        (Place.FIRST, 0.1, 1.1),
        (Place.KEPT, 0.9, 1.1),
        (Place.ANOTHER, 0.5, 1.5),
        (Place.BEHIND_LIST, 0.9, 1.9),
    ],
)
def test_a_turn_lies_within_the_stretched_interval_as_its_place_says(
    place: Place, soonest: float, latest: float, jitter: float
) -> None:
    turn = next_turn(HOUR, stretch=3.0, place=place, jitter=jitter)

    assert (turn.every_seconds, turn.paced_seconds) == (HOUR, 3 * HOUR)
    assert turn.wait_seconds == pytest.approx((soonest + (latest - soonest) * jitter) * 3 * HOUR)


def place(
    *, paced: float = HOUR, last: float | None = HOUR, late: float = 0.0, in_turn: bool = True
) -> Place:
    return place_in(paced, last_seconds=last, late_seconds=late, in_turn=in_turn)


def test_only_a_request_that_came_to_its_turn_in_time_keeps_its_place() -> None:
    assert place() is Place.KEPT
    assert place(late=0.1 * HOUR) is Place.KEPT
    assert place(late=0.11 * HOUR) is Place.ANOTHER
    assert place(in_turn=False) is Place.ANOTHER
    assert place(last=None) is Place.FIRST


def test_a_round_that_grew_longer_gives_new_places_and_one_that_grew_shorter_does_not() -> None:
    assert place(paced=1.1 * HOUR) is Place.KEPT
    assert place(paced=2 * HOUR) is Place.ANOTHER
    assert place(paced=HOUR / 3) is Place.KEPT


Reads = Callable[[float, float], float]


def busiest_over_mean(count: int, *, hours: int, read_at: Reads) -> list[float]:
    """Play open requests that were made together; compare busiest and mean minute of each hour.

    read_at says when a look that is due at a time is made, given its number from 0 to 1.
    """
    random, minutes = Random(7), [0] * 60 * hours
    for number in range(count):
        due, last = 0.0, None
        while (at := read_at(due, number / count)) < hours * HOUR:
            minutes[int(at / MINUTE)] += 1
            every = look(facts(Status.OPEN), age=timedelta(seconds=at))
            assert every is not None
            where = place(paced=every, last=last, late=at - due)
            turn = next_turn(every, stretch=1.0, place=where, jitter=random.random())
            due, last = at + turn.wait_seconds, every
    # The first round has no turns yet.
    whole = [
        minutes[hour * 60 + (15 if hour == 0 else 0) : hour * 60 + 60] for hour in range(hours)
    ]
    return [max(each) * len(each) / max(sum(each), 1) for each in whole]


def test_100_000_requests_registered_at_once_do_not_come_due_together() -> None:
    (ratio,) = busiest_over_mean(100_000, hours=1, read_at=lambda due, _: due)

    assert ratio < 1.25


def test_those_made_together_stay_spread_when_their_intervals_grow() -> None:
    ratios = busiest_over_mean(20_000, hours=9, read_at=lambda due, _: due)

    # From 1 h and 6 h on intervals are twice as long: these two hours begin at the old pace.
    assert max(ratios[2:6]) < 1.25
    assert max(ratios[7:]) < 1.25
    assert max(ratios) < 2.1


def test_those_that_an_outage_made_late_do_not_come_due_together_again() -> None:
    """Nothing is read in the first three hours, and then everything within a minute."""
    back = 3 * HOUR

    ratios = busiest_over_mean(
        20_000, hours=6, read_at=lambda due, n: back + n * MINUTE if due < back else due
    )

    assert ratios[3] > 10
    assert max(ratios[4:]) < 1.25


def test_a_request_ends_when_it_is_said_to_or_when_it_was_first_seen_final() -> None:
    later, earlier = SEEN_AT + timedelta(hours=1), SEEN_AT - timedelta(hours=3)

    assert end_of(None, told=None, final=False, at=SEEN_AT) is None
    assert end_of(None, told=later, final=False, at=SEEN_AT) == later
    assert end_of(None, told=None, final=True, at=SEEN_AT) == SEEN_AT
    assert end_of(later, told=later, final=True, at=SEEN_AT) == SEEN_AT
    assert end_of(None, told=earlier, final=True, at=SEEN_AT) == earlier
    assert end_of(earlier, told=later, final=True, at=SEEN_AT) == earlier


def test_an_end_that_is_taken_back_is_none() -> None:
    assert end_of(SEEN_AT - timedelta(hours=3), told=None, final=False, at=SEEN_AT) is None


@pytest.mark.parametrize(
    ("hours", "seconds"),
    [(-2.0, 2 * HOUR + 2), (0.0, HOUR), (0.5, HOUR / 2), (1.0, 23 * HOUR), (25.0, None)],
)
def test_an_end_asks_for_a_look_just_after_it_and_for_those_that_the_provider_needs(
    hours: float, seconds: float | None
) -> None:
    def asked(ends_at: datetime | None, *looks: float) -> float | None:
        return seconds_to_end(ends_at, at=SEEN_AT, looks_after_end=looks)

    ended = SEEN_AT - timedelta(hours=hours)

    assert asked(ended, HOUR, DAY) == seconds
    assert asked(ended) == (seconds if hours < 0 else None)
    assert asked(None, HOUR, DAY) is None


def test_a_webhook_read_that_found_nothing_new_is_repeated_three_times() -> None:
    assert [reread_seconds(made) for made in range(5)] == [5, 30, 300, None, None]


def test_errors_wait_longer_and_end_at_the_polling_interval() -> None:
    waits = [error_wait_seconds(errors, jitter=0.5) for errors in range(1, 8)]

    assert waits == [2, 5, 15, 60, 300, None, None]


def test_waits_after_errors_are_spread() -> None:
    assert error_wait_seconds(1, jitter=0) == pytest.approx(1.8)
    assert error_wait_seconds(1, jitter=1) == pytest.approx(2.2)
