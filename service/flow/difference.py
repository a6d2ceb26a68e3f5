"""Difference: fresh reads against the record, judged as in a sync, with no lease and no write."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from service.domain.drift import Drift, DriftClass, class_of
from service.domain.lifecycle import with_reversal
from service.domain.request import (
    BelongsTo,
    Key,
    Kind,
    NotOurs,
    Observation,
    PaymentRequest,
    Unmapped,
)
from service.errors import (
    NotAllowedYet,
    NotFoundThere,
    SettledError,
    TooManyCalls,
    Unauthorised,
    Unavailable,
)
from service.flow.compare import Judged, compare
from service.flow.judge import is_welcome, pauses_after
from service.flow.look import Look, SyncParts
from service.flow.parts import named_in
from service.flow.patience import patiently
from service.flow.sync import Start, starts_of
from service.storage.due import Claimed
from service.storage.reconciles import Reconciles, Run
from service.storage.standings import Standing, standings_of
from service.storage.unit_of_work import unit_of_work

# Reads of one request, where the provider fails to answer.
TRIES: Final = 2

# What sets a thing without a row of its own apart: nobody ever asked for it.
_NEVER: Final = Standing(lease_no=0, wanted=0, done=0, is_pending=False, errors=0, parked=None)


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison came to: what drifted, and how many could not be read."""

    drift: tuple[Drift, ...]
    unread: int


@dataclass(frozen=True, slots=True)
class _Record:
    """What we have of some keys at one moment."""

    requests: Mapping[Key, PaymentRequest]
    owners: Mapping[Key, Key]
    standings: Mapping[Key, Standing]

    def standing(self, key: Key) -> Standing:
        return self.standings.get(key, _NEVER)


async def compare_fresh(keys: Sequence[Key], run: Run, parts: SyncParts) -> Compared:
    """Read keys at their provider, within the polls' share of the budget, and compare.

    What turns out to be a part is compared as the request that has it, unless the run comes to
    that by itself. What the ordinary road has read meanwhile is as fresh as ours, and no drift.
    Nothing is written but a pause that the provider asked for. Raises Unavailable where no further
    read would help now.
    """
    before, looks = await _look_at(keys, parts)
    owners = dict.fromkeys(
        Key(look.claimed.account, look.answer.kind, look.answer.provider_id)
        for look in looks
        if isinstance(look.answer, BelongsTo)
    )
    further = [key for key in owners if key not in set(keys)]
    async with unit_of_work(parts.pool) as work:
        further = await Reconciles(work.connection).beyond(run, further)
    before_owners, looks_at_owners = await _look_at(further, parts)
    before |= before_owners
    looks += looks_at_owners
    if (obstacle := _stops_all(looks)) is not None:
        raise Unavailable(f"{run.account}: {_in_words(obstacle)}") from obstacle
    after = await _record_of(looks, parts)
    fresh = [
        look
        for look in looks
        if before[look.claimed.key].reads == after.standing(look.claimed.key).reads
    ]
    drift = [_drift_without_state(look, after) for look in fresh]
    drift += [_drift_of(judged, after) for judged in _judge(fresh, after, parts)]
    return Compared(
        drift=tuple(one for one in drift if one is not None),
        unread=sum(_is_unread(look) for look in fresh),
    )


async def _look_at(keys: Sequence[Key], parts: SyncParts) -> tuple[dict[Key, Standing], list[Look]]:
    """Read keys side by side; return how each stood before, and the looks.

    What the provider failed to answer for now is asked once more.
    """
    async with unit_of_work(parts.pool) as work:
        standings = await standings_of(work.connection, keys)
        known = await work.requests.find(keys)
        claims = [_unleased(key, known.get(key)) for key in keys]
        starts = dict(zip(keys, await starts_of(claims, work, parts), strict=True))
    looks: dict[Key, Look] = {}
    for _ in range(TRIES):
        tried = await asyncio.gather(
            *(_look_when_allowed(start, parts) for start in starts.values())
        )
        await pauses_after(tried, parts)
        looks |= {look.claimed.key: look for look in tried}
        starts = {key: start for key, start in starts.items() if _may_pass(looks[key])}
    return {key: standings.get(key, _NEVER) for key in keys}, list(looks.values())


