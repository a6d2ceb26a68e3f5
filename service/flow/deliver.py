"""Deliver: claim what is waiting, sign and post, close. Transaction, network, transaction.

Order is kept per request and per order, because only the first waiting delivery of each is ever
claimed. Every endpoint has its own lane with its own rate and its own slots, so that a slow one
never takes another's.
"""

import asyncio
from collections import Counter
from dataclasses import replace

import structlog

from service.domain.lane import Allowance, LaneState, after_claim, may_send
from service.errors import Unavailable
from service.flow.attempt import Attempted, Claimed, DeliverParts, attempt
from service.flow.close import close
from service.settings import Endpoint
from service.storage.batches import claim_batch
from service.storage.deliveries import LEASE_MARGIN_SECONDS, Deliveries
from service.storage.lanes import Lanes, LaneSeen
from service.storage.unit_of_work import connected
from service.storage.untold import supersede

log = structlog.get_logger()

# How long to wait for a lane that has work but no credit yet.
LOOK_AGAIN_SECONDS = 0.1

# How long to wait where another worker was faster: it has written what it claimed by then.
BEATEN_SECONDS = 0.005

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
                await close(ended, parts)
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


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
        lanes = await Lanes(connection).with_work()
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
        allowance = may_send(seen.lane, now=seen.at, rate=endpoint.rate.per_second)
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
            task = attempt(together, endpoint, claimed, parts)
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
        seen.lane, sent, now=seen.at, rate=endpoint.rate.per_second, timeout_seconds=lease_seconds
    )
    async with connected(parts.pool) as connection:
        deliveries = Deliveries(connection)
        if endpoint.compact and seen.lane.state is LaneState.DRAINING:
            async with connection.transaction():
                await Lanes(connection).lock([endpoint.name])
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
