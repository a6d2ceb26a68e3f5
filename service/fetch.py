"""All provider traffic: runs an adapter's exchange within the account's call budget.

An adapter yields HTTP requests; each costs one call of the account's budget, which lives in
PostgreSQL and is shared by all workers. Errors are mapped here, once, for every provider.
"""

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Literal, Protocol, TypeVar

import httpx

from service.domain.retry import parse_retry_after
from service.errors import (
    NotAllowedYet,
    NotFoundThere,
    SettledError,
    TooManyCalls,
    Unauthorised,
    Unavailable,
    Unreadable,
)
from service.providers import Exchange, Provider, Session, needs_session, reads_status, tells_limits
from service.settings import Account, Rate
from service.wire import Wire

T = TypeVar("T")

# What a call is for; told reads keep a part of the budget that polls never touch, and unknown
# ids have a small budget of their own.
Purpose = Literal["told", "poll", "discovery"]

# Draws one call from the budget of an account. Raises NotAllowedYet.
Draw = Callable[["ConnectedAccount", Purpose], Awaitable[None]]

# Told once in an exchange, as soon as the provider knows what was asked for.
Answered = Callable[["ConnectedAccount", Purpose], Awaitable[None]]

ANSWER_BYTES_MAX = 2 * 1024 * 1024  # source: RELIABILITY.md, section 3.6
EXCHANGE_SECONDS_MAX = 15.0

# What plain indexing and computing raise over an answer of another shape.
_UNEXPECTED = (
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ConnectedAccount:
    """An account of the configuration together with its adapter and its call budget.

    tls is set where the provider wants to see a certificate of ours. credential is a fingerprint
    of what the account logs in with, never the secret: accounts that log in with the same share
    one budget. Left empty, the account shares with nobody.
    """

    name: str
    section: Account
    provider: Provider
    limit: Rate
    tls: ssl.SSLContext | None = None
    credential: str = ""

    @property
    def budget(self) -> str:
        """The key of the call budget that the account draws on."""
        return self.credential or self.name


@dataclass(frozen=True, slots=True)
class HeldSession:
    """A session and its number, which names it when the provider refuses it."""

    number: int
    session: Session


class SessionSource(Protocol):
    """Where a call gets the session of an account that has to be logged in to."""

    async def current(self, account: ConnectedAccount) -> HeldSession: ...

    async def renew(self, account: ConnectedAccount, *, spent: int) -> HeldSession: ...


@dataclass(frozen=True, slots=True)
class Fetched(Generic[T]):
    """What an exchange came to, and the raw answers it stands on.

    evidence holds, for each call, a line `METHOD path status length` and the body's bytes.
    hold_seconds is how long the provider wants no further call of this account.
    """

    answer: T
    evidence: bytes
    calls: int
    hold_seconds: float = 0.0

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.evidence).digest()


@dataclass(frozen=True, slots=True)
class Line:
    """How calls reach providers: the wire, the budget, and sessions where they are needed.

    Without answered a good answer ends no pause: that to a login says little about the rest.
    """

    wire: Wire
    draw: Draw
    sessions: SessionSource | None = None
    answered: Answered | None = None


async def fetch(
    account: ConnectedAccount, exchange: Exchange[T], *, line: Line, purpose: Purpose
) -> Fetched[T]:
    """Run an exchange to its end, at most 15 s.

    Raises NotAllowedYet before the first call when the budget is used up, Unavailable,
    TooManyCalls, Unauthorised, NotFoundThere or Unreadable. The generator may catch what an
    answer's status comes to, such as NotFoundThere for a secondary read. A refused session is
    renewed once.
    """
    try:
        async with asyncio.timeout(EXCHANGE_SECONDS_MAX):
            if line.sessions is not None and needs_session(account.provider):
                # First, because opening one takes time, and a call is drawn to be used at once.
                await line.sessions.current(account)
            await line.draw(account, purpose)
            return await _run(account, exchange, line=line, purpose=purpose)
    except TimeoutError as error:
        raise Unavailable("exchange_timeout") from error
    finally:
        exchange.close()


