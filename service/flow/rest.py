"""How a claimed row goes back after a look: what it covered, and when to look again.

Pure decisions, apart from the jitter that spreads them; `judge` writes them down.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import random

import structlog

from service.domain.lifecycle import Contradiction, NoChange, Stale, Transition, Verdict
from service.domain.polling import (
    PollPlan,
    error_wait_seconds,
    next_look_seconds,
    reread_seconds,
)
from service.domain.request import (
    BelongsTo,
    Key,
    NotOurs,
    Observation,
    ObservedBy,
    PaymentRequest,
    Unclaimed,
    Unmapped,
)
from service.errors import NotAllowedYet, NotFoundThere, TooManyCalls, Unauthorised, Unreadable
from service.flow.look import ACCOUNT_NOT_CONFIGURED, CRASHED_TOO_OFTEN, Look
from service.storage.due import Claimed, Rest

log = structlog.get_logger()

# Unknown at the provider for this long: parked. Source: CONTRACT.md, section 3.
NOT_FOUND_SECONDS_MAX = 24 * 3600.0

# Unreadable answers in a row after which a request is parked; it is still read at its interval.
UNREADABLE_MAX = 8

# A part that no request claims within this time is set aside, and still bound if the link appears
# later. Source: STATUSES.md, section 2, point 3.
UNCLAIMED_SECONDS_MAX = 24 * 3600.0

# What a provider says ends at a time is looked at just after it.
ENDED_SECONDS = 2.0

# How often something parked is looked at without being asked.
PARKED_LOOK_SECONDS = 24 * 3600.0

# Unregistered for this long, where only registered requests count: left until somebody asks.
# Source: CONTRACT.md, section 3, `discover`.
SET_ASIDE_SECONDS = 24 * 3600.0

# What stands in our own way closes nothing and is tried again: with the next release a crash may
# be mended, and during a rollout another process knows the account already.
_NOT_READ = {CRASHED_TOO_OFTEN: PARKED_LOOK_SECONDS, ACCOUNT_NOT_CONFIGURED: 300.0}


@dataclass(frozen=True, slots=True)
class Watch:
    """What decides when to look again.

    looks_after_end is for providers that show money for a while after a request has ended.
    """

    plan: PollPlan
    at: datetime
    looks_after_end: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class SetDown:
    """A look without an observation: how its row rests, and the code its request is flagged with.

    trigger is the request that has to be read instead.
    """

    rest: Rest
    flag: str | None = None
    trigger: Key | None = None


def rest_after(
    claim: Claimed, verdict: Verdict, *, seen: Observation, request: PaymentRequest, watch: Watch
) -> Rest:
    """Decide when to look again. What is stale or contradictory closes no generation."""
    match verdict:
        case Transition(before=before, after=after):
            wait = _next_look(after, seen, watch)
            if after.facts and after.facts.final and not (before.facts and before.facts.final):
                wait = _soonest(wait, *watch.looks_after_end[:1])
            return Rest(claim, claim.wanted, wait, known=True)
        case NoChange(after=after):
            again = reread_seconds(claim.rereads) if _was_told(claim) else None
            if again is not None:
                return Rest(
                    claim,
                    claim.wanted,
                    again,
                    rereads=claim.rereads + 1,
                    reread=True,
                    known=True,
                )
            return Rest(claim, claim.wanted, _next_look(after, seen, watch), known=True)
        case Stale() | Contradiction():
            # However old the request is: what made us look is not answered yet.
            wait = (
                error_wait_seconds(claim.errors + 1, jitter=_jitter())
                or _next_look(request, seen, watch)
                or PARKED_LOOK_SECONDS
            )
            return Rest(claim, None, wait, errors=claim.errors + 1, known=True)


def set_down(look: Look, *, plan: PollPlan, pauses: Mapping[str, float]) -> SetDown:
    """Close a look that brought nothing to record: what next depends on why."""
    claim = look.claimed
    match look.answer:
        case Observation():
            again = None if claim.due_seconds >= SET_ASIDE_SECONDS else PARKED_LOOK_SECONDS
            return SetDown(Rest(claim, claim.wanted, again, parked="unregistered"))
        case BelongsTo(kind=kind, provider_id=provider_id):
            owner = Key(claim.account, kind, provider_id)
            rest = Rest(claim, claim.wanted, None, parked="part_of_another")
            return SetDown(rest, trigger=owner)
        case NotOurs(reason=reason) if reason in _NOT_READ:
            rest = Rest(claim, None, _NOT_READ[reason], errors=claim.errors, parked=reason)
            return SetDown(rest, flag=reason)
        case NotOurs(reason=reason):
            return SetDown(Rest(claim, claim.wanted, None, parked=reason), flag=reason)
        case Unmapped(word=word):
            log.error(
                "request.parked",
                account=claim.account,
                provider_id=claim.provider_id,
                reason="unmapped_status",
                provider_status=word,
            )
            code = "unmapped_status"
            return SetDown(
                Rest(claim, claim.wanted, plan.open.total_seconds(), parked=code), flag=code
            )
        case Unclaimed():
            return SetDown(_unclaimed(claim))
        case None:
            return _after_failure(look, plan=plan, pauses=pauses)


def _after_failure(look: Look, *, plan: PollPlan, pauses: Mapping[str, float]) -> SetDown:
    """Postpone a look that failed. Source: CONTRACT.md, section 3, last paragraph."""
    claim = look.claimed
    errors = claim.errors + 1
    later = error_wait_seconds(errors, jitter=_jitter()) or plan.open.total_seconds()
    match look.failure:
        case NotAllowedYet(retry_after_seconds=seconds):
            return SetDown(Rest(claim, None, seconds or 1.0, errors=claim.errors))
        case TooManyCalls() | Unauthorised():
            # The request did nothing wrong: its account waits, and no error is counted.
            return SetDown(Rest(claim, None, pauses[claim.account], errors=claim.errors))
        case NotFoundThere() if claim.failing_seconds >= NOT_FOUND_SECONDS_MAX:
            code = "not_found_at_provider"
            rest = Rest(claim, claim.wanted, PARKED_LOOK_SECONDS, errors=errors, parked=code)
            return SetDown(rest, flag=code)
        case Unreadable(code=code, detail=detail) if errors >= UNREADABLE_MAX:
            log.error(
                "request.parked",
                account=claim.account,
                provider_id=claim.provider_id,
                reason=code,
                detail=detail,
            )
            return SetDown(Rest(claim, None, later, errors=errors, parked=code), flag=code)
        case failure:
            log.warning("request.postponed", account=claim.account, reason=str(failure))
            return SetDown(Rest(claim, None, later, errors=errors))


def _unclaimed(claim: Claimed) -> Rest:
    """Keep a part whose request is not known yet; the read that names it wakes it up."""
    if claim.due_seconds >= UNCLAIMED_SECONDS_MAX:
        return Rest(claim, claim.wanted, None, parked="not_a_billing_request")
    return Rest(claim, None, UNCLAIMED_SECONDS_MAX - claim.due_seconds, parked="unclaimed")


def _was_told(claim: Claimed) -> bool:
    """Return whether a webhook made us look: replicas lag, so it is read again soon."""
    return claim.observed_by == ObservedBy.WEBHOOK


def _next_look(request: PaymentRequest, seen: Observation, watch: Watch) -> float | None:
    """Return the plan's next look, or the one just after the provider stops taking money."""
    age = max(watch.at - request.first_seen_at, timedelta(0))
    wait = next_look_seconds(request.facts, age=age, plan=watch.plan, jitter=_jitter())
    if seen.ends_at is None or seen.ends_at <= watch.at:
        return wait
    return _soonest(wait, (seen.ends_at - watch.at).total_seconds() + ENDED_SECONDS)


def _soonest(wait: float | None, *others: float) -> float | None:
    waits = [*others, *([] if wait is None else [wait])]
    return min(waits, default=None)


def _jitter() -> float:
    return random()  # noqa: S311 - spreads work, guards nothing
