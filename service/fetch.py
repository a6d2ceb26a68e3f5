"""All provider traffic: runs an adapter's exchange within the account's call budget.

An adapter yields HTTP requests; each costs one call of the account's budget, which lives in
PostgreSQL and is shared by all workers. Errors are mapped here, once, for every provider.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Literal, TypeVar

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
from service.providers import Exchange, Provider
from service.settings import Account, Rate
from service.wire import Wire

T = TypeVar("T")

# What a call is for; told reads keep a part of the budget that polls never touch, and unknown
# ids have a small budget of their own.
Purpose = Literal["told", "poll", "discovery"]

# Draws one call from the budget of an account. Raises NotAllowedYet.
Draw = Callable[["ConnectedAccount", Purpose], Awaitable[None]]

ANSWER_BYTES_MAX = 2 * 1024 * 1024  # source: RELIABILITY.md, section 3.6
EXCHANGE_SECONDS_MAX = 15.0


@dataclass(frozen=True, slots=True)
class ConnectedAccount:
    """An account of the configuration together with its adapter and its call budget."""

    name: str
    section: Account
    provider: Provider
    limit: Rate


@dataclass(frozen=True, slots=True)
class Fetched(Generic[T]):
    """What an exchange came to, and the raw answers it stands on.

    evidence holds, for each call, a line `METHOD path status length` and the body's bytes.
    """

    answer: T
    evidence: bytes
    calls: int

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.evidence).digest()


async def fetch(
    account: ConnectedAccount, exchange: Exchange[T], *, wire: Wire, draw: Draw, purpose: Purpose
) -> Fetched[T]:
    """Run an exchange to its end, at most 15 s.

    Raises NotAllowedYet before the first call when the budget is used up, Unavailable,
    TooManyCalls, Unauthorised, NotFoundThere or Unreadable. The generator may catch
    NotFoundThere for a secondary read.
    """
    await draw(account, purpose)
    try:
        async with asyncio.timeout(EXCHANGE_SECONDS_MAX):
            return await _run(account, exchange, wire=wire, draw=draw, purpose=purpose)
    except TimeoutError as error:
        raise Unavailable("exchange_timeout") from error
    finally:
        exchange.close()


async def _run(
    account: ConnectedAccount, exchange: Exchange[T], *, wire: Wire, draw: Draw, purpose: Purpose
) -> Fetched[T]:
    evidence: list[bytes] = []
    calls = 0
    step: Callable[[], httpx.Request] = lambda: next(exchange)  # noqa: E731 - rebound below
    while True:
        try:
            request = step()
        except StopIteration as done:
            return Fetched(done.value, b"".join(evidence), calls)
        except SettledError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # Adapters index plainly; a missing field or a wrong type ends here.
            raise Unreadable(f"{type(error).__name__} in the answer") from error
        if calls:
            await _draw_when_allowed(account, purpose, draw)
        calls += 1
        response = await wire.send(
            request,
            total_seconds=account.section.timeout.total_seconds(),
            body_bytes_max=ANSWER_BYTES_MAX,
        )
        evidence.append(_evidence(request, response))
        step = _next_step(exchange, response)


def _next_step(exchange: Exchange[T], response: httpx.Response) -> Callable[[], httpx.Request]:
    if response.status_code == httpx.codes.NOT_FOUND:
        return lambda: exchange.throw(NotFoundThere("http_404"))
    _raise_for_status(response)
    return lambda: exchange.send(response)


def _raise_for_status(response: httpx.Response) -> None:
    """Map a status to our errors. Source: CONTRACT.md, section 3, last paragraph."""
    status = response.status_code
    if 200 <= status < 300:
        return
    if status in (401, 403):
        raise Unauthorised(f"http_{status}")
    if status == 429:
        wait = parse_retry_after(response.headers.get("retry-after", ""), now=datetime.now(UTC))
        raise TooManyCalls("http_429", retry_after_seconds=wait)
    if status >= 500 or status in (408, 425) or 300 <= status < 400:
        raise Unavailable(f"http_{status}")
    raise Unreadable(f"http_{status}")


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
