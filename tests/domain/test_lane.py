"""An endpoint's health: every state against every answer, and the pace of coming back."""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.lane import (
    HELD_SECONDS,
    Allowance,
    Lane,
    LaneState,
    Result,
    after_claim,
    after_drain,
    after_failure,
    after_success,
    may_send,
    paused,
    resumed,
)

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
RATE = 50.0
AT_ONCE = 1 + int(RATE * HELD_SECONDS)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def lane(state: LaneState = LaneState.OPEN, *, by_operator: bool = False) -> Lane:
    """A lane as it comes into each state, 15 s before its probe where it has one."""
    match state:
        case LaneState.OPEN:
            return Lane()
        case LaneState.DRAINING:
            return resumed(paused(Lane(), "paused"), now=NOW)
        case LaneState.PAUSED:
            return paused(Lane(), "paused")
        case LaneState.ON_HOLD:
            return failed(Lane(), code="gone" if by_operator else "http_401", result="hold")
        case LaneState.PROBING:
            return claimed(lane(LaneState.ON_HOLD), at=later(15))


def failed(
    before: Lane,
    *,
    subject: str = "prq_1",
    code: str = "http_503",
    result: Result = "retry",
    at: datetime = NOW,
) -> Lane:
    return after_failure(before, result, code, subject_id=subject, now=at)


def claimed(before: Lane, *, at: datetime, count: int = 1) -> Lane:
    is_probe = may_send(before, now=at, rate=RATE).is_probe
    sent = Allowance(count, is_probe=is_probe)
    return after_claim(before, sent, now=at, rate=RATE, timeout_seconds=25)


def allowed(at_lane: Lane, at: datetime = NOW, rate: float = RATE) -> Allowance:
    return may_send(at_lane, now=at, rate=rate)


OPEN, ON_HOLD, PROBING, DRAINING, PAUSED = LaneState


@pytest.mark.parametrize("state", LaneState)
def test_the_builder_reaches_every_state(state: LaneState) -> None:
    assert lane(state).state is state


@pytest.mark.parametrize(
    ("before", "success", "retry", "refused", "gone"),
    [
        (OPEN, OPEN, OPEN, ON_HOLD, ON_HOLD),
        (DRAINING, DRAINING, DRAINING, ON_HOLD, ON_HOLD),
        (ON_HOLD, DRAINING, ON_HOLD, ON_HOLD, ON_HOLD),
        (PROBING, DRAINING, ON_HOLD, ON_HOLD, ON_HOLD),
        (PAUSED, PAUSED, PAUSED, PAUSED, PAUSED),
    ],
)
def test_every_state_meets_every_answer(
    before: LaneState, success: LaneState, retry: LaneState, refused: LaneState, gone: LaneState
) -> None:
    start = lane(before)

    assert after_success(start, now=NOW).state is success
    assert failed(start).state is retry
    assert failed(start, code="http_403", result="hold").state is refused
    assert failed(start, code="gone", result="hold").state is gone


@pytest.mark.parametrize("state", LaneState)
def test_an_operator_pauses_and_resumes_from_every_state(state: LaneState) -> None:
    assert paused(lane(state), "paused").state is PAUSED
    assert resumed(lane(state), now=NOW).state is (OPEN if state is OPEN else DRAINING)


def test_five_failures_in_a_row_over_two_requests_put_it_on_hold() -> None:
    now = lane()
    for subject in ("prq_1", "prq_1", "prq_2", "prq_1"):
        now = failed(now, subject=subject)
        assert now.state is OPEN

    now = failed(now, subject="prq_1")

    assert (now.state, now.reason, now.probe_at) == (ON_HOLD, "http_503", later(15))


def test_many_failures_of_one_request_alone_do_not() -> None:
    now = lane()
    for _ in range(50):
        now = failed(now, subject="prq_1")

    assert now.state is OPEN


def test_a_success_forgets_the_failures_before_it() -> None:
    now = lane()
    for subject in ("prq_1", "prq_2", "prq_3", "prq_4"):
        now = failed(now, subject=subject)

    now = failed(after_success(now, now=NOW), subject="prq_5")

    assert (now.state, now.failures_in_row, now.several_failed) == (OPEN, 1, False)


@pytest.mark.parametrize(("seconds", "state"), [(599, OPEN), (600, ON_HOLD)])
def test_ten_minutes_without_a_success_put_it_on_hold(seconds: int, state: LaneState) -> None:
    assert failed(failed(lane()), at=later(seconds)).state is state


def test_quiet_hours_before_the_first_failure_do_not_count() -> None:
    served = after_success(failed(lane()), now=NOW)

    assert failed(served, at=later(9 * 3600)).state is OPEN


def test_an_endpoint_that_turns_everything_down_is_held_before_all_is_dead() -> None:
    now = lane()
    for number in range(5):
        now = failed(now, subject=f"prq_{number}", code="http_404", result="dead")

    assert now.state is ON_HOLD


def test_a_hold_for_refused_credentials_is_probed_and_one_for_410_is_not() -> None:
    assert allowed(lane(ON_HOLD), later(14.9)) == Allowance(0)
    assert allowed(lane(ON_HOLD), later(15)) == Allowance(1, is_probe=True)
    assert allowed(lane(ON_HOLD, by_operator=True), later(1e9)) == Allowance(0)


@pytest.mark.parametrize("code", ["http_503", "http_401"])
def test_only_an_operator_ends_the_hold_after_410(code: str) -> None:
    gone = lane(ON_HOLD, by_operator=True)

    assert after_success(gone, now=NOW) == gone
    assert failed(gone, code=code, result="hold") == gone
    assert resumed(gone, now=NOW).state is DRAINING


