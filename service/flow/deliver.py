"""Deliver: claim what is waiting, sign and post, close. Transaction, network, transaction.

Order is kept per request and per order, because only the first waiting delivery of each is ever
claimed. Every endpoint has its own lane with its own rate and its own slots, so that a slow one
never takes another's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import random

import structlog

from service import erp
from service.domain.lane import (
    Allowance,
    Lane,
    after_claim,
    after_drain,
    after_failure,
    after_success,
    may_send,
)
from service.domain.retry import DELIVERY_WAITS, next_attempt_seconds
from service.domain.signature import key_of
from service.settings import Endpoint
from service.storage.database import Pool
from service.storage.deliveries import (
    LEASE_MARGIN_SECONDS,
    ClaimedDelivery,
    Closing,
    Deliveries,
)
from service.storage.unit_of_work import connected, unit_of_work
from service.telemetry import metrics
from service.wire import Wire

log = structlog.get_logger()

# How long to wait for a lane that has work but no credit yet.
CREDIT_WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class DeliverParts:
    """What a delivery touches. wires has one for endpoints in private networks, one for others."""

    pool: Pool
    endpoints: Mapping[str, Endpoint]
    wires: Mapping[bool, Wire]
    now: Callable[[], datetime]
    stopping: asyncio.Event


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt that came back; is_probe says that it does not count in the schedule."""

    claimed: ClaimedDelivery
    outcome: erp.Outcome
    is_probe: bool
    at: datetime


async def deliver_due(parts: DeliverParts, *, slots: int, bell: asyncio.Event) -> int:
    """Post until nothing more may go now; return how many attempts were made.

    slots bounds the attempts under way. bell, when set meanwhile, has more claimed at once.
    Raises Unavailable when PostgreSQL is away; what was claimed comes back with its lease.
    """
    flying: set[asyncio.Task[Attempted]] = set()
    attempts = 0
    try:
        while True:
            bell.clear()
            has_more = await _claim(parts, flying, slots - len(flying))
            if not flying and not has_more:
                return attempts
            ended = await _ended(flying, bell, CREDIT_WAIT_SECONDS if has_more else None)
            if ended:
                attempts += len(ended)
                await _close(ended, parts)
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


async def _claim(parts: DeliverParts, flying: set[asyncio.Task[Attempted]], free: int) -> bool:
    """Claim for every lane what it allows and begin to post.

    Return whether a lane has work that only its rate holds back.
    """
    if free <= 0 or parts.stopping.is_set():
        return False
    async with connected(parts.pool) as connection:
        names = await Deliveries(connection).endpoints_with_work()
    held_back = False
    for name in names:
        endpoint = parts.endpoints.get(name)
        if endpoint is None:
            continue
        claims, allowance = await _claim_lane(parts, endpoint, free)
        held_back |= allowance.count == 0
        free -= len(claims)
        for claim in claims:
            task = _attempt(claim, endpoint, allowance.is_probe, parts)
            flying.add(asyncio.create_task(task))
    return held_back


async def _claim_lane(
    parts: DeliverParts, endpoint: Endpoint, free: int
) -> tuple[list[ClaimedDelivery], Allowance]:
    """Lease what one lane allows, in one transaction with the lane's credit."""
    rate = endpoint.rate.count / endpoint.rate.seconds
    timeout_seconds = endpoint.timeout.total_seconds()
    async with unit_of_work(parts.pool) as work:
        deliveries = Deliveries(work.connection)
        lane = (await deliveries.lock_lanes([endpoint.name]))[endpoint.name]
        now = parts.now()
        allowance = may_send(lane, now=now, rate=rate)
        slots = endpoint.concurrency - await deliveries.under_way(endpoint.name)
        limit = min(allowance.count, slots, free)
        if limit <= 0:
            return [], allowance
        claims = await deliveries.claim(
            endpoint.name,
            limit,
            lease_seconds=timeout_seconds + LEASE_MARGIN_SECONDS,
            whatever_is_due=allowance.is_probe,
        )
        sent = Allowance(len(claims), is_probe=allowance.is_probe)
        lane = after_claim(
            lane,
            sent,
            now=now,
            rate=rate,
            timeout_seconds=timeout_seconds + LEASE_MARGIN_SECONDS,
        )
        await deliveries.save_lane(endpoint.name, lane, succeeded_at=None)
    return claims, allowance


