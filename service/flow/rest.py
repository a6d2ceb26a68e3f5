"""How a claimed row goes back after a look: what it covered, and when to look again.

Pure decisions, apart from the jitter that spreads them; `judge` writes them down.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import random

import structlog

from service.domain.lifecycle import Contradiction, NoChange, Stale, Transition, Verdict
from service.domain.polling import (
    Place,
    PollPlan,
    Turn,
    end_of,
    error_wait_seconds,
    every_seconds,
    next_turn,
    place_in,
    reread_seconds,
    seconds_to_end,
)
from service.domain.request import (
    BelongsTo,
    Facts,
    Key,
    NotOurs,
    Observation,
    ObservedBy,
    PaymentRequest,
    Unclaimed,
    Unmapped,
)
from service.domain.status import RANK
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

    looks_after_end is for providers that show money for a while after a request has ended. calls
    is what the look cost, claims the highest rank that webhooks lately spoke of.
    """

    plan: PollPlan
    at: datetime
    looks_after_end: tuple[float, ...] = ()
    calls: int = 1
    claims: int | None = None


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
    """Decide when to look again. What is stale or contradictory closes no generation.

    What a webhook told is read again soon where nothing new was found, and where it claimed more.
    """
    match verdict:
        case Transition(after=after) | NoChange(after=after):
            rest = _until_next_look(claim, after, seen, watch)
            is_all = isinstance(verdict, Transition) and not shows_less(seen.facts, watch.claims)
            again = None if is_all or not _was_told(claim) else reread_seconds(claim.rereads)
            if again is None:
                return rest
            return replace(rest, next_seconds=again, rereads=claim.rereads + 1, reread=True)
        case Stale() | Contradiction():
            # However old the request is: what made us look is not answered yet.
            wait = (
                error_wait_seconds(claim.errors + 1, jitter=_jitter())
                or _until_next_look(claim, request, seen, watch).next_seconds
                or PARKED_LOOK_SECONDS
            )
            return Rest(claim, None, wait, errors=claim.errors + 1, known=True)


def shows_less(facts: Facts, claims: int | None) -> bool:
    """Return whether a read shows less than webhooks claim. What is held stands nowhere."""
    rank = RANK.get(facts.status)
    return claims is not None and rank is not None and claims > rank


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
            rest = Rest(claim, claim.wanted, PARKED_LOOK_SECONDS, parked="unmapped_status")
            age = timedelta(seconds=claim.due_seconds)
            turn = _turn_of(claim, None, age=age, plan=plan)
            return SetDown(_with_turn(rest, turn), flag=rest.parked)
        case Unclaimed():
            return SetDown(_unclaimed(claim))
        case None:
            return _after_failure(look, plan=plan, pauses=pauses)


def _after_failure(look: Look, *, plan: PollPlan, pauses: Mapping[str, float]) -> SetDown:
    """Postpone a look that failed. Source: CONTRACT.md, section 3, last paragraph."""
    claim = look.claimed
    errors = claim.errors + 1
    later = error_wait_seconds(errors, jitter=_jitter()) or _interval_seconds(claim, plan)
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


def _until_next_look(
    claim: Claimed, request: PaymentRequest, seen: Observation, watch: Watch
) -> Rest:
    """Rest until the next turn, or until the end asks for a look of its own."""
    age = max(watch.at - request.first_seen_at, timedelta(0))
    final = request.facts is not None and request.facts.final
    ends_at = end_of(claim.ends_at, told=seen.ends_at, final=final, at=watch.at)
    rest = Rest(
        claim,
        claim.wanted,
        seconds_to_end(ends_at, at=watch.at, looks_after_end=watch.looks_after_end),
        known=True,
        calls=watch.calls,
        listed=request.listing is not None,
        ends_at=ends_at,
    )
    return _with_turn(rest, _turn_of(claim, request.facts, age=age, plan=watch.plan))


def _turn_of(claim: Claimed, facts: Facts | None, *, age: timedelta, plan: PollPlan) -> Turn | None:
    """Return the next turn of a claimed row, None when the watch has ended."""
    every = every_seconds(facts, age=age, plan=plan)
    if every is None:
        return None
    place = place_in(
        every * claim.stretch,
        last_seconds=claim.paced_seconds,
        late_seconds=claim.late_seconds,
        in_turn=claim.observed_by == ObservedBy.POLL,
    )
    return next_turn(every, stretch=claim.stretch, place=place, jitter=_jitter())


def _interval_seconds(claim: Claimed, plan: PollPlan) -> float:
    """Return how long a row that keeps failing waits: as one that was never read."""
    age = timedelta(seconds=claim.due_seconds)
    every = every_seconds(None, age=age, plan=plan) or PARKED_LOOK_SECONDS
    turn = next_turn(every, stretch=claim.stretch, place=Place.KEPT, jitter=_jitter())
    return turn.wait_seconds


def _with_turn(rest: Rest, turn: Turn | None) -> Rest:
    """Return the rest that ends with its turn, unless it ends sooner: then that was no turn.

    Many may end at one time of day; none of them keeps that as its place.
    """
    if turn is None:
        return rest
    if rest.next_seconds is not None and rest.next_seconds < turn.wait_seconds:
        return replace(rest, every_seconds=turn.every_seconds)
    return replace(
        rest,
        next_seconds=turn.wait_seconds,
        every_seconds=turn.every_seconds,
        paced_seconds=turn.paced_seconds,
    )


def _jitter() -> float:
    return random()  # noqa: S311 - spreads work, guards nothing