def _unleased(key: Key, request: PaymentRequest | None) -> Claimed:
    """Return a claim that nothing was leased for, so that nothing can be written under it.

    It reads as a poll does, and as the newest look that the record knows.
    """
    return Claimed(
        account=key.account,
        kind=str(key.kind),
        provider_id=key.provider_id,
        wanted=0,
        lease_no=request.lease_no if request else 0,
        known=request is not None,
        urgency=1,
        observed_by="operator",
        rereads=0,
        crashes=0,
        errors=0,
        failing_seconds=0.0,
        due_seconds=0.0,
    )


async def _look_when_allowed(start: Start, parts: SyncParts) -> Look:
    """Look, as soon as the budget allows."""
    last: Look | None = None

    async def attempt() -> Look:
        nonlocal last
        last = await start()
        if isinstance(last.failure, NotAllowedYet):
            raise last.failure
        return last

    try:
        return await patiently(attempt, parts)
    except NotAllowedYet:
        assert last is not None, "an attempt begins with a look"
        return last


async def _record_of(looks: Sequence[Look], parts: SyncParts) -> _Record:
    """Return what we have of what was read and of the parts that are named, after the reads."""
    keys = [look.claimed.key for look in looks]
    named = [
        part
        for look in looks
        if isinstance(look.answer, Observation)
        for part in named_in(look.claimed.key, look.answer)
    ]
    async with unit_of_work(parts.pool) as work:
        requests = await work.requests.find([*keys, *named])
        owners = await work.requests.owners(key for key in requests if key.kind is Kind.ORDER)
        standings = await standings_of(work.connection, keys)
    return _Record(requests, owners, standings)


def _judge(looks: Sequence[Look], record: _Record, parts: SyncParts) -> tuple[Judged, ...]:
    """Judge what brought a state, as a sync would; one that we have no record of is blank."""
    at = parts.now()
    welcome = [look for look in looks if is_welcome(look, parts)]
    blank = {
        look.claimed.key: PaymentRequest(id="", key=look.claimed.key, first_seen_at=at)
        for look in welcome
    }
    current = [
        replace(look, claimed=replace(look.claimed, lease_no=found.lease_no))
        if (found := record.requests.get(look.claimed.key)) is not None
        else look
        for look in welcome
    ]
    return compare(current, blank | dict(record.requests), record.owners, at=at).judged


def _drift_of(judged: Judged, record: _Record) -> Drift | None:
    key = judged.look.claimed.key
    request = record.requests.get(key)
    is_pending = record.standing(key).is_pending
    found = class_of(request, judged.verdict, judged.seen, is_pending=is_pending)
    return None if found is None else Drift(key, found, request, with_reversal(judged.seen.facts))


def _drift_without_state(look: Look, record: _Record) -> Drift | None:
    """Return the drift that shows in an answer without a state; the record may know it already.

    What is not found is read again for a day before it is parked: as long as that goes on, it is
    known. Source: CONTRACT.md, section 3, last paragraph.
    """
    key = look.claimed.key
    request, standing = record.requests.get(key), record.standing(key)
    match look.answer, look.failure:
        case Unmapped(word=word), _ if standing.parked != "unmapped_status":
            found = DriftClass.UNKNOWN_HERE if request is None else DriftClass.MISSED
            return Drift(key, found, request, word=word)
        case NotOurs(reason=reason), _ if request is not None and standing.parked != reason:
            return Drift(key, DriftClass.UNKNOWN_THERE, request, word=reason)
        case None, NotFoundThere(code=code) if request is not None:
            is_known = standing.parked == code or standing.errors > 0
            return None if is_known else Drift(key, DriftClass.UNKNOWN_THERE, request)
        case _:
            return None


def _is_unread(look: Look) -> bool:
    return look.failure is not None and not isinstance(look.failure, NotFoundThere)


def _may_pass(look: Look) -> bool:
    """Return whether what a look ran into may be over when it is tried again."""
    return isinstance(look.failure, Unavailable) and not isinstance(look.failure, NotAllowedYet)


def _in_words(obstacle: SettledError) -> str:
    if isinstance(obstacle, NotAllowedYet):
        return "no call is allowed now: the account is paused, or others use up its budget"
    return str(obstacle)


def _stops_all(looks: Sequence[Look]) -> SettledError | None:
    """Return what stands in the way of every further read, if anything does."""
    for look in looks:
        if isinstance(look.failure, NotAllowedYet | TooManyCalls | Unauthorised):
            return look.failure
    tried = [look for look in looks if not isinstance(look.answer, BelongsTo)]
    is_away = bool(tried) and all(isinstance(look.failure, Unavailable) for look in tried)
    return tried[0].failure if is_away else None
