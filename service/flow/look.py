"""A look: one claimed row read from its provider, and what came of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.domain.polling import PollPlan
from service.domain.request import Answer, BelongsTo, Facts, Key, NotOurs
from service.errors import SettledError
from service.fetch import ConnectedAccount, Draw, Purpose, fetch
from service.settings import Endpoint
from service.storage.database import Pool
from service.storage.due import CRASHES_MAX, Claimed
from service.wire import Wire


@dataclass(frozen=True, slots=True)
class SyncParts:
    """What a sync touches.

    outbox_filled is called after a commit that wrote messages, recorded after every commit.
    stopping, once set, has nothing more claimed.
    """

    pool: Pool
    accounts: Mapping[str, ConnectedAccount]
    endpoints: Sequence[Endpoint]
    plan: PollPlan
    wire: Wire
    draw: Draw
    answered: Callable[[ConnectedAccount, Purpose], Awaitable[None]]
    now: Callable[[], datetime]
    outbox_filled: Callable[[], None]
    recorded: Callable[[], None]
    stopping: asyncio.Event


@dataclass(frozen=True, slots=True)
class Look:
    """What came of one claimed row: an answer with its evidence, or the reason why not."""

    claimed: Claimed
    answer: Answer | None
    failure: SettledError | None = None
    evidence: bytes = b""
    sha256: bytes = b""
    read_at: datetime | None = None


async def look(claim: Claimed, *, owner: Key | None, known: Facts | None, parts: SyncParts) -> Look:
    """Read one claimed row; every error of ours becomes a failed look.

    owner is the request that the row is known to be a part of: then that one has to be read,
    and this one costs no call.
    """
    if owner is not None:
        return Look(claim, BelongsTo(owner.kind, owner.provider_id))
    if claim.crashes > CRASHES_MAX:
        return Look(claim, NotOurs("crashed_too_often"))
    account = parts.accounts.get(claim.account)
    if account is None:
        return Look(claim, NotOurs("account_not_configured"))
    if not account.provider.knows(claim.key.kind, claim.provider_id):
        return Look(claim, NotOurs("foreign_id"))
    exchange = account.provider.read(claim.key.kind, claim.provider_id, known)
    try:
        purpose = purpose_of(claim)
        fetched = await fetch(account, exchange, wire=parts.wire, draw=parts.draw, purpose=purpose)
        await parts.answered(account, purpose)
    except SettledError as failure:
        return Look(claim, None, failure)
    return Look(claim, fetched.answer, None, fetched.evidence, fetched.sha256, parts.now())


def purpose_of(claim: Claimed) -> Purpose:
    """Return which part of the budget a claimed row draws on."""
    match claim.urgency:
        case 0:
            return "told"
        case 1:
            return "poll"
        case _:
            return "discovery"


async def first_ended(flying: set[asyncio.Task[Look]], *, bell: asyncio.Event) -> list[Look]:
    """Wait for looks to end or for the bell; take the ended ones out of flying."""
    ringing = asyncio.create_task(bell.wait())
    try:
        await asyncio.wait({*flying, ringing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ringing.cancel()
    ended = [task for task in flying if task.done()]
    flying.difference_update(ended)
    return [task.result() for task in ended]
