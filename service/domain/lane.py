"""An endpoint's health: how much may go to it now, and what an answer changes about that.

open      sends up to the endpoint's rate
on_hold   sends nothing until probe_at; without a probe_at, until an operator resumes it
probing   one delivery, the oldest waiting, is on its way to find out
draining  a probe went well: 1 a second, doubling every 10 s up to the rate, then open again
paused    an operator stopped it; answers still under way change nothing

Nothing is dropped in any of them. Source: CONTRACT.md, section 5. Pure: callers lock the lane's
row, keep what comes back and hand in `now`; every field is one plain column.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal, assert_never

FAILURES_MAX: Final = 5
WITHOUT_SUCCESS_MAX: Final = timedelta(minutes=10)
PROBE_WAIT_SECONDS_MIN: Final = 15.0
PROBE_WAIT_SECONDS_MAX: Final = 300.0
DRAIN_DOUBLES_EVERY: Final = timedelta(seconds=10)
HELD_SECONDS: Final = 0.1  # How often a worker looks at a lane that is held back by its rate.
DOUBLINGS_MAX: Final = 30  # More than any rate needs; keeps the power finite on a forgotten lane.

# What one attempt came to. "hold" is news about the endpoint rather than about the delivery.
Result = Literal["delivered", "retry", "dead", "hold"]

# The code of an answer 410: only an operator ends the hold that follows it.
GONE: Final = "gone"


class LaneState(StrEnum):
    """The words are fixed in the contract's endpoint object."""

    OPEN = "open"
    ON_HOLD = "on_hold"
    PROBING = "probing"
    DRAINING = "draining"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Lane:
    """The health of one endpoint.

    reason is the code of what closed it, None while it is open or draining. failures_in_row,
    first_failed (a request or order), several_failed and failing_since tell of the failures since
    the last success. probe_at is when the next probe may go, or while probing when the one under
    way counts as lost. credit is how many deliveries may go at credited_at, None before the first.
    """

    state: LaneState = LaneState.OPEN
    reason: str | None = None
    failures_in_row: int = 0
    first_failed: str | None = None
    several_failed: bool = False
    failing_since: datetime | None = None
    probe_wait_seconds: float = PROBE_WAIT_SECONDS_MIN
    probe_at: datetime | None = None
    draining_since: datetime | None = None
    credit: float = 0.0
    credited_at: datetime | None = None

    @property
    def is_held(self) -> bool:
        """Whether the endpoint's own answers closed it; a change to True is worth an alert."""
        return self.state in (LaneState.ON_HOLD, LaneState.PROBING)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many deliveries may go now.

    A probe is the oldest waiting delivery, and its attempt does not count in the schedule.
    """

    count: int
    is_probe: bool = False


def may_send(lane: Lane, *, now: datetime, rate: float) -> Allowance:
    """Return what may go to the endpoint now; rate is its own limit in deliveries a second."""
    match lane.state:
        case LaneState.OPEN | LaneState.DRAINING:
            return Allowance(int(_credit(lane, now=now, rate=rate)))
        case LaneState.ON_HOLD | LaneState.PROBING:
            is_due = lane.probe_at is not None and lane.probe_at <= now
            return Allowance(1, is_probe=True) if is_due else Allowance(0)
        case LaneState.PAUSED:
            return Allowance(0)
        case _ as never:
            assert_never(never)


def after_claim(
    lane: Lane, sent: Allowance, *, now: datetime, rate: float, timeout_seconds: float
) -> Lane:
    """Return the lane once sent.count deliveries, at most what it allows, are on their way.

    A probe that has not come back after timeout_seconds counts as lost, and another may go.
    """
    if sent.count == 0:
        return lane
    if sent.is_probe:
        lapses_at = now + timedelta(seconds=timeout_seconds)
        return replace(lane, state=LaneState.PROBING, probe_at=lapses_at)
    return replace(lane, credit=_credit(lane, now=now, rate=rate) - sent.count, credited_at=now)


def after_success(lane: Lane, *, now: datetime) -> Lane:
    """Return the lane once a delivery arrived: any success ends a hold that probes may end."""
    match lane.state:
        case LaneState.OPEN | LaneState.DRAINING:
            return _forgiven(lane)
        case LaneState.ON_HOLD | LaneState.PROBING:
            return _draining(lane, now=now) if lane.probe_at is not None else lane
        case LaneState.PAUSED:
            return lane
        case _ as never:
            assert_never(never)


def after_failure(lane: Lane, result: Result, code: str, *, subject_id: str, now: datetime) -> Lane:
    """Return the lane once an attempt for a request or order (subject_id) failed with code.

    A dead letter counts as a failure of the endpoint too: where every delivery is turned down,
    the hold keeps the rest from going the same way.
    """
    if code == GONE and lane.state is not LaneState.PAUSED:
        return replace(lane, state=LaneState.ON_HOLD, reason=code, probe_at=None)
    match lane.state:
        case LaneState.OPEN | LaneState.DRAINING:
            failed = _counted(lane, subject_id=subject_id, now=now)
            if result == "hold" or _keeps_failing(failed, now=now):
                return _held(failed, code, wait_seconds=PROBE_WAIT_SECONDS_MIN, now=now)
            return failed
        case LaneState.PROBING:
            wait_seconds = min(2 * lane.probe_wait_seconds, PROBE_WAIT_SECONDS_MAX)
            return _held(lane, code, wait_seconds=wait_seconds, now=now)
        case LaneState.ON_HOLD | LaneState.PAUSED:
            return lane  # The late answer to an attempt from before.
        case _ as never:
            assert_never(never)


def after_drain(lane: Lane, *, now: datetime, rate: float, waiting: int) -> Lane:
    """Return the lane open if it was draining and reached its rate, or has nothing waiting."""
    if lane.state is not LaneState.DRAINING:
        return lane
    if waiting and _rate_now(lane, now=now, rate=rate) < rate:
        return lane
    return replace(lane, state=LaneState.OPEN, draining_since=None)


def paused(lane: Lane, reason: str) -> Lane:
    """Return the lane as an operator, or the endpoint's removal, stops it."""
    return replace(lane, state=LaneState.PAUSED, reason=reason)


