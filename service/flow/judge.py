"""Compares looks with the record and writes what follows, one transaction for the batch.

A look that fails never spoils its neighbours: what could be read is recorded, the rest is
postponed or set aside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import random

import structlog

from service.domain.lifecycle import Contradiction, NoChange, Stale, Transition, Verdict, advance
from service.domain.polling import error_wait_seconds, next_look_seconds, reread_seconds
from service.domain.request import (
    BelongsTo,
    Key,
    NotOurs,
    Observation,
    ObservedBy,
    PaymentRequest,
    Unmapped,
)
from service.errors import (
    NotAllowedYet,
    NotFoundThere,
    TooManyCalls,
    Unauthorised,
    Unreadable,
)
from service.flow.look import (
    ACCOUNT_NOT_CONFIGURED,
    CRASHED_TOO_OFTEN,
    Look,
    SyncParts,
    pause_after,
)
from service.flow.record import Cause, Moved, record_moves, roll_up_orders
from service.storage.due import Claimed, Rest
from service.storage.history import ObservationRow
from service.storage.identifiers import new_id
from service.storage.unit_of_work import Work, unit_of_work
from service.telemetry import metrics

log = structlog.get_logger()

# Unknown at the provider for this long: parked. Source: CONTRACT.md, section 3.
NOT_FOUND_SECONDS_MAX = 24 * 3600.0

# Unreadable answers in a row after which a request is parked; it is still read at its interval.
UNREADABLE_MAX = 8

# How often something parked is looked at without being asked.
PARKED_LOOK_SECONDS = 24 * 3600.0

# Unregistered for this long, where only registered requests count: left until somebody asks.
# Source: CONTRACT.md, section 3, `discover`.
SET_ASIDE_SECONDS = 24 * 3600.0

# What stands in our own way closes nothing and is tried again: with the next release a crash may
# be mended, and during a rollout another process knows the account already.
_NOT_READ = {CRASHED_TOO_OFTEN: PARKED_LOOK_SECONDS, ACCOUNT_NOT_CONFIGURED: 300.0}


@dataclass(frozen=True, slots=True)
class Judged:
    """A look with an observation, the request it was compared with, and the verdict."""

    look: Look
    seen: Observation
    request: PaymentRequest
    verdict: Verdict
    cause: Cause


@dataclass(frozen=True, slots=True)
class SetDown:
    """A look without an observation: how its row rests, and the code its request is flagged with.

    trigger is the request that has to be read instead.
    """

    rest: Rest
    flag: str | None = None
    trigger: Key | None = None


async def judge(looks: Sequence[Look], parts: SyncParts) -> None:
    """Record what a batch of looks came to, and give their rows back.

    Looks whose lease was taken over meanwhile change nothing. Raises Unavailable, after which
    nothing of the batch is written.
    """
    at = parts.now()
    pauses = await _pause_accounts(looks, parts)
    claims = [look.claimed for look in looks]
    async with unit_of_work(parts.pool) as work:
        held = await work.due.held(claims)
        ours = [look for look in looks if look.claimed in held]
        welcome = [look for look in ours if _is_welcome(look, parts)]
        downs = [_set_down(look, parts, pauses) for look in ours if not _is_welcome(look, parts)]
        requests = await _lock(work, welcome, downs)
        judged = [_compare(look, requests[look.claimed.key], at) for look in welcome]
        moves = await _write(judged, work, parts, at)
        await _flag(work, downs, requests)
        await _trigger(work, ours, downs)
        await work.due.rest([*(_rest(j, parts, at) for j in judged), *(d.rest for d in downs)])
    parts.recorded()
    _tell(looks, held, moves)
    if moves:
        parts.outbox_filled()


def _is_welcome(look: Look, parts: SyncParts) -> bool:
    """Return whether a look brought an observation that may be recorded.

    Where the account does not discover, only registered requests are.
    """
    if not isinstance(look.answer, Observation):
        return False
    return look.claimed.known or parts.accounts[look.claimed.account].section.discover


async def _lock(
    work: Work, welcome: Sequence[Look], downs: Sequence[SetDown]
) -> dict[Key, PaymentRequest]:
    """Make what is new, then lock everything this batch touches in one statement, by key."""
    await work.requests.make(look.claimed.key for look in welcome)
    flagged = [down.rest.claimed.key for down in downs if down.flag]
    return await work.requests.lock([*(look.claimed.key for look in welcome), *flagged])


def _compare(look: Look, request: PaymentRequest, at: datetime) -> Judged:
    seen = look.answer
    assert isinstance(seen, Observation), "only welcome looks are compared"
    verdict = advance(request, seen, lease_no=look.claimed.lease_no)
    cause = Cause(
        observed_by=ObservedBy(look.claimed.observed_by),
        observed_at=look.read_at or at,
        observation_id=new_id("obs"),
        answer_sha256=look.sha256,
        lease_no=look.claimed.lease_no,
    )
    return Judged(look, seen, request, verdict, cause)


async def _write(
    judged: Sequence[Judged], work: Work, parts: SyncParts, at: datetime
) -> list[Moved]:
    """Write transitions with their messages, quiet changes, evidence and order roll-ups."""
    orders = await _orders_by_reference(judged, work)
    moves = [
        Moved(
            _linked(j.verdict, orders),
            j.cause,
            parts.accounts[j.look.claimed.account].section.provider,
        )
        for j in judged
        if isinstance(j.verdict, Transition)
    ]
    moved = await record_moves(work, moves, endpoints=parts.endpoints, at=at)
    quiet = [request for j in judged if (request := _quietly(j)) is not None]
    await work.requests.save([*moved, *quiet])
    await _keep_evidence(judged, work)
    touched = [(request, move.cause) for request, move in zip(moved, moves, strict=True)]
    touched += [(j.request, j.cause) for j in judged if _matters_to_order(j)]
    await roll_up_orders(
        work,
        {request.order_id: cause.observed_by for request, cause in touched if request.order_id},
        endpoints=parts.endpoints,
        at=at,
    )
    return moves


def _matters_to_order(judged: Judged) -> bool:
    """Return whether a look that is no news about the request may be news about its order.

    That a request has ended, or what it asks for, changes what its order adds up to.
    """
    match judged.verdict:
        case NoChange(after=after):
            return after.facts != judged.request.facts
        case Transition() | Contradiction() | Stale():
            return False


async def _orders_by_reference(judged: Sequence[Judged], work: Work) -> dict[str, str]:
    """Find or make the orders that moving requests without one name by their reference."""
    references = {
        j.verdict.after.reference
        for j in judged
        if isinstance(j.verdict, Transition) and j.verdict.after.order_id is None
    }
    named = {reference for reference in references if reference}
    return await work.orders.discover(named) if named else {}


def _linked(verdict: Transition, orders: Mapping[str, str]) -> Transition:
    after = verdict.after
    if after.order_id is not None or after.reference is None:
        return verdict
    return replace(verdict, after=replace(after, order_id=orders[after.reference]))


def _quietly(judged: Judged) -> PaymentRequest | None:
    """Return what a look changes without a transition, if anything."""
    match judged.verdict:
        case NoChange(after=after):
            return after
        case Contradiction(attention=code):
            request = judged.request
            return replace(request, attention=request.attention | {code})
        case Transition() | Stale():
            return None


async def _keep_evidence(judged: Sequence[Judged], work: Work) -> None:
    """Keep each read with the hash of its raw answer; the answer itself only where it is news."""
    await work.history.append_observations(
        [
            ObservationRow(
                id=j.cause.observation_id,
                request_id=j.request.id,
                read_at=j.cause.observed_at,
                lease_no=j.cause.lease_no,
                version=j.seen.version,
                observed_by=j.cause.observed_by,
                verdict=_word(j.verdict),
                answer_sha256=j.cause.answer_sha256,
                answer=None if isinstance(j.verdict, NoChange) else j.look.evidence,
            )
            for j in judged
        ]
    )
    await work.requests.relate([(j.request, item) for j in judged for item in j.seen.related])


def _word(verdict: Verdict) -> str:
    match verdict:
        case Transition():
            return "transition"
        case NoChange():
            return "no_change"
        case Stale():
            return "stale"
        case Contradiction():
            return "contradiction"


def _rest(judged: Judged, parts: SyncParts, at: datetime) -> Rest:
    """Decide when to look again. What is stale or contradictory closes no generation."""
    claim = judged.look.claimed
    match judged.verdict:
        case Transition(after=after):
            return Rest(claim, claim.wanted, _next_look(after, parts, at), known=True)
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
            return Rest(claim, claim.wanted, _next_look(after, parts, at), known=True)
        case Stale() | Contradiction():
            # However old the request is: what made us look is not answered yet.
            wait = (
                error_wait_seconds(claim.errors + 1, jitter=_jitter())
                or _next_look(judged.request, parts, at)
                or PARKED_LOOK_SECONDS
            )
            return Rest(claim, None, wait, errors=claim.errors + 1, known=True)


def _was_told(claim: Claimed) -> bool:
    """Return whether a webhook made us look: replicas lag, so it is read again soon."""
    return claim.observed_by == ObservedBy.WEBHOOK


def _next_look(request: PaymentRequest, parts: SyncParts, at: datetime) -> float | None:
    age = max(at - request.first_seen_at, timedelta(0))
    return next_look_seconds(request.facts, age=age, plan=parts.plan, jitter=_jitter())


def _jitter() -> float:
    return random()  # noqa: S311 - spreads work, guards nothing


def _set_down(look: Look, parts: SyncParts, pauses: Mapping[str, float]) -> SetDown:
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
                reason="unmapped_status",
                provider_status=word,
            )
            code = "unmapped_status"
            return SetDown(Rest(claim, claim.wanted, _open(parts), parked=code), flag=code)
        case None:
            return _after_failure(look, parts, pauses)


def _after_failure(look: Look, parts: SyncParts, pauses: Mapping[str, float]) -> SetDown:
    """Postpone a look that failed. Source: CONTRACT.md, section 3, last paragraph."""
    claim = look.claimed
    errors = claim.errors + 1
    later = error_wait_seconds(errors, jitter=_jitter()) or _open(parts)
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
            log.error("request.parked", account=claim.account, reason=code, detail=detail)
            return SetDown(Rest(claim, None, later, errors=errors, parked=code), flag=code)
        case failure:
            log.warning("request.postponed", account=claim.account, reason=str(failure))
            return SetDown(Rest(claim, None, later, errors=errors))


async def _pause_accounts(looks: Sequence[Look], parts: SyncParts) -> dict[str, float]:
    """Pause accounts whose provider said 401, 403 or 429; return for how many seconds each."""
    pauses: dict[str, float] = {}
    for look in looks:
        name = look.claimed.account
        if name not in pauses:
            seconds = await pause_after(look.failure, name, parts=parts)
            if seconds is not None:
                pauses[name] = seconds
    return pauses


def _open(parts: SyncParts) -> float:
    return parts.plan.open.total_seconds()


async def _flag(
    work: Work, downs: Sequence[SetDown], requests: Mapping[Key, PaymentRequest]
) -> None:
    """Park recorded requests under their code; an unknown one has only its due row.

    A request that was read under a later lease meanwhile is left as it is.
    """
    await work.requests.save(
        [
            replace(request, parked=down.flag, attention=request.attention | {down.flag})
            for down in downs
            if down.flag
            and (request := requests.get(down.rest.claimed.key)) is not None
            and request.lease_no <= down.rest.claimed.lease_no
        ]
    )


async def _trigger(work: Work, ours: Sequence[Look], downs: Sequence[SetDown]) -> None:
    """Make the owners of parts due, in the transaction that closes the parts."""
    owners = sorted(
        (down.trigger, down.rest.claimed.observed_by, down.rest.claimed.known)
        for down in downs
        if down.trigger is not None
    )
    if not owners:
        return
    await work.due.lock([*(key for key, _, _ in owners), *(look.claimed.key for look in ours)])
    for key, observed_by, known in owners:
        await work.due.trigger([key], observed_by=ObservedBy(observed_by), known=known)


def _tell(looks: Sequence[Look], held: set[Claimed], moves: Sequence[Moved]) -> None:
    for look in looks:
        outcome = "read" if look.failure is None else look.failure.__class__.__name__.lower()
        if look.claimed not in held:
            outcome = "fenced"
        metrics.READS.labels(account=look.claimed.account, outcome=outcome).inc()
    for moved in moves:
        after = moved.transition.after
        log.info(
            "request.synced",
            request_id=after.id,
            account=after.key.account,
            transition=moved.transition.type,
            sequence=after.sequence,
            observed_by=str(moved.cause.observed_by),
        )
        metrics.TRANSITIONS.labels(
            account=after.key.account, observed_by=moved.cause.observed_by
        ).inc()
