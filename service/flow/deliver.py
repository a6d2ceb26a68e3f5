"""Deliver: claim what is waiting, sign and post, close. Transaction, network, transaction.

Order is kept per request and per order, because only the first waiting delivery of each is ever
claimed. Every endpoint has its own lane with its own rate and its own slots, so that a slow one
never takes another's.
"""

import asyncio
import ssl
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from random import random
from typing import Literal

import httpx
import structlog

from service import erp
from service.domain.envelope import CONTENT_TYPES, body_for
from service.domain.lane import (
    Allowance,
    Lane,
    LaneState,
    after_claim,
    after_drain,
    after_failure,
    after_success,
    may_send,
    needs_a_person,
)
from service.domain.retry import DELIVERY_WAITS, next_attempt_seconds
from service.domain.signature import key_of
from service.ed25519 import seal_of
from service.errors import Unavailable
from service.settings import Endpoint
from service.storage.batches import claim_batch
from service.storage.database import Pool
from service.storage.deliveries import (
    LEASE_MARGIN_SECONDS,
    ClaimedDelivery,
    Closing,
    Deliveries,
    LaneSeen,
)
from service.storage.unit_of_work import connected, unit_of_work
from service.storage.untold import supersede
from service.telemetry import metrics, traces
from service.wire import Wire

log = structlog.get_logger()

# How long to wait for a lane that has work but no credit yet.
LOOK_AGAIN_SECONDS = 0.1

# How long to wait where another worker was faster: it has written what it claimed by then.
BEATEN_SECONDS = 0.005

# What the ERP answered is written again after these waits while its lease lasts: a deadlock or a
# restarting PostgreSQL must not have it sent twice.
CLOSE_WAITS_SECONDS = (0.1, 1.0, 2.0)


@dataclass(frozen=True)
class DeliverParts:
    """What a delivery touches.

    wires has one for endpoints in private networks and one for others; outlets are of the
    endpoints that are no webhooks. recorded is called after every commit of what attempts came
    to. stopping, once set, has nothing more claimed. tls has what shows our certificate, by the
    name of the endpoint that asks for one.
    """

    pool: Pool
    endpoints: Mapping[str, Endpoint]
    wires: Mapping[bool, Wire]
    now: Callable[[], datetime]
    recorded: Callable[[], None]
    stopping: asyncio.Event
    tls: Mapping[str, ssl.SSLContext] = field(default_factory=dict)
    outlets: Mapping[str, erp.Outlet] = field(default_factory=dict)

    @cached_property
    def doors(self) -> Mapping[str, erp.Door]:
        """The doors of the endpoints that are posted to, made once."""
        return {
            name: _door_of(endpoint, self.tls.get(name))
            for name, endpoint in self.endpoints.items()
            if endpoint.kind == "webhook"
        }


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one lane let through at a time, which is the database's.

    overtaken are the ids of those that are sent again although the endpoint knows a later one.
    """

    claims: Sequence[ClaimedDelivery]
    allowance: Allowance
    at: datetime
    overtaken: frozenset[str] = frozenset()

    def parted(self, endpoint: Endpoint) -> Sequence[Sequence[ClaimedDelivery]]:
        """Return what travels together: all of it into a file, one at a time anywhere else."""
        if endpoint.kind == "file":
            return [self.claims] if self.claims else []
        return [[claim] for claim in self.claims]


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt that came back; is_probe says that it does not count in the schedule."""

    claimed: ClaimedDelivery
    outcome: erp.Outcome
    is_probe: bool
    at: datetime


# A delivery's id and the number of its lease.
Lease = tuple[str, int]

# Attempts under way, each with the name of its endpoint. One of a file is about a whole batch.
Flying = dict[asyncio.Task[list[Attempted]], str]


async def deliver_due(parts: DeliverParts, *, slots: int, bell: asyncio.Event) -> int:
    """Post until nothing more may go now; return how many attempts were made.

    slots bounds the attempts under way, and each endpoint has an equal share of them, so that
    one which answers slowly leaves the others theirs. bell, when set meanwhile, has more claimed
    at once. Raises Unavailable when PostgreSQL is away; what was claimed comes back with its
    lease.
    """
    flying: Flying = {}
    attempts = 0
    try:
        while True:
            bell.clear()
            look_again = await _claim(parts, flying, slots)
            if not flying and look_again is None:
                return attempts
            ended = await _ended(flying, bell, look_again)
            if ended:
                attempts += len(ended)
                await _close(ended, parts)
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