def test_probes_wait_15_seconds_and_then_twice_as_long_up_to_5_minutes() -> None:
    now, at, waits = lane(ON_HOLD), NOW, []
    for _ in range(7):
        assert now.probe_at is not None
        waits.append((now.probe_at - at).total_seconds())
        at = now.probe_at
        now = failed(claimed(now, at=at), at=at)

    assert waits == [15, 30, 60, 120, 240, 300, 300]


def test_one_probe_at_a_time_until_it_counts_as_lost() -> None:
    probing = claimed(lane(ON_HOLD), at=later(15))

    assert allowed(probing, later(15 + 24.9)) == Allowance(0)
    assert allowed(probing, later(15 + 25)) == Allowance(1, is_probe=True)


def test_a_late_failure_from_before_the_hold_does_not_lengthen_it() -> None:
    held = lane(ON_HOLD)

    assert failed(held, at=later(9)) == held


def test_a_good_probe_drains_at_one_a_second_doubling_every_ten_up_to_the_rate() -> None:
    draining = after_success(lane(PROBING), now=NOW)

    assert allowed(draining, NOW).count == 0
    for began, pace in enumerate((1, 2, 4, 8, 16, 32, 50, 50)):
        assert 8 * pace <= in_ten_seconds(began=10 * began) <= 10 * pace


def in_ten_seconds(*, began: int) -> int:
    """Return how many go from so many seconds after a drain began, looked at every tenth."""
    now, sent = claimed(lane(DRAINING), at=later(began), count=0), 0
    for tenth in range(1, 101):
        at = later(began + tenth / 10 - 1e-6)
        count = allowed(now, at).count
        now, sent = claimed(now, at=at, count=count), sent + count
    return sent


@pytest.mark.parametrize("rate", [1, 4, 5, 7, 16, 50, 333])
@pytest.mark.parametrize("look_seconds", [0.01, 0.1, 0.3, 0.95])
def test_no_second_has_more_than_the_rate_however_seldom_a_worker_looks(
    rate: int, look_seconds: float
) -> None:
    now, sent = lane(), []
    for look in range(1, int(4 / look_seconds)):
        at = later(look * look_seconds)
        count = allowed(now, at, rate=rate).count
        now = after_claim(now, Allowance(count), now=at, rate=rate, timeout_seconds=25)
        sent.append((look * look_seconds, count))

    for began, _ in sent:
        assert sum(count for at, count in sent if began <= at < began + 1 - 1e-6) <= rate


@pytest.mark.parametrize(("rate", "least"), [(1, 27), (5, 134), (50, 1340), (1000, 26_900)])
def test_an_open_lane_with_enough_to_send_comes_close_to_its_rate(rate: int, least: int) -> None:
    now, sent = lane(), 0
    for tenth in range(300):
        at = later(tenth / 10)
        count = allowed(now, at, rate=rate).count
        now = after_claim(now, Allowance(count), now=at, rate=rate, timeout_seconds=25)
        sent += count

    assert least <= sent <= 30 * rate


def test_a_rate_under_one_a_second_still_sends() -> None:
    assert allowed(lane(), rate=0.1) == Allowance(1)


@pytest.mark.parametrize(
    ("seconds", "waiting", "state"),
    [(1, 3, DRAINING), (1, 0, OPEN), (59, 3, DRAINING), (60, 3, OPEN)],
)
def test_a_drained_lane_opens(seconds: int, waiting: int, state: LaneState) -> None:
    drained = after_drain(lane(DRAINING), now=later(seconds), rate=RATE, waiting=waiting)

    assert drained.state is state


def test_a_lane_opened_early_is_back_at_its_rate() -> None:
    opened = after_drain(lane(DRAINING), now=later(1), rate=RATE, waiting=0)

    assert allowed(opened, later(2)).count == AT_ONCE


@pytest.mark.parametrize("state", [OPEN, ON_HOLD, PROBING, PAUSED])
def test_only_a_draining_lane_opens_by_having_nothing_to_send(state: LaneState) -> None:
    assert after_drain(lane(state), now=later(99), rate=RATE, waiting=0) == lane(state)


def test_a_lane_that_fails_while_draining_is_held_again() -> None:
    now = lane(DRAINING)
    for number in range(5):
        now = failed(now, subject=f"prq_{number}")

    assert (now.state, now.draining_since, now.probe_at) == (ON_HOLD, None, later(15))


def test_a_lane_forgotten_while_draining_and_a_clock_set_back_do_no_harm() -> None:
    assert allowed(lane(DRAINING), NOW + timedelta(days=9999)).count == AT_ONCE
    assert allowed(lane(DRAINING), later(-9999)).count == 0


@pytest.mark.parametrize(("state", "held"), [(s, s in (ON_HOLD, PROBING)) for s in LaneState])
def test_a_lane_is_held_while_its_own_answers_close_it(state: LaneState, *, held: bool) -> None:
    assert lane(state).is_held is held


@pytest.mark.parametrize("state", LaneState)
def test_a_lane_comes_back_from_its_columns(state: LaneState) -> None:
    columns = asdict(replace(lane(state), first_failed="prq_1"))

    plain = (str, int, float, bool, datetime, type(None))
    assert all(isinstance(value, plain) for value in columns.values())
    assert Lane(**columns | {"state": LaneState(str(columns["state"]))}).first_failed == "prq_1"
