"""What looking costs: one by one, or by a walk through a list; and what does not fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.pace import (
    Alike,
    Believed,
    Plan,
    Walk,
    plan_looks,
    stretch_for,
)

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ALL_TRUE = Believed()


def alike(
    count: int = 1000,
    *,
    every: float | None = 15 * MINUTE,
    listed: bool = True,
    since: float = HOUR,
    calls: int | None = None,
) -> Alike:
    return Alike(count, count if calls is None else calls, every, listed, since)


def plan(*groups: Alike, entries: int | None = 100, believed: Believed = ALL_TRUE) -> Plan:
    return plan_looks(groups, entries_per_page=entries, believed=believed)


def test_without_a_list_every_look_costs_its_calls() -> None:
    groups = alike(900), alike(100, every=DAY, calls=300), alike(50_000, every=None)

    found = plan(*groups, entries=None)

    assert found.calls_a_second == pytest.approx(1.0 + 300 / DAY)
    assert found.walk is None


def test_nothing_to_look_at_costs_nothing() -> None:
    assert plan() == Plan(0.0)
    assert plan(alike(5000, every=None)) == Plan(0.0)


def test_a_walk_comes_round_before_the_turns_that_it_stands_for() -> None:
    found = plan(alike(1000))

    assert found.walk == Walk(12 * MINUTE, HOUR, pages=10, same=1000)
    assert found.calls_a_second == pytest.approx(10 / (12 * MINUTE))


def test_a_walk_that_costs_as_much_as_the_looks_is_not_made() -> None:
    assert plan(alike(1000), entries=1).walk is None
    assert plan(alike(1)).walk is None


def test_what_no_list_shows_is_looked_at_beside_the_walk() -> None:
    found = plan(alike(1000), alike(90, listed=False))

    assert found.walk is not None
    assert found.calls_a_second == pytest.approx(11 / (12 * MINUTE) + 90 / (15 * MINUTE))


def test_a_walk_goes_back_no_further_than_it_is_worth() -> None:
    """Old ones that are looked at once a day do not make a walk through all of them worth it."""
    found = plan(alike(500), alike(20_000, every=DAY, since=60 * DAY), entries=50)

    assert found.walk is not None
    assert (found.walk.since_seconds, found.walk.pages) == (HOUR, 10)


def test_entries_that_nobody_looks_at_cost_pages_all_the_same() -> None:
    found = plan(alike(100), alike(20_000, every=None, listed=False, since=HOUR))

    assert found.walk is None


def test_a_few_that_are_looked_at_more_often_do_not_hurry_the_walk() -> None:
    found = plan(alike(2000, every=HOUR), alike(3, every=5 * MINUTE))

    assert found.walk is not None
    assert found.walk.every_seconds == 0.8 * HOUR


def test_a_walk_that_found_little_as_recorded_is_not_believed_in_again() -> None:
    assert plan(alike(1000), believed=Believed(pages=1.0, same=0.05)).walk is None
    assert plan(alike(1000), believed=Believed(pages=99.0, same=1.0)).walk is None
    assert plan(alike(1000), believed=Believed(pages=2.0, same=0.9)).walk is not None


@given(
    st.lists(
        st.builds(
            alike,
            st.integers(1, 10**6),
            every=st.none() | st.sampled_from([1.0, 5 * MINUTE, 15 * MINUTE, DAY]),
            listed=st.booleans(),
            since=st.sampled_from([HOUR, 6 * HOUR, DAY, 60 * DAY]),
        ),
        max_size=12,
    ),
    st.integers(1, 500),
)
def test_a_plan_is_never_dearer_than_looking_one_by_one(groups: list[Alike], entries: int) -> None:
    found, alone = plan(*groups, entries=entries), plan(*groups, entries=None)

    assert 0 <= found.calls_a_second <= alone.calls_a_second
    assert (found.walk is None) == (found == alone)


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_stretched_plans_fit_and_plans_that_fit_are_not_stretched(
    planned: float, possible: float
) -> None:
    stretch = stretch_for(planned, possible=possible)

    assert planned / stretch <= possible
    assert (stretch == 1.0) == (planned <= possible)
