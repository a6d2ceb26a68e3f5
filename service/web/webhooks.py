"""POST /webhooks/{account} and /webhooks/{account}/{token}: the way in.

The hot path, so it speaks ASGI itself: no Request and no Response is made.
Source: PERFORMANCE.md, section 9; CONTRACT.md, section 4.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from service.domain.event import Call
from service.errors import Malformed, Refused, TooLarge, Unavailable, Unsupported
from service.flow.receive import admit, comes_from, receive
from service.runtime import Runtime
from service.telemetry.metrics import WEBHOOK_SECONDS, WEBHOOKS
from service.telemetry.traces import receiving
from service.web.connection import IS_WHOLE
from service.web.problems import BUG, Problem, problem_of, send_problem
from service.web.turns import Turns

log = structlog.get_logger()

# The provider with the least patience waits 4 s. Source: CONTRACT.md, section 4.
ANSWER_SECONDS_MAX = 3.5
RETRY_AFTER_SECONDS = 2.0

# Bodies in memory at a time, all calls together; an honest burst of 1,000 small calls needs 1 MiB.
BODY_BYTES_HELD_MAX = 64 * 1024 * 1024

# A header that comes twice lets two readers see different things, so only lists may, and what
# proxies add to. Source: RELIABILITY.md, T6; RFC 9110, section 5.3.
REPEATABLE = {
    *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control"),
    *("connection", "cookie", "forwarded", "keep-alive", "pragma", "te", "tracestate", "via"),
    *("warning", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"),
    *("x-request-id",),
    # Joined they fit no body: the provider's adapter refuses them as it refuses a bad signature.
    *("webhook-signature", "x-bunq-server-signature"),
}

# Found once for each pair: to look a counter up by its labels costs more than to add to it.
_counter = cache(WEBHOOKS.labels)

NOT_POST = Problem(405, "method_not_allowed", "webhooks are sent with POST", allow="POST")
LATE = Problem(503, "unavailable", "not stored in time", RETRY_AFTER_SECONDS)

_STORED_START: Message = {"type": "http.response.start", "status": 204, "headers": []}
_STORED_END: Message = {"type": "http.response.body"}


class WebhookDoor:
    """Answers 204 once the events are stored, else with a problem, within 3.5 s.

    A problem closes the connection: part of the body may not have been read. Only who came in
    vain with a whole call keeps his: to open one costs more than to store a call. No log line for
    a call that was stored: its rows are the record.
    """

    def __init__(self) -> None:
        self._bytes_held = 0

    async def __call__(self, scope: Scope, channel: Receive, send: Send) -> None:
        try:
            await self._answer(scope, channel, send)
        except Exception:
            await send_problem(send, BUG, close=True)
            raise  # so that the server logs it

    async def _answer(self, scope: Scope, channel: Receive, send: Send) -> None:
        here: Runtime = scope["state"]["runtime"]
        account, token = named_in(scope)
        label = account if account in here.accounts else "unknown"
        outcome = BUG.code  # unless we come to an answer of our own
        try:
            problem = await self._problem_with(scope, channel, here, account, token)
            outcome = problem.code if problem else "stored"
        except ClientDisconnect:
            outcome = "disconnected"
            return
        finally:
            _counter(label, outcome).inc()
        if problem is None:
            await send(_STORED_START)
            await send(_STORED_END)
        else:
            log.info("webhook.refused", account=label, code=problem.code)
            comes_again = problem.status_code == 503 and IS_WHOLE in scope
            await send_problem(send, problem, close=not comes_again)

    async def _problem_with(
        self, scope: Scope, channel: Receive, here: Runtime, account: str, token: str | None
    ) -> Problem | None:
        """Take a call in; return what is wrong with it, None when it is stored.

        What arrived whole and begins at once waits for its commit alone, and that has a limit of
        its own: a clock of ours would cost more than the parsing.
        """
        if scope["method"] != "POST":
            return NOT_POST
        turns: Turns = scope["state"]["turns"]
        try:
            if IS_WHOLE in scope and turns.take_at_once():
                await self._take_in(scope, channel, here, account, token)
            else:
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    await turns.take()
                    await self._take_in(scope, channel, here, account, token)
        except (Refused, Unavailable) as error:
            return problem_of(error)
        except TimeoutError:
            return LATE
        return None

    async def _take_in(
        self, scope: Scope, channel: Receive, here: Runtime, account: str, token: str | None
    ) -> None:
        headers = headers_of(scope["headers"])
        source = source_of(scope, headers, here.settings.settled.trusted_proxies)
        # Whoever is not let in is answered before his body is read: its size tells him nothing.
        admitted = admit(account, token=token, source=source, accounts=here.accounts)
        check_body_headers(headers, admitted.provider.body_bytes_max)
        body = await self._read(channel, admitted.provider.body_bytes_max)
        began = time.perf_counter()
        try:
            with receiving(account, headers) as carried:
                call = Call(carried, body, received_at=datetime.now(UTC))
                await receive(call, admitted, store=here.writer.store, wake=here.wake)
        finally:
            WEBHOOK_SECONDS.observe(time.perf_counter() - began)

    async def _read(self, channel: Receive, limit: int) -> bytes:
        """Return the body. Raises TooLarge as soon as it is, Unavailable, ClientDisconnect."""
        chunks: list[bytes] = []
        size = 0
        try:
            more = True
            while more:
                message = await channel()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk = message.get("body", b"")
                size += len(chunk)
                self._bytes_held += len(chunk)
                if size > limit:
                    raise TooLarge(f"more than {limit} bytes")
                if self._bytes_held > BODY_BYTES_HELD_MAX:
                    raise Unavailable("too many calls", retry_after_seconds=RETRY_AFTER_SECONDS)
                chunks.append(chunk)
                more = message.get("more_body", False)
        finally:
            self._bytes_held -= size
        return b"".join(chunks)


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name, lists joined. Raises Malformed for one that repeats."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in headers:
            if name not in REPEATABLE:
                raise Malformed("a header is repeated", code="repeated_header")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def named_in(scope: Scope) -> tuple[str, str | None]:
    """Return account and token of the path; "", which no account is called, for a path of others.

    Names and tokens need no percent-encoding, and one that is decoded to a slash or a line
    break would be read differently by whoever stands in front of us.
    """
    match scope["raw_path"].decode("latin-1").split("/"):
        case ["", "webhooks", account] if "%" not in account:
            return account, None
        case ["", "webhooks", account, token] if token and "%" not in account + token:
            return account, token
        case _:
            return "", None


def check_body_headers(headers: Mapping[str, str], limit: int) -> None:
    """Raise Unsupported for a compressed body, TooLarge for one that says so beforehand."""
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Unsupported("the body must not be compressed")
    declared = headers.get("content-length", "0")
    if not declared.isdecimal():
        raise Malformed("expected digits in Content-Length")
    if int(declared) > limit:
        raise TooLarge(f"more than {limit} bytes")


def source_of(
    scope: Scope, headers: Mapping[str, str], trusted_proxies: tuple[str, ...]
) -> str | None:
    """Return the address that called: behind trusted proxies, the last one that is not theirs."""
    client = scope.get("client")
    address: str | None = client[0] if client else None
    if not trusted_proxies:
        return address
    hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",") if hop.strip()]
    while hops and comes_from(address, trusted_proxies):
        address = hops.pop()
    return address
