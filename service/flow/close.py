"""Closes attempts: what came of each is written with what it says about its lane, then told."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from random import random
from typing import Literal

import structlog

from service.domain.lane import (
    Lane,
    LaneState,
    after_drain,
    after_failure,
    after_success,
    needs_a_person,
)
from service.domain.retry import DELIVERY_WAITS, next_attempt_seconds
from service.errors import Unavailable
from service.flow.attempt import Attempted, DeliverParts
from service.settings import Endpoint
from service.storage.deliveries import Closing, Deliveries
from service.storage.lanes import Lanes
from service.storage.unit_of_work import connected, unit_of_work
from service.telemetry import metrics, traces

log = structlog.get_logger()

# What the ERP answered is written again after these waits while its lease lasts: a deadlock or a
# restarting PostgreSQL must not have it sent twice.
CLOSE_WAITS_SECONDS = (0.1, 1.0, 2.0)

# A delivery's id and the number of its lease.
Lease = tuple[str, int]


async def close(ended: Sequence[Attempted], parts: DeliverParts) -> None:
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
        lanes = Lanes(work.connection)
        before = await lanes.lock(attempted.claimed.endpoint for attempted in ended)
        kept = await Deliveries(work.connection).close(list(closings.values()))
        for attempted in ended:
            if attempted.claimed.lease in kept:
                by_endpoint[attempted.claimed.endpoint].append(attempted)
        for name, of_lane in by_endpoint.items():
            lane = await _move_lane(lanes, before[name], of_lane, parts.endpoints[name])
            if lane.is_unprobed:
                await lanes.put_oldest_first(name)
            if needs_a_person(before[name], lane):
                held[name] = lane
    return kept, held


async def _move_lane(
    lanes: Lanes, lane: Lane, ended: Sequence[Attempted], endpoint: Endpoint
) -> Lane:
    """Judge the endpoint by these attempts; return its lane as it now stands."""
    now = await lanes.clock()
    for attempted in ended:
        lane = _lane_after(lane, attempted, now)
    if lane.state is LaneState.DRAINING:
        waiting = await lanes.waiting(endpoint.name)
        lane = after_drain(lane, now=now, rate=endpoint.rate.per_second, waiting=waiting)
    succeeded = any(attempted.outcome.result == "delivered" for attempted in ended)
    await lanes.save(endpoint.name, lane, succeeded=succeeded)
    return lane


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
