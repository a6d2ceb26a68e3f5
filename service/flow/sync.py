"""Sync: claim what is due, read it from its provider, compare, record.

Reads run side by side on one event loop, and no transaction is open while a provider answers.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

from service.domain.request import Key, ObservedBy
from service.errors import Unavailable
from service.fetch import ConnectedAccount
from service.flow.channel import watch_after
from service.flow.judge import judge
from service.flow.look import Known, Look, SyncParts, first_ended, look
from service.providers import leaves_amount_open
from service.storage.due import Claimed
from service.storage.unit_of_work import Work, unit_of_work

# A batch that could not be written is tried again while its leases last: a deadlock or a
# restarting PostgreSQL must not throw away what the provider answered.
RECORD_WAITS_SECONDS = (0.1, 1.0, 2.0)

# A look that can begin.
Start = Callable[[], Coroutine[Any, Any, Look]]


async def sync_due(parts: SyncParts, *, slots: int, bell: asyncio.Event) -> int:
    """Read and record until nothing is due; return how many rows were looked at.

    slots bounds the reads under way. bell, when set meanwhile, has more claimed at once instead
    of after the last read. What has crashed before is read last, and alone. Raises Unavailable
    when PostgreSQL is away; what was claimed comes back when its lease ends.
    """
    flying: set[asyncio.Task[Look]] = set()
    looked = 0
    more = True
    try:
        while True:
            if (more or bell.is_set()) and _has_room(flying, slots):
                bell.clear()
                more = await _claim(parts, flying, slots - len(flying))
            if flying:
                # A bell that cannot be answered yet must not wake us again and again.
                looks = await first_ended(flying, bell=bell if _has_room(flying, slots) else None)
                if looks:
                    await _record(looks, parts)
                looked += len(looks)
                # What was recorded may have made more due: another request, or the same again.
                more = more or not flying
            elif await _read_alone(parts):
                looked, more = looked + 1, True
            else:
                return looked
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


async def sync_these(keys: Iterable[Key], parts: SyncParts) -> list[Look]:
    """Read and record keys now, as when a person asks for each; return the looks.

    What somebody else is reading just now is left to them: it is wanted once more, so they read
    it again. Raises Unavailable when PostgreSQL is away.
    """
    wanted = list(keys)
    async with unit_of_work(parts.pool) as work:
        await work.due.trigger(wanted, observed_by=ObservedBy.OPERATOR)
        claims = await work.due.claim_these(wanted)
        starts = await starts_of(claims, work, parts)
    looks = list(await asyncio.gather(*(start() for start in starts)))
    if looks:
        await _record(looks, parts)
    return looks


def _has_room(flying: set[asyncio.Task[Look]], slots: int) -> bool:
    """Return whether a claim is worth its statement: a quarter of the slots is free."""
    return len(flying) <= slots * 3 // 4


async def _claim(parts: SyncParts, flying: set[asyncio.Task[Look]], free: int) -> bool:
    """Claim up to free rows and begin to read them; return whether more may be waiting."""
    if parts.stopping.is_set():
        return False
    async with unit_of_work(parts.pool) as work:
        claims = await work.due.claim(free)
        starts = await starts_of(claims, work, parts)
    flying.update(asyncio.create_task(start()) for start in starts)
    return len(claims) == free


async def _read_alone(parts: SyncParts) -> bool:
    """Read and record one row whose claims have ended in crashes, if there is one."""
    if parts.stopping.is_set():
        return False
    async with unit_of_work(parts.pool) as work:
        claim = await work.due.claim_suspicious()
        starts = await starts_of([claim] if claim else [], work, parts)
    looks = [await start() for start in starts]
    if looks:
        await _record(looks, parts)
    return bool(looks)


async def starts_of(claims: Sequence[Claimed], work: Work, parts: SyncParts) -> list[Start]:
    """Return the looks at claimed rows, with what we know about each, not yet begun."""
    if not claims:
        return []
    keys = [claim.key for claim in claims]
    owners = await work.requests.owners(keys)
    # Whatever was read well is known from then on, and nothing is known of the rest.
    requests = await work.requests.find(claim.key for claim in claims if claim.known)
    registered = await work.requests.registered_amounts(
        key for key in keys if _leaves_amount_open(parts.accounts.get(key.account))
    )
    return [
        partial(
            look,
            claim,
            known=Known(
                owners.get(claim.key),
                requests[claim.key].facts if claim.key in requests else None,
                registered.get(claim.key),
            ),
            parts=parts,
        )
        for claim in claims
    ]


def _leaves_amount_open(account: ConnectedAccount | None) -> bool:
    return account is not None and leaves_amount_open(account.provider)


async def _record(looks: list[Look], parts: SyncParts) -> None:
    untold = await _judge(looks, parts)
    await watch_after(looks, untold, parts)


async def _judge(looks: list[Look], parts: SyncParts) -> set[str]:
    for wait_seconds in RECORD_WAITS_SECONDS:
        try:
            return await judge(looks, parts)
        except Unavailable:
            await asyncio.sleep(wait_seconds)
    return await judge(looks, parts)
