"""The schedule of a delivery, and what an ERP may change about it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.retry import DELIVERY_WAITS, next_attempt_seconds, parse_retry_after

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
HOUR = 3600.0


def test_the_schedule_is_the_contracts() -> None:
    hours = [0, 5 / 3600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24, 24, 24, 24]

    plain = [next_attempt_seconds(made, jitter=0.5) for made in range(len(hours))]

    assert plain == pytest.approx([hour * HOUR for hour in hours])
    assert timedelta(seconds=sum(DELIVERY_WAITS)) > timedelta(days=6)


def test_the_schedule_ends() -> None:
    assert next_attempt_seconds(12, jitter=0.5) == 24 * HOUR
    assert next_attempt_seconds(13, jitter=0.5) is None
    assert next_attempt_seconds(13, retry_after_seconds=60, jitter=0.5) is None


def test_an_endpoint_may_have_its_own_schedule() -> None:
    waits = [next_attempt_seconds(made, waits=[0, 7], jitter=0.5) for made in range(3)]

    assert waits == [0, 7, None]


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_jitter_moves_a_step_by_up_to_a_fifth(jitter: float, share: float) -> None:
    assert next_attempt_seconds(4, jitter=jitter) == pytest.approx(2 * HOUR * share)


@pytest.mark.parametrize(
    ("attempts_made", "asked", "waited"),
    [
        (1, 0, 5),
        (1, 120, 120),
        (1, 2 * HOUR, HOUR),
        (4, HOUR, 2 * HOUR),
        (4, 3 * HOUR, 3 * HOUR),
        (4, 99 * HOUR, 4 * HOUR),
    ],
)
def test_retry_after_counts_within_bounds(attempts_made: int, asked: float, waited: float) -> None:
    wait = next_attempt_seconds(attempts_made, retry_after_seconds=asked, jitter=0.5)

    assert wait == pytest.approx(waited)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("Fri, 20 Nov 2026 14:31:30 GMT", 90),
        ("Friday, 20-Nov-26 14:31:30 GMT", 90),
        ("Fri Nov 20 14:31:30 2026", 90),
        ("Fri, 20 Nov 2026 15:31:30 +0100", 90),
        ("Fri, 20 Nov 2020 14:31:30 GMT", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, seconds: float) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "soon", "-5", "1.5", "1e9", " 5", "5, 6", "٣", "9" * 40, "Fri, 99 Nov 2026 14:31:30 GMT"],
)
def test_an_unreadable_retry_after_is_none(value: str) -> None:
    assert parse_retry_after(value, now=NOW) is None


DATE_LIKE = st.text("MonTueFriNovDec GMT+-:,0123456789", max_size=40)


@given(st.one_of(st.text(), DATE_LIKE))
def test_a_hostile_retry_after_raises_nothing_and_is_never_negative(value: str) -> None:
    seconds = parse_retry_after(value, now=NOW)

    assert seconds is None or 0 <= seconds < float("inf")


@given(st.integers(0, 20), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_a_wait_never_leaves_its_bounds(made: int, jitter: float, asked: float | None) -> None:
    wait = next_attempt_seconds(made, retry_after_seconds=asked, jitter=jitter)

    if wait is None:
        assert made >= len(DELIVERY_WAITS)
    else:
        step = DELIVERY_WAITS[made]
        assert 0.8 * step - 1e-6 <= wait <= max(2 * step, HOUR)
