"""Compares looks with the record and writes what follows, one transaction for the batch.

A look that fails never spoils its neighbours: what could be read is recorded, the rest is
postponed or set aside.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from service.domain.lifecycle import (
    Contradiction,
    NoChange,
    Stale,
    Transition,
    Verdict,
    refused,
)
from service.domain.request import Key, Kind, Observation, ObservedBy, PaymentRequest
from service.flow.channel import untold_in
from service.flow.compare import Compared, Judged, compare
from service.flow.look import Look, SyncParts, pause_after
from service.flow.parts import named_in, taken_over
from service.flow.record import Moved, save_moves
from service.flow.reference import put_under_named, stripped_in
from service.flow.rest import SetDown, Watch, rest_after, set_down
from service.flow.roll_up import roll_up_orders
from service.flow.suspect import suspect_links
from service.flow.tell import tell, trace
from service.providers import lags_behind
from service.storage.channels import Channels
from service.storage.claims import Claims
from service.storage.due import Rest
from service.storage.history import ObservationRow
from service.storage.unit_of_work import Work, unit_of_work


async def judge(looks: Sequence[Look], parts: SyncParts) -> set[str]:
    """Record what a batch of looks came to, and give their rows back.

    Return the accounts at which changes were found that no webhook told. Looks whose lease was
    taken over meanwhile change nothing. Raises Unavailable, after which nothing of the batch is
    written.
    """
    at = parts.now()
    pauses = await pauses_after(looks, parts)
    await suspect_links(looks, parts)
    claims = [look.claimed for look in looks]
    async with unit_of_work(parts.pool) as work:
        await work.orders.agree_on(stripped_in(looks, parts.accounts))
        held = await work.due.held(claims)
        ours = [look for look in looks if look.claimed in held]
        welcome = [look for look in ours if is_welcome(look, parts)]
        downs = [
            set_down(look, plan=parts.plan, pauses=pauses)
            for look in ours
            if not is_welcome(look, parts)
        ]
        requests = await _lock(work, welcome, downs)
        # After the locks: what another batch said of these requests meanwhile is seen.
        owners = await work.requests.owners(key for key in requests if key.kind is Kind.ORDER)
        compared = compare(welcome, requests, owners, at=at)
        passed_on = [set_down(look, plan=parts.plan, pauses=pauses) for look in compared.passed_on]
        await work.requests.unmake(down.rest.claimed.key for down in passed_on)
        untold = untold_in(compared.judged, parts, at=at)
        await Channels(work.connection).append(untold)
        fresh = await work.requests.relate(compared.related)
        moves = await _write(compared, work, parts, at)
        await _flag(work, downs, {k: r for k, r in requests.items() if k not in compared.owners})
        downs += passed_on
        await _trigger(work, ours, downs)
        await _wake_parts(work, compared, fresh)
        ranks = await Claims(work.connection).highest(compared.moved_when_told)
        rests = [_rest(j, parts, at, ranks) for j in compared.judged]
        await work.due.rest([*rests, *(down.rest for down in downs)])
    parts.recorded()
    tell(looks, held, moves)
    trace(moves, began_at=at, ended_at=parts.now())
    if moves:
        parts.outbox_filled()
    return {change.account for change in untold}


def is_welcome(look: Look, parts: SyncParts) -> bool:
    """Return whether a look brought an observation that may be recorded.

    Where the account does not discover, only registered requests are.
    """
    if not isinstance(look.answer, Observation):
        return False
    return look.claimed.known or parts.accounts[look.claimed.account].section.discover


async def _lock(
    work: Work, welcome: Sequence[Look], downs: Sequence[SetDown]
) -> dict[Key, PaymentRequest]:
    """Make what is new, then lock everything this batch touches in one statement, by key.

    That holds what was recorded of the parts that are named.
    """
    keys = [look.claimed.key for look in welcome]
    named = [
        part
        for look in welcome
        if isinstance(look.answer, Observation)
        for part in named_in(look.claimed.key, look.answer)
    ]
    flagged = [down.rest.claimed.key for down in downs if down.flag]
    async with work.connection.pipeline():
        await work.requests.make(keys)
        return await work.requests.lock([*keys, *named, *flagged])


async def _write(compared: Compared, work: Work, parts: SyncParts, at: datetime) -> list[Moved]:
    """Write transitions with their messages, quiet changes, evidence and order roll-ups.

    What was told of a part is taken back after the message of the request that has it: money is
    told twice for a moment rather than not at all.
    """
    judged = await put_under_named(compared.judged, parts.accounts, work)
    steps = [(j.verdict, j) for j in judged if isinstance(j.verdict, Transition)]
    steps += [(step, j) for part, j in compared.parts if (step := taken_over(part)) is not None]
    moves = [
        Moved(step, j.cause, parts.accounts[j.look.claimed.account].section.provider)
        for step, j in steps
    ]
    quiet = [request for j in judged if (request := _quietly(j)) is not None]
    async with work.connection.pipeline():
        moved, news = await save_moves(work, moves, quiet, endpoints=parts.endpoints, at=at)
        await _keep_evidence(compared, work, news={j.cause.observation_id for _, j in steps})
    touched = [(request.order_id, move.cause) for request, move in zip(moved, moves, strict=True)]
    touched += [(order_id, j.cause) for j in judged for order_id in _orders_concerned(j)]
    touched += [(part.order_id, j.cause) for part, j in compared.new_parts]
    await roll_up_orders(
        work,
        {order_id: cause.observed_by for order_id, cause in touched if order_id},
        endpoints=parts.endpoints,
        at=at,
        traceparents={order_id: cause.traceparent for order_id, cause in touched if order_id},
        news=news,
    )
    return moves


def _orders_concerned(judged: Judged) -> set[str | None]:
    """Return the orders that a look may be news about although it is none about its request.

    That a request has ended, or what it asks for, changes what its order adds up to; and a
    request that inherits its part's order leaves another.
    """
    before = judged.request
    match judged.verdict:
        case NoChange(after=after) if after.facts != before.facts:
            return {before.order_id, after.order_id}
        case NoChange(after=after) | Transition(after=after) if after.order_id != before.order_id:
            return {before.order_id, after.order_id}
        case _:
            return set()


def _quietly(judged: Judged) -> PaymentRequest | None:
    """Return what a look changes without a transition, if anything."""
    match judged.verdict:
        case NoChange(after=after):
            return after
        case Contradiction(attention=code):
            return refused(judged.request, judged.seen, code=code)
        case Transition() | Stale():
            return None


async def _keep_evidence(compared: Compared, work: Work, *, news: set[str]) -> None:
    """Keep each read with the hash of its raw answer.

    The answer itself is kept where it is no confirmation of what we know: news are the
    observations with a transition.
    """
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
                answer=j.look.evidence if j.cause.observation_id in news or not j.is_good else None,
            )
            for j in compared.judged
        ]
    )


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


async def pauses_after(looks: Sequence[Look], parts: SyncParts) -> dict[str, float]:
    """Pause accounts whose provider said 401, 403 or 429; return for how many seconds each.

    What a refusal says counts before what an answer says of the calls that are left.
    """
    pauses: dict[str, float] = {}
    for look in sorted(looks, key=lambda look: look.failure is None):
        name = look.claimed.account
        if name not in pauses:
            seconds = await pause_after(
                look.failure, name, parts=parts, hold_seconds=look.hold_seconds
            )
            if seconds is not None:
                pauses[name] = seconds
    return pauses


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


def _rest(judged: Judged, parts: SyncParts, at: datetime, ranks: Mapping[Key, int]) -> Rest:
    provider = parts.accounts[judged.look.claimed.account].provider
    looks = provider.looks_after_end if lags_behind(provider) else ()
    return rest_after(
        judged.look.claimed,
        judged.verdict,
        seen=judged.seen,
        request=judged.request,
        watch=Watch(
            parts.plan,
            at,
            looks,
            calls=judged.look.calls,
            claims=ranks.get(judged.request.key),
        ),
    )


async def _wake_parts(work: Work, compared: Compared, fresh: Collection[Key]) -> None:
    """Bind parts that came before the request which they belong to.

    Only fresh ones, named for the first time: a part and its request that are read side by side
    would otherwise wake each other for ever. What was just taken over is bound already; refunds
    lead to their request by themselves.
    """
    bound = {part.key for part, _ in compared.parts}
    named = {
        Key(j.request.key.account, item.kind, item.provider_id)
        for j in compared.judged
        for item in j.seen.related
        if item.related_as in ("payment", "attempt")
    }
    await work.due.wake_parts((named & set(fresh)) - bound)


async def _trigger(work: Work, ours: Sequence[Look], downs: Sequence[SetDown]) -> None:
    """Make the owners of parts due, in the transaction that closes the parts."""
    owners = sorted(
        ((down.trigger, down.rest.claimed) for down in downs if down.trigger is not None),
        key=lambda owner: (owner[0], owner[1].key),
    )
    if not owners:
        return
    await work.due.lock([*(key for key, _ in owners), *(look.claimed.key for look in ours)])
    for key, part in owners:
        await work.due.trigger(
            [key],
            observed_by=ObservedBy(part.observed_by),
            known=part.known,
            traceparent=part.traceparent,
        )
