"""A look: one claimed row read from its provider, and what came of it."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from service.domain.channel import SILENT_CHANGES
from service.domain.money import Money
from service.domain.polling import PollPlan
from service.domain.request import Answer, BelongsTo, Facts, Key, NotOurs, Observation
from service.errors import SettledError, TooManyCalls, Unauthorised, Unreadable
from service.fetch import Answered, ConnectedAccount, Draw, Line, Purpose, SessionSource, fetch
from service.providers import Exchange, Provider, leaves_amount_open
from service.settings import Endpoint
from service.storage.accounts import pause_accounts
from service.storage.database import Pool
from service.storage.due import CRASHES_MAX, Claimed
from service.storage.unit_of_work import connected
from service.telemetry import metrics, traces
from service.wire import Wire

log = structlog.get_logger()

# No payment is larger, in minor units, and sums of thousands still fit a 64-bit column.
AMOUNT_MINOR_MAX: Final = 10**15

# No list is longer: at 50 entries a page, half a million.
PAGES_MAX: Final = 10_000

# Why a row was not read that the provider has no part in.
CRASHED_TOO_OFTEN: Final = "crashed_too_often"
ACCOUNT_NOT_CONFIGURED: Final = "account_not_configured"


@dataclass(frozen=True, slots=True)
class SyncParts:
    """What a sync touches.

    outbox_filled is called after a commit that wrote messages, recorded after every commit.
    stopping, once set, has nothing more claimed. A list with more than pages_max goes round.
    silent_changes in a row that no webhook announced mean that an account has fallen silent.
    """

    pool: Pool
    accounts: Mapping[str, ConnectedAccount]
    endpoints: Sequence[Endpoint]
    plan: PollPlan
    wire: Wire
    draw: Draw
    answered: Answered
    now: Callable[[], datetime]
    outbox_filled: Callable[[], None]
    recorded: Callable[[], None]
    stopping: asyncio.Event
    sessions: SessionSource | None = None
    pages_max: int = PAGES_MAX
    silent_changes: int = SILENT_CHANGES

    @property
    def line(self) -> Line:
        """How a read reaches its provider."""
        return Line(self.wire, self.draw, self.sessions, self.answered)


@dataclass(frozen=True, slots=True)
class Look:
    """What came of one claimed row: an answer with its evidence, or the reason why not.

    calls is how many it took. hold_seconds is how long the provider wants no further call of this
    account.
    """

    claimed: Claimed
    answer: Answer | None
    failure: SettledError | None = None
    evidence: bytes = b""
    sha256: bytes = b""
    read_at: datetime | None = None
    hold_seconds: float = 0.0
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Known:
    """What we know about a row before it is read.

    owner is the request that it is a part of, facts what was recorded before, registered the
    amount that the ERP wants from this request alone.
    """

    owner: Key | None = None
    facts: Facts | None = None
    registered: Money | None = None


async def look(claim: Claimed, *, known: Known, parts: SyncParts) -> Look:
    """Read one claimed row; every error of ours becomes a failed look.

    Where it is a part of a request, that one has to be read, and this one costs no call.
    """
    if known.owner is not None:
        return Look(claim, BelongsTo(known.owner.kind, known.owner.provider_id))
    if claim.crashes > CRASHES_MAX:
        return Look(claim, NotOurs(CRASHED_TOO_OFTEN))
    account = parts.accounts.get(claim.account)
    if account is None:
        return Look(claim, NotOurs(ACCOUNT_NOT_CONFIGURED))
    if not account.provider.knows(claim.key.kind, claim.provider_id):
        return Look(claim, NotOurs("foreign_id"))
    exchange = _reading(account.provider, claim, known)
    try:
        purpose = purpose_of(claim, account)
        started = time.monotonic()
        fetched = await fetch(account, exchange, line=parts.line, purpose=purpose)
        seconds = time.monotonic() - started
        metrics.READ_SECONDS.labels(account.name).observe(seconds)
        traces.tell(
            "sync",
            claim.traceparent,
            {"account": account.name, "calls": fetched.calls},
            seconds=seconds,
            ended_at=parts.now(),
        )
        _check_amounts(fetched.answer)
    except SettledError as failure:
        return Look(claim, None, failure)
    return Look(
        claim,
        _as_registered(claim, fetched.answer),
        evidence=fetched.evidence,
        sha256=fetched.sha256,
        read_at=parts.now(),
        hold_seconds=fetched.hold_seconds,
        calls=fetched.calls,
    )


def _reading(provider: Provider, claim: Claimed, known: Known) -> Exchange[Answer]:
    kind, provider_id = claim.key.kind, claim.provider_id
    if known.registered is not None and leaves_amount_open(provider):
        return provider.read_registered(kind, provider_id, known.facts, known.registered)
    return provider.read(kind, provider_id, known.facts)


def _as_registered(claim: Claimed, answer: Answer) -> Answer:
    """Return what an answer comes to for what the ERP asked us to watch."""
    if claim.known and isinstance(answer, NotOurs) and answer.as_registered is not None:
        return answer.as_registered
    return answer


def purpose_of(claim: Claimed, account: ConnectedAccount) -> Purpose:
    """Return which part of the budget a claimed row draws on.

    Where the account does not discover, the small one is all that unknown ids ever get.
    """
    if not (claim.known or account.section.discover):
        return "discovery"
    match claim.urgency:
        case 0:
            return "told"
        case 1:
            return "poll"
        case _:
            return "discovery"


def _check_amounts(answer: Answer) -> None:
    """Raise Unreadable for amounts that cannot be stored: one answer must not fail a batch."""
    if not isinstance(answer, Observation):
        return
    facts = answer.facts
    if max(facts.amount or 0, *facts.money) > AMOUNT_MINOR_MAX:
        raise Unreadable("an amount beyond all payments")


async def pause_after(
    failure: SettledError | None, account: str, *, parts: SyncParts, hold_seconds: float = 0.0
) -> float | None:
    """Pause an account whose provider said 401, 403 or 429, or that no calls are left.

    So do all that log in with the same credential: it is them whom the provider means. Return for
    how many seconds, None where there is no reason to pause. In a transaction of its own: account
    rows are not part of the lock order.
    """
    match failure:
        case Unauthorised():
            reason, told = "unauthorised", None
        case TooManyCalls(retry_after_seconds=told):
            reason = "rate_limited"
        case None if hold_seconds > 0:
            reason, told = "rate_limited", hold_seconds
        case _:
            return None
    async with connected(parts.pool) as connection:
        names = _sharing(account, parts)
        seconds = await pause_accounts(connection, names, reason=reason, seconds=told)
    log.error("account.paused", account=account, reason=reason, seconds=round(seconds))
    return seconds


def _sharing(account: str, parts: SyncParts) -> list[str]:
    """Return the names of the accounts that draw on the same budget, this one included."""
    budget = parts.accounts[account].budget
    return [name for name, each in parts.accounts.items() if each.budget == budget]


async def first_ended(flying: set[asyncio.Task[Look]], *, bell: asyncio.Event | None) -> list[Look]:
    """Wait for looks to end, or for the bell if one is given; take the ended ones out of flying."""
    ringing = {asyncio.create_task(bell.wait())} if bell else set()
    try:
        await asyncio.wait({*flying, *ringing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in ringing:
            task.cancel()
    ended = [task for task in flying if task.done()]
    flying.difference_update(ended)
    return [task.result() for task in ended]
