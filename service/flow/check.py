"""Checks accounts: a live try of each over the ordinary road, with findings in plain words.

A try costs calls of the account's budget like any read, and tells all workers what it learns: a
refusal pauses the account, an answer ends its pause. What is recorded of requests stays as it is.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import httpx

from service.budget import CallBudget
from service.domain.retry import http_date_in
from service.errors import NotAllowedYet, Rejected, TooManyCalls, Unauthorised, Unavailable
from service.fetch import ConnectedAccount, Fetched, Line, fetch
from service.flow.findings import Health, budget, clock, failure
from service.providers import ChecksAccount, Exchange, Finding, SendsWebhooks, Session
from service.sessions import Sessions
from service.storage.accounts import ensure_accounts, pause_accounts
from service.storage.database import Pool
from service.storage.unit_of_work import connected, unit_of_work
from service.wire import Wire

# How long a check waits for its turn: the longest that a provider has between two sessions (bunq,
# 30 s), and a call.
TURN_SECONDS_MAX: Final = 35.0
TURN_SECONDS: Final = 0.1

# Accounts tried at a time: as many as a pool of two connections serves without refusing any.
AT_A_TIME: Final = 8


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check of an account came to; reached is whether its provider answered."""

    account: str
    provider: str
    findings: tuple[Finding, ...]
    reached: bool

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; what a provider's API cannot tell is not wrong."""
        return self.reached and all(finding.ok is not False for finding in self.findings)


@dataclass(frozen=True, slots=True)
class CheckParts:
    """What a check touches.

    accounts are all that are configured: those with one credential are paused together. base_url
    is how providers reach us, None where it is not configured.
    """

    pool: Pool
    accounts: Mapping[str, ConnectedAccount]
    base_url: str | None
    now: Callable[[], datetime]


async def check_accounts(
    chosen: Sequence[ConnectedAccount], health: Mapping[str, Health], *, parts: CheckParts
) -> list[Checked]:
    """Try accounts side by side and return what was found, in their order.

    health is what the view of accounts shows, by name. Raises Unavailable when PostgreSQL is away.
    """
    locked_out = [account for account in chosen if _is_locked_out(health[account.name])]
    async with unit_of_work(parts.pool) as work:
        await ensure_accounts(work.connection, map(_row_of, chosen), end_pauses=False)
        # Whoever asks for a check may just have mended the credentials.
        await ensure_accounts(work.connection, map(_row_of, locked_out), end_pauses=True)
    turns = asyncio.Semaphore(AT_A_TIME)

    async def check_in_turn(account: ConnectedAccount) -> Checked:
        async with turns:
            return await _check(account, health[account.name], parts)

    return await asyncio.gather(*map(check_in_turn, chosen))


async def _check(account: ConnectedAccount, health: Health, parts: CheckParts) -> Checked:
    """Try one account; what the try runs into is a finding like any other."""
    reached = True
    async with aclosing(ListeningWire(parts.now)) as wire:
        try:
            tried = await _try(account, wire, parts)
        except (Unavailable, Rejected) as error:
            tried = (failure(error, health),)
            reached = isinstance(error, Rejected)
            await _pause_after(error, account, parts)
    findings = (*tried, clock(wire.skew_seconds), budget(health))
    return Checked(
        account.name,
        account.section.provider,
        tuple(_without_token(finding, account) for finding in findings),
        reached,
    )


async def _try(account: ConnectedAccount, wire: Wire, parts: CheckParts) -> tuple[Finding, ...]:
    """Run the provider's own check, waiting for its turn. Raises Unavailable or Rejected."""
    provider = account.provider
    if not isinstance(provider, ChecksAccount):
        return (Finding("login", None, "there is no check for this provider"),)
    calls = CallBudget(parts.pool)

    async def open_session(
        account: ConnectedAccount, exchange: Exchange[Session]
    ) -> Fetched[Session]:
        return await fetch(account, exchange, line=Line(wire, calls.draw), purpose="told")

    line = Line(wire, calls.draw, Sessions(parts.pool, open_session), calls.answered)
    webhook_url = webhook_url_of(account, parts.base_url)
    give_up_at = time.monotonic() + TURN_SECONDS_MAX
    while True:
        try:
            fetched = await fetch(account, provider.check(webhook_url), line=line, purpose="told")
            break
        except NotAllowedYet as error:
            wait_seconds = error.retry_after_seconds or TURN_SECONDS
            if time.monotonic() + wait_seconds > give_up_at:
                raise
        await asyncio.sleep(wait_seconds)
    if fetched.hold_seconds > 0:
        await _pause(account, "rate_limited", fetched.hold_seconds, parts)
    return fetched.answer


def webhook_url_of(account: ConnectedAccount, base_url: str | None) -> str | None:
    """Return where the account's webhooks come in, None where none come or nobody says where.

    What is returned may hold a secret, the path token.
    """
    if base_url is None or not isinstance(account.provider, SendsWebhooks):
        return None
    token = account.section.webhook_token
    below = f"/{token.reveal()}" if token else ""
    return f"{base_url.rstrip('/')}/webhooks/{account.name}{below}"


async def _pause_after(
    error: Unavailable | Rejected, account: ConnectedAccount, parts: CheckParts
) -> None:
    """Tell all workers what a refusal says of the account as a whole, as after any read."""
    if isinstance(error, Unauthorised):
        await _pause(account, "unauthorised", None, parts)
    elif isinstance(error, TooManyCalls):
        await _pause(account, "rate_limited", error.retry_after_seconds, parts)


async def _pause(
    account: ConnectedAccount, reason: str, seconds: float | None, parts: CheckParts
) -> None:
    names = [one.name for one in parts.accounts.values() if one.budget == account.budget]
    async with connected(parts.pool) as connection:
        await pause_accounts(connection, names, reason=reason, seconds=seconds)


def _row_of(account: ConnectedAccount) -> tuple[str, str]:
    return account.name, account.section.provider


def _is_locked_out(health: Health) -> bool:
    return bool(health["state"] == "paused" and health["reason"] == "unauthorised")


def _without_token(finding: Finding, account: ConnectedAccount) -> Finding:
    """Return the finding without what would let anybody call us in the provider's name."""
    if account.section.webhook_token is None:
        return finding
    token = account.section.webhook_token.reveal()
    detail, remedy = (text.replace(token, "***") for text in (finding.detail, finding.remedy))
    return replace(finding, detail=detail, remedy=remedy)


class ListeningWire(Wire):
    """A wire that compares the clocks of those who answer, be it with a refusal, with ours.

    skew_seconds is how far theirs is ahead, None while no answer told.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__(check_addresses=False)
        self._now = now
        self._seconds_min = float("inf")
        self.skew_seconds: float | None = None

    async def send(
        self,
        request: httpx.Request,
        *,
        total_seconds: float,
        body_bytes_max: int,
        truncate: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> httpx.Response:
        """Send as any wire does, and note what the answer's Date says.

        It was written somewhere between sending and receiving, so it is compared with the middle;
        of several answers the fastest says it most exactly.
        """
        sent_at, began = self._now(), time.monotonic()
        response = await super().send(
            request,
            total_seconds=total_seconds,
            body_bytes_max=body_bytes_max,
            truncate=truncate,
            tls=tls,
        )
        seconds = time.monotonic() - began
        their_time = http_date_in(response.headers.get("date", ""))
        if their_time is not None and seconds < self._seconds_min:
            self._seconds_min = seconds
            self.skew_seconds = (their_time - sent_at).total_seconds() - seconds / 2
        return response