async def _attempt(
    claim: ClaimedDelivery, endpoint: Endpoint, is_probe: bool, parts: DeliverParts
) -> Attempted:
    at = parts.now()
    outcome = await erp.post(
        parts.wires[endpoint.allow_private],
        url=endpoint.url or "",
        keys=[key_of(secret.reveal()) for secret in endpoint.secrets],
        notification_id=claim.notification_id,
        body=claim.body,
        at=at,
        timeout_seconds=endpoint.timeout.total_seconds(),
    )
    return Attempted(claim, outcome, is_probe, at)


async def _ended(
    flying: set[asyncio.Task[Attempted]], bell: asyncio.Event, timeout_seconds: float | None
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
    flying.difference_update(ended)
    return [task.result() for task in ended]


async def _close(ended: Sequence[Attempted], parts: DeliverParts) -> None:
    """Write what attempts came to: delivery, attempt and lane in one transaction."""
    by_endpoint: dict[str, list[Attempted]] = defaultdict(list)
    for attempted in ended:
        by_endpoint[attempted.claimed.endpoint].append(attempted)
    held: list[tuple[str, Lane]] = []
    async with unit_of_work(parts.pool) as work:
        deliveries = Deliveries(work.connection)
        lanes = await deliveries.lock_lanes(by_endpoint)
        closings = [_closing(attempted, parts) for attempted in ended]
        await deliveries.close(closings)
        for name, of_lane in by_endpoint.items():
            endpoint = parts.endpoints[name]
            before = lanes[name]
            lane = before
            for attempted in of_lane:
                lane = _lane_after(lane, attempted, parts.now())
            lane = after_drain(
                lane,
                now=parts.now(),
                rate=endpoint.rate.count / endpoint.rate.seconds,
                waiting=await deliveries.waiting(name),
            )
            succeeded = any(attempted.outcome.result == "delivered" for attempted in of_lane)
            await deliveries.save_lane(name, lane, succeeded_at=parts.now() if succeeded else None)
            if lane.is_held and not before.is_held:
                held.append((name, lane))
    _tell(ended, closings, held)


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
    endpoint = parts.endpoints[claimed.endpoint]
    counts = outcome.result != "hold" and not attempted.is_probe
    state: str = "waiting"
    wait_seconds: float | None = 0.0
    if outcome.result in ("delivered", "dead"):
        state = outcome.result
    elif outcome.result == "retry" and counts:
        wait_seconds = next_attempt_seconds(
            claimed.attempts_made + 1,
            waits=_waits(endpoint),
            retry_after_seconds=outcome.retry_after_seconds,
            jitter=random(),  # noqa: S311 - spreads work, guards nothing
        )
        if wait_seconds is None:
            state = "dead"
    return Closing(
        claimed=claimed,
        state="delivered" if state == "delivered" else "dead" if state == "dead" else "waiting",
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


def _tell(
    ended: Sequence[Attempted], closings: Sequence[Closing], held: Sequence[tuple[str, Lane]]
) -> None:
    for attempted, closing in zip(ended, closings, strict=True):
        claimed, outcome = attempted.claimed, attempted.outcome
        metrics.DELIVERIES.labels(endpoint=claimed.endpoint, outcome=closing.state).inc()
        metrics.DELIVERY_SECONDS.labels(endpoint=claimed.endpoint).observe(
            outcome.duration_ms / 1000
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
    for name, lane in held:
        log.error("endpoint.held", endpoint=name, reason=lane.reason)
