"""Sync: claim what is due, read it from its provider, compare, record.

Reads run side by side on one event loop, and no transaction is open while a provider answers.
"""

import asyncio

from service.errors import Unavailable
from service.flow.judge import judge
from service.flow.look import Look, SyncParts, first_ended, look
from service.storage.due import Claimed
from service.storage.unit_of_work import unit_of_work

# A batch that could not be written is tried again while its leases last: a deadlock or a
# restarting PostgreSQL must not throw away what the provider answered.
RECORD_WAITS_SECONDS = (0.1, 1.0, 2.0)

# After this many crashes a row is read alone, so that it takes nobody with it.
SUSPICIOUS_CRASHES = 2


async def sync_due(parts: SyncParts, *, slots: int, bell: asyncio.Event) -> int:
    """Read and record until nothing is due; return how many rows were looked at.

    slots bounds the reads under way. bell, when set meanwhile, has more claimed at once instead
    of after the last read. Raises Unavailable when PostgreSQL is away; what was claimed comes
    back when its lease ends.
    """
    flying: set[asyncio.Task[Look]] = set()
    looked = 0
    more = True
    try:
        while True:
            if (more or bell.is_set()) and len(flying) <= slots * 3 // 4:
                bell.clear()
                more = await _claim(parts, flying, slots - len(flying))
            if not flying:
                return looked
            looks = await first_ended(flying, bell=bell)
            if looks:
                looked += len(looks)
                await _record(looks, parts)
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


async def _claim(parts: SyncParts, flying: set[asyncio.Task[Look]], free: int) -> bool:
    """Claim up to free rows and begin to read them; return whether more may be waiting."""
    if parts.stopping.is_set():
        return False
    async with unit_of_work(parts.pool) as work:
        claims = await work.due.claim(free)
        if not claims:
            return False
        owners = await work.requests.owners(claim.key for claim in claims)
        known = await work.requests.find(claim.key for claim in claims)
    suspicious = [claim for claim in claims if claim.crashes > SUSPICIOUS_CRASHES]
    for claim in claims:
        if claim in suspicious:
            continue
        request = known.get(claim.key)
        facts = request.facts if request else None
        task = look(claim, owner=owners.get(claim.key), known=facts, parts=parts)
        flying.add(asyncio.create_task(task))
    for claim in suspicious:
        await _read_alone(claim, parts)
    return len(claims) == free


async def _read_alone(claim: Claimed, parts: SyncParts) -> None:
    """Read and record a row whose reads have ended in crashes before."""
    await _record([await look(claim, owner=None, known=None, parts=parts)], parts)


async def _record(looks: list[Look], parts: SyncParts) -> None:
    for wait_seconds in RECORD_WAITS_SECONDS:
        try:
            await judge(looks, parts)
        except Unavailable:
            await asyncio.sleep(wait_seconds)
        else:
            return
    await judge(looks, parts)
