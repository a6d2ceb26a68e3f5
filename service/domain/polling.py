"""When to look at a request again without being told: the safety net behind the webhooks.

Pure plans in seconds; randomness comes in as jitter, a number from 0 to 1, so that many requests
of one age do not fall due together. Source: CONTRACT.md, section 3; STATUSES.md, section 3.
"""

from dataclasses import dataclass
from datetime import timedelta
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


def next_look_seconds(
    facts: Facts | None, *, age: timedelta, plan: PollPlan, jitter: float
) -> float | None:
    """Return in how many seconds to look again, or None when the watch has ended.

    age is the time since we first saw the request; facts is None while it was never read. The
    interval stretches with age and is spread by 10 % either way. From plan.max_age on there is no
    next look: only a webhook or a person brings the request back.
    """
    if age >= plan.max_age:
        return None
    wish = interval(facts, plan)
    factor = next((factor for since, factor in _STRETCH if age >= since), 1)
    return _spread(min(wish * factor, max(wish, _STRETCHED_MAX)).total_seconds(), jitter)


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