async def _run(
    account: ConnectedAccount, exchange: Exchange[T], *, line: Line, purpose: Purpose
) -> Fetched[T]:
    evidence: list[bytes] = []
    hold_seconds = 0.0
    is_answered = False
    step: Callable[[], httpx.Request] = lambda: next(exchange)  # noqa: E731 - rebound below
    while True:
        try:
            request = step()
        except StopIteration as done:
            return Fetched(done.value, b"".join(evidence), len(evidence), hold_seconds)
        except SettledError:
            raise
        except _UNEXPECTED as error:
            # Adapters index plainly; a missing field or a wrong type ends here.
            raise Unreadable(f"{type(error).__name__} in the answer") from error
        if evidence:
            await _draw_when_allowed(account, purpose, line.draw)
        response = await _send(account, request, line=line, purpose=purpose)
        hold_seconds = max(hold_seconds, _hold_seconds(account, response))
        refusal = _error_in(account, response, hold_seconds)
        if refusal is None and not is_answered and line.answered is not None:
            # At once: after a pause the exchange's next call waits for this.
            await line.answered(account, purpose)
            is_answered = True
        # An id that exists has done with the small budget of unknown ones.
        purpose = "poll" if purpose == "discovery" else purpose
        evidence.append(_evidence(request, response))
        step = _next_step(exchange, response, refusal)


async def _send(
    account: ConnectedAccount, request: httpx.Request, *, line: Line, purpose: Purpose
) -> httpx.Response:
    """Send one request, with the account's session where it needs one."""
    provider = account.provider
    if line.sessions is None or not needs_session(provider):
        return await _send_as_it_is(account, request, line.wire)
    held = await line.sessions.current(account)
    response = await _send_as_it_is(account, provider.authorise(request, held.session), line.wire)
    if response.status_code != httpx.codes.UNAUTHORIZED:
        return response
    held = await line.sessions.renew(account, spent=held.number)
    await _draw_when_allowed(account, purpose, line.draw)
    return await _send_as_it_is(account, provider.authorise(request, held.session), line.wire)


async def _send_as_it_is(
    account: ConnectedAccount, request: httpx.Request, wire: Wire
) -> httpx.Response:
    return await wire.send(
        request,
        total_seconds=account.section.timeout.total_seconds(),
        body_bytes_max=ANSWER_BYTES_MAX,
        tls=account.tls,
    )


def _hold_seconds(account: ConnectedAccount, response: httpx.Response) -> float:
    provider = account.provider
    if tells_limits(provider):
        return provider.wait_seconds(response, now=datetime.now(UTC)) or 0.0
    return 0.0


def _next_step(
    exchange: Exchange[T], response: httpx.Response, refusal: SettledError | None
) -> Callable[[], httpx.Request]:
    if refusal is not None:
        return lambda: exchange.throw(refusal)
    return lambda: exchange.send(response)


def _error_in(
    account: ConnectedAccount, response: httpx.Response, hold_seconds: float
) -> SettledError | None:
    """Return what a status comes to. Source: CONTRACT.md, section 3, last paragraph."""
    provider, status = account.provider, response.status_code
    if reads_status(provider) and (own := provider.error_for(response)) is not None:
        return own
    if 200 <= status < 300:
        return None
    if status in (401, 403):
        return Unauthorised(f"http_{status}")
    if status == 404:
        return NotFoundThere("http_404")
    if status == 429:
        wait = parse_retry_after(response.headers.get("retry-after", ""), now=datetime.now(UTC))
        return TooManyCalls("http_429", retry_after_seconds=wait or hold_seconds or None)
    if status >= 500 or status in (408, 425) or 300 <= status < 400:
        return Unavailable(f"http_{status}")
    return Unreadable(f"http_{status}")


async def _draw_when_allowed(account: ConnectedAccount, purpose: Purpose, draw: Draw) -> None:
    """Draw the budget for a further call of an exchange, waiting for it: half a read is waste."""
    while True:
        try:
            return await draw(account, purpose)
        except NotAllowedYet as error:
            await asyncio.sleep(min(error.retry_after_seconds or 0.1, 5.0))


def _evidence(request: httpx.Request, response: httpx.Response) -> bytes:
    path = request.url.raw_path.decode("ascii", "replace")
    head = f"{request.method} {path} {response.status_code} {len(response.content)}\n"
    return head.encode() + response.content + b"\n"