def resumed(lane: Lane, *, now: datetime) -> Lane:
    """Return the lane as an operator starts it again: gently, whatever had stopped it."""
    if lane.state in (LaneState.OPEN, LaneState.DRAINING):
        return lane
    return _draining(lane, now=now)


def _counted(lane: Lane, *, subject_id: str, now: datetime) -> Lane:
    return replace(
        lane,
        failures_in_row=lane.failures_in_row + 1,
        first_failed=lane.first_failed or subject_id,
        several_failed=lane.several_failed or lane.first_failed not in (None, subject_id),
        failing_since=lane.failing_since or now,
    )


def _keeps_failing(lane: Lane, *, now: datetime) -> bool:
    """Return whether the failures are the endpoint's, not one unlucky delivery's."""
    in_a_row = lane.failures_in_row >= FAILURES_MAX and lane.several_failed
    for_long = lane.failing_since is not None and now - lane.failing_since >= WITHOUT_SUCCESS_MAX
    return in_a_row or for_long


def _held(lane: Lane, reason: str, *, wait_seconds: float, now: datetime) -> Lane:
    return replace(
        lane,
        state=LaneState.ON_HOLD,
        reason=reason,
        probe_wait_seconds=wait_seconds,
        probe_at=now + timedelta(seconds=wait_seconds),
        draining_since=None,
    )


def _draining(lane: Lane, *, now: datetime) -> Lane:
    return Lane(state=LaneState.DRAINING, draining_since=now, credited_at=now)


def _forgiven(lane: Lane) -> Lane:
    return replace(
        lane, failures_in_row=0, first_failed=None, several_failed=False, failing_since=None
    )


def _rate_now(lane: Lane, *, now: datetime, rate: float) -> float:
    if lane.draining_since is None:
        return rate
    doublings = min((now - lane.draining_since) // DRAIN_DOUBLES_EVERY, DOUBLINGS_MAX)
    return min(rate, 2.0 ** max(doublings, 0))


def _credit(lane: Lane, *, now: datetime, rate: float) -> float:
    """Return how many deliveries may go: a bucket that holds what a worker's look may have missed.

    It fills at nine tenths of the rate, so that a full bucket and what comes in during a second
    make the rate together: in no second do more go, after however long a silence.
    """
    rate_now = _rate_now(lane, now=now, rate=rate)
    full = 1.0 + rate_now * HELD_SECONDS
    if lane.credited_at is None:
        return full
    elapsed_seconds = max((now - lane.credited_at).total_seconds(), 0.0)
    return min(full, lane.credit + elapsed_seconds * rate_now * (1.0 - HELD_SECONDS))