async def try_once(claim: ClaimedDelivery, endpoint: Endpoint, parts: DeliverParts) -> erp.Outcome:
    """Send one message that no row stands for, beside the feed and whatever its lane's state."""
    claimed = Claimed([claim], Allowance(1), parts.now())
    (attempted,) = await _attempt([claim], endpoint, claimed, parts)
    return attempted.outcome


async def _claim(parts: DeliverParts, flying: Flying, slots: int) -> float | None:
    """Claim what may go and begin to post; return in how many seconds to look again, if at all.

    While attempts are under way, PostgreSQL being away is no reason to drop them: what they come
    to can still be written when it is back.
    """
    if parts.stopping.is_set():
        return None
    try:
        return await _claim_lanes(parts, flying, slots)
    except Unavailable as error:
        if not flying:
            raise
        log.warning("claim.postponed", reason=error.detail)
        return LOOK_AGAIN_SECONDS


async def _claim_lanes(parts: DeliverParts, flying: Flying, slots: int) -> float | None:
    """Claim for every lane what it allows; return when to look again although nothing happened.

    That is soon where a lane is held back only by its rate, and at once where another worker
    was faster.
    """
    async with connected(parts.pool) as connection:
        lanes = await Deliveries(connection).lanes_with_work()
    share = max(1, slots // max(1, len(parts.endpoints)))
    look_again: list[float] = []
    for seen in lanes:
        endpoint = parts.endpoints.get(seen.name)
        if endpoint is None:
            continue
        # One that is full by our own attempts alone costs the others no statement.
        own = min(share, endpoint.concurrency) - Counter(flying.values())[seen.name]
        free = min(slots - len(flying), own)
        if free <= 0:
            continue
        allowance = may_send(seen.lane, now=seen.at, rate=_rate_of(endpoint))
        if allowance.count == 0:
            look_again.append(LOOK_AGAIN_SECONDS)
        concurrency = 1 if endpoint.kind == "file" else endpoint.concurrency
        sent = replace(allowance, count=min(allowance.count, concurrency - seen.under_way, free))
        if sent.count <= 0:
            continue
        claimed = await _claim_lane(parts, endpoint, seen, sent)
        if not claimed.claims:
            look_again.append(BEATEN_SECONDS)
        for together in claimed.parted(endpoint):
            task = _attempt(together, endpoint, claimed, parts)
            flying[asyncio.create_task(task)] = seen.name
    return min(look_again, default=None)


async def _claim_lane(
    parts: DeliverParts, endpoint: Endpoint, seen: LaneSeen, sent: Allowance
) -> Claimed:
    """Lease what one lane allows together with its credit: nothing where it has moved meanwhile.

    Of a file sent counts as one, whatever is in it.
    """
    lease_seconds = endpoint.timeout.total_seconds() + LEASE_MARGIN_SECONDS
    after = after_claim(
        seen.lane, sent, now=seen.at, rate=_rate_of(endpoint), timeout_seconds=lease_seconds
    )
    async with connected(parts.pool) as connection:
        deliveries = Deliveries(connection)
        if endpoint.compact and seen.lane.state is LaneState.DRAINING:
            async with connection.transaction():
                await deliveries.lock_lanes([endpoint.name])
                await supersede(connection, endpoint.name)
        if endpoint.kind == "file" and not sent.is_probe:
            async with connection.transaction():
                claims = await claim_batch(connection, seen, after, lease_seconds=lease_seconds)
        else:
            claims = await deliveries.claim(seen, after, sent.count, lease_seconds=lease_seconds)
        # A recipe writes a state: one that is sent again must not take back what a later one did.
        acts = endpoint.kind == "recipe"
        overtaken = await deliveries.overtaken(claims) if acts else frozenset[str]()
    return Claimed(claims, sent, seen.at, overtaken)


async def _attempt(
    together: Sequence[ClaimedDelivery], endpoint: Endpoint, claimed: Claimed, parts: DeliverParts
) -> list[Attempted]:
    """Make one attempt with what travels together."""
    at = parts.now()
    match endpoint.kind:
        case "webhook":
            outcome = await _post(together[0], endpoint, at, parts)
        case "recipe" if together[0].id in claimed.overtaken:
            outcome = erp.Outcome("delivered", "overtaken", None, 0, "", None)
        case "recipe" | "file" | "stream":
            outcome = await parts.outlets[endpoint.name].take(
                [_notification_of(each) for each in together],
                at=claimed.at,
                timeout_seconds=endpoint.timeout.total_seconds(),
            )
    return [Attempted(claim, outcome, claimed.allowance.is_probe, at) for claim in together]


async def _post(
    claim: ClaimedDelivery, endpoint: Endpoint, at: datetime, parts: DeliverParts
) -> erp.Outcome:
    return await erp.post(
        parts.wires[endpoint.allow_private],
        _message_of(claim, endpoint),
        parts.doors[endpoint.name],
        at=at,
    )


def _notification_of(claim: ClaimedDelivery) -> erp.Notification:
    body = body_for("settled", claim.body, dead=claim.dead, superseded=claim.superseded)
    return erp.Notification(claim.notification_id, claim.type, body)


def _message_of(claim: ClaimedDelivery, endpoint: Endpoint) -> erp.Message:
    return erp.Message(
        notification_id=claim.notification_id,
        body=body_for(endpoint.body, claim.body, dead=claim.dead, superseded=claim.superseded),
        content_type=CONTENT_TYPES[endpoint.body],
        traceparent=claim.traceparent,
    )


def _door_of(endpoint: Endpoint, tls: ssl.SSLContext | None) -> erp.Door:
    key = endpoint.signing_key
    return erp.Door(
        httpx.URL(endpoint.url or ""),
        keys=[key_of(secret.reveal()) for secret in endpoint.secrets],
        timeout_seconds=endpoint.timeout.total_seconds(),
        seal=seal_of(key.reveal()) if key else None,
        tls=tls,
    )


async def _ended(
    flying: Flying, bell: asyncio.Event, timeout_seconds: float | None
) -> list[Attempted]:
    """Wait for attempts to end, the bell or the time-out; take the ended out of flying."""
    ringing = asyncio.create_task(bell.wait())
    try:
        await asyncio.wait(
            {*flying, ringing}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        ringing.cancel()
    ended = [task for task in flying if task.done()]
    for task in ended:
        del flying[task]
    return [attempted for task in ended for attempted in task.result()]


async def _close(ended: Sequence[Attempted], parts: DeliverParts) -> None:
    """Write what attempts came to, trying again for a while: the ERP must not hear it twice."""
    for wait_seconds in CLOSE_WAITS_SECONDS:
        try:
            return await _write(ended, parts)
        except Unavailable:
            await asyncio.sleep(wait_seconds)
    return await _write(ended, parts)


async def _write(ended: Sequence[Attempted], parts: DeliverParts) -> None:
    """Write delivery, attempt and lane in one transaction.

    An attempt that outlived its lease changes nothing: another has taken the delivery over.
    """
    closings = {attempted.claimed.lease: _closing(attempted, parts) for attempted in ended}
    kept = await _write_arrived(list(closings.values()), parts)
    held: dict[str, Lane] = {}
    if not kept:
        kept, held = await _write_news(ended, closings, parts)
    parts.recorded()
    _tell([(each, closings[each.claimed.lease]) for each in ended if each.claimed.lease in kept])
    for name, lane in held.items():
        log.error("endpoint.held", endpoint=name, reason=lane.reason)


async def _write_arrived(closings: Sequence[Closing], parts: DeliverParts) -> set[Lease]:
    """Write in one statement what arrived and is no news about any lane; return what was written.

    That is nothing unless all is of this kind.
    """
    if any(closing.state != "delivered" or closing.is_told for closing in closings):
        return set()
    async with connected(parts.pool) as connection:
        return await Deliveries(connection).close(closings, calm=True)


async def _write_news(
    ended: Sequence[Attempted], closings: Mapping[Lease, Closing], parts: DeliverParts
) -> tuple[set[Lease], dict[str, Lane]]:
    """Write all with what it says about its lanes; return what was written, and lanes now held."""
    by_endpoint: dict[str, list[Attempted]] = defaultdict(list)
    held: dict[str, Lane] = {}
    async with unit_of_work(parts.pool) as work:
        deliveries = Deliveries(work.connection)
        lanes = await deliveries.lock_lanes(attempted.claimed.endpoint for attempted in ended)
        kept = await deliveries.close(list(closings.values()))
        for attempted in ended:
            if attempted.claimed.lease in kept:
                by_endpoint[attempted.claimed.endpoint].append(attempted)
        for name, of_lane in by_endpoint.items():
            lane = await _move_lane(deliveries, lanes[name], of_lane, parts.endpoints[name])
            if lane.is_unprobed:
                await deliveries.put_oldest_first(name)
            if needs_a_person(lanes[name], lane):
                held[name] = lane
    return kept, held


async def _move_lane(
    deliveries: Deliveries, lane: Lane, ended: Sequence[Attempted], endpoint: Endpoint
) -> Lane:
    """Judge the endpoint by these attempts; return its lane as it now stands."""
    now = await deliveries.clock()
    for attempted in ended:
        lane = _lane_after(lane, attempted, now)
    if lane.state is LaneState.DRAINING:
        waiting = await deliveries.waiting(endpoint.name)
        lane = after_drain(lane, now=now, rate=_rate_of(endpoint), waiting=waiting)
    succeeded = any(attempted.outcome.result == "delivered" for attempted in ended)
    await deliveries.save_lane(endpoint.name, lane, succeeded=succeeded)
    return lane


def _rate_of(endpoint: Endpoint) -> float:
    return endpoint.rate.count / endpoint.rate.seconds


def _lane_after(lane: Lane, attempted: Attempted, now: datetime) -> Lane:
    outcome = attempted.outcome
    if outcome.result == "delivered":
        return after_success(lane, now=now)
    return after_failure(
        lane, outcome.result, outcome.code, subject_id=attempted.claimed.subject_id, now=now
    )


def _closing(attempted: Attempted, parts: DeliverParts) -> Closing:
    """Decide what an outcome means for its delivery. Source: CONTRACT.md, section 5."""
    claimed, outcome = attempted.claimed, attempted.outcome
    counts = outcome.result != "hold" and not attempted.is_probe
    state: Literal["waiting", "delivered", "dead"] = "waiting"
    wait_seconds: float | None = 0.0
    if outcome.result in ("delivered", "dead"):
        state = outcome.result
    elif counts:
        wait_seconds = next_attempt_seconds(
            claimed.attempts_made + 1,
            waits=_waits(parts.endpoints[claimed.endpoint]),
            retry_after_seconds=outcome.retry_after_seconds,
            jitter=random(),  # noqa: S311 - spreads work, guards nothing
        )
        if wait_seconds is None:
            state = "dead"
    return Closing(
        claimed=claimed,
        state=state,
        counts=counts,
        wait_seconds=wait_seconds or 0.0,
        at=attempted.at,
        outcome=outcome.code,
        status_code=outcome.status_code,
        duration_ms=outcome.duration_ms,
        excerpt=outcome.excerpt,
    )


def _waits(endpoint: Endpoint) -> Sequence[float]:
    if endpoint.retry is None:
        return DELIVERY_WAITS
    return [wait.total_seconds() for wait in endpoint.retry]


def _tell(written: Iterable[tuple[Attempted, Closing]]) -> None:
    for attempted, closing in written:
        claimed, outcome = attempted.claimed, attempted.outcome
        metrics.DELIVERIES.labels(endpoint=claimed.endpoint, outcome=closing.state).inc()
        seconds = outcome.duration_ms / 1000
        metrics.DELIVERY_SECONDS.labels(endpoint=claimed.endpoint).observe(seconds)
        traces.tell(
            "deliver",
            claimed.traceparent,
            {"endpoint": claimed.endpoint, "state": closing.state, "sequence": claimed.sequence},
            seconds=seconds,
            ended_at=attempted.at + timedelta(seconds=seconds),
        )
        facts = {
            "notification_id": claimed.notification_id,
            "endpoint": claimed.endpoint,
            "outcome": outcome.code,
        }
        match closing.state:
            case "delivered":
                log.info("notification.delivered", **facts)
            case "dead":
                log.error("notification.given_up", **facts)
            case "waiting":
                log.warning("notification.postponed", **facts)
