"""When to look at a request again without being told: the safety net behind the webhooks.

Pure plans in seconds; randomness comes in as jitter, a number from 0 to 1. Requests take places in
a round that is as long as their interval: who comes to its turn keeps its place, everybody else is
given one anywhere in the round, so that many that were made, stretched or late together do not fall
due together again. Source: CONTRACT.md, section 3; STATUSES.md, sections 2 and 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from service.domain.request import Facts
from service.domain.status import Status


@dataclass(frozen=True, slots=True)
class PollPlan:
    """How often to look at a request that is fresh, by what it is at, and how long at all."""

    open: timedelta
    processing: timedelta
    paid: timedelta
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class Turn:
    """The next turn of a request: the interval wished for, as stretched, and the wait itself."""

    every_seconds: float
    paced_seconds: float
    wait_seconds: float


class Place(Enum):
    """Where in the coming round a turn lies: the soonest, and how wide, in intervals."""

    FIRST = (0.1, 1.0)
    KEPT = (0.9, 0.2)
    # As long as the interval on average: a request that was late must not be looked at more often.
    ANOTHER = (0.5, 1.0)
    # Of one that a list shows as recorded: it stands in for the look, and for the one in between.
    BEHIND_LIST = (0.9, 1.0)


_EXECUTING = frozenset({Status.PROCESSING, Status.PART_PAID, Status.HELD})
_WITH_MONEY = frozenset({Status.PAID, Status.SETTLED, Status.REVERSED})

# From this age on, intervals are this many times as long as the plan says. Nearly all that will be
# paid at all is paid early, so the young ones get the calls.
_STRETCH: Final = (
    (timedelta(days=1), 8),
    (timedelta(hours=6), 4),
    (timedelta(hours=1), 2),
    (timedelta(minutes=15), 1),
)

# Stretching ends here: whatever a webhook did not tell is found within a day, unless the plan
# itself wishes for more.
_STRETCHED_MAX: Final = timedelta(days=1)

# Waits after a webhook read that found nothing new. Source: STATUSES.md, section 3, rule 10.
_REREAD_SECONDS: Final = (5.0, 30.0, 300.0)

# Waits after a provider error. Source: CONTRACT.md, section 3.
_ERROR_WAIT_SECONDS: Final = (2.0, 5.0, 15.0, 60.0, 300.0)

# What a provider says ends at a time is looked at just after it.
_ENDED_SECONDS: Final = 2.0

# A place is lost by coming later than this, or when the interval has become so much longer that
# the old places fill only a part of the round; both in intervals.
_LATE_MAX: Final = 0.1
_LONGER_MAX: Final = 1.1


def every_seconds(facts: Facts | None, *, age: timedelta, plan: PollPlan) -> float | None:
    """Return how often to look at a request of this age, or None when the watch has ended.

    age is the time since we first saw the request; facts is None while it was never read. From
    plan.max_age on nobody looks by himself: only a webhook or a person brings the request back.
    """
    if age >= plan.max_age:
        return None
    wish = interval(facts, plan)
    factor = next((factor for since, factor in _STRETCH if age >= since), 1)
    return min(wish * factor, max(wish, _STRETCHED_MAX)).total_seconds()


def next_turn(every_seconds: float, *, stretch: float, place: Place, jitter: float) -> Turn:
    """Return the turn at this place of a round that the account's budget stretches."""
    soonest, width = place.value
    paced = every_seconds * stretch
    return Turn(every_seconds, paced, paced * (soonest + width * jitter))


def place_in(
    paced_seconds: float, *, last_seconds: float | None, late_seconds: float, in_turn: bool
) -> Place:
    """Return which place is due in a round of paced_seconds.

    last_seconds is how long the last round was, None before the first; in_turn is whether it was
    its turn that had the request read, and not a webhook or a person; late_seconds how long after.
    """
    if last_seconds is None:
        return Place.FIRST
    is_late = late_seconds > last_seconds * _LATE_MAX
    is_longer = paced_seconds > last_seconds * _LONGER_MAX
    return Place.KEPT if in_turn and not is_late and not is_longer else Place.ANOTHER


def end_of(
    known: datetime | None, *, told: datetime | None, final: bool, at: datetime
) -> datetime | None:
    """Return when a request ends, or ended; None where nobody knows.

    known is what we noted before, told what the provider says of it. One that is final has ended
    when we first saw that it is, if not before.
    """
    if not final:
        return told
    return min(end for end in (at, known, told) if end is not None)


def seconds_to_end(
    ends_at: datetime | None, *, at: datetime, looks_after_end: Sequence[float]
) -> float | None:
    """Return in how many seconds to look because of the end: just after it, and then again.

    looks_after_end are the seconds after which money may still show. None once all are past.
    """
    if ends_at is None:
        return None
    passed = (at - ends_at).total_seconds()
    if passed < 0:
        return _ENDED_SECONDS - passed
    return min((after - passed for after in looks_after_end if after > passed), default=None)


def interval(facts: Facts | None, plan: PollPlan) -> timedelta:
    """Return the plan's wish for a fresh request.

    What is paid or final is watched for payouts, refunds and reversals, and for late money.
    """
    if facts is None:
        return plan.open
    if facts.final or facts.status in _WITH_MONEY:
        return plan.paid
    return plan.processing if facts.status in _EXECUTING else plan.open


def reread_seconds(rereads: int) -> float | None:
    """Return when to repeat a webhook read that found nothing new, None when that was enough.

    rereads counts the repeats already made. The provider's replicas may lag behind its webhook.
    """
    return _REREAD_SECONDS[rereads] if rereads < len(_REREAD_SECONDS) else None


def error_wait_seconds(errors: int, *, jitter: float) -> float | None:
    """Return how long to wait after a provider error, None for the polling interval.

    errors counts the failures in a row, this one included. Waits are spread by 10 % either way.
    """
    if errors > len(_ERROR_WAIT_SECONDS):
        return None
    return _spread(_ERROR_WAIT_SECONDS[errors - 1], jitter)


def _spread(seconds: float, jitter: float) -> float:
    """Return seconds shortened or lengthened by up to 10 %."""
    return seconds * (0.9 + 0.2 * jitter)
