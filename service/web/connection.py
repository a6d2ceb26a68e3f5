"""One connection of the HTTP server, with the bounds that uvicorn and httptools lack.

uvicorn limits neither the bytes of a head nor the time that a request takes to arrive, and its
parser lets a missing Host pass. Source: RELIABILITY.md, section 0 number 8 and T9 to T13.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeGuard, cast

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.web.problems import Problem
from service.web.room import WEBHOOKS, Room
from service.web.turns import Turns

# Data goes to the parser in pieces of this size, so that what it keeps back is counted in time.
PIECE_BYTES = 16 * 1024

# A sender who is refused while still sending reads our answer only if we go on reading: closing
# at once would reset the connection under it. Source: RFC 9112, section 9.6.
LINGER_SECONDS_MAX = 2.0
LINGER_BYTES_MAX = 8 * 1024 * 1024

TURNED_AWAY_DIGITS_MAX = 4  # of Content-Length: a webhook is shorter than 10 kB

# In the scope of a request whose body is all here: its app can read it without a clock.
IS_WHOLE = "settled.is_whole"

NOT_HTTP = Problem(400, "malformed", "this is not HTTP/1.1 as we read it")
NOT_ONE_HOST = Problem(400, "malformed", "expected exactly one Host")
NOT_ONE_LENGTH = Problem(400, "malformed", "expected one way to tell where the body ends")
HEAD_TOO_LARGE = Problem(431, "head_too_large", "too many header fields, or too long")
TOO_SLOW = Problem(408, "too_slow", "the request took too long to arrive")
BUSY = Problem(503, "unavailable", "too many requests", retry_after_seconds=1.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection, and one process, may take up.

    read_seconds_max is from the first byte of a request, or the opening of the connection, to
    the end of the body. requests_max is of webhooks, and of everything else again.
    Source: RELIABILITY.md, T11, T12 and G5.
    """

    head_bytes_max: int = 16 * 1024
    headers_max: int = 100
    read_seconds_max: float = 10.0
    connections_max: int = 8_192
    requests_max: int = 1_024


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, bounded in bytes, fields and time."""

    limits: ClassVar[Limits]
    room: ClassVar[Room]
    turns: ClassVar[Turns]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._line = _Line(transport, self.loop, is_receiving=self._is_receiving)
        self._in_head = True
        self._unseen_bytes = 0  # given to the parser, which has shown us nothing of them yet
        self._reading_since: float | None = self.loop.time()
        self._problem = NOT_HTTP
        self._is_deaf = False
        self._is_turned_away = False
        self._ignored_bytes = 0
        self._cycle_before: RequestResponseCycle | None = None
        super().connection_made(cast("asyncio.Transport", self._line))
        self._watch = self.loop.call_later(self.limits.read_seconds_max, self._close_if_slow)
        if len(self.connections) > self.limits.connections_max:
            transport.write(_raw(BUSY))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        # uvicorn tells the last request alone: one sent before it would go on to answer.
        self._line.hush()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._reading_since is None:
            self._reading_since = self.loop.time()
        for start in range(0, len(data), PIECE_BYTES):
            if self._is_deaf or self._line.is_closing():
                self._ignore(len(data) - start)
                return
            self._parse(data[start : start + PIECE_BYTES])
            if self._unseen_bytes > self.limits.head_bytes_max:
                self._refuse(HEAD_TOO_LARGE)

    def _parse(self, piece: bytes) -> None:
        self._unseen_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as offer:
            self._parse(self._without_offer() + piece[offer.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._problem)

    def _without_offer(self) -> bytes:
        """Return the head again, less its offer to upgrade: the parser would drop the body.

        Java's HTTP client makes such an offer with every request that is not encrypted.
        """
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (self._method, self.url, b"".join(fields))

    def on_message_begin(self) -> None:
        self._in_head = True
        if self._is_turned_away:  # the one before, perhaps in the same piece
            self._is_turned_away = False
            self._unset_keepalive_if_required()
        self._reading_since = self._reading_since or self.loop.time()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Fields after the body would change headers that the app may have judged already.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._unseen_bytes = 0
        self._method = self.parser.get_method()
        if problem := self._problem_with_head():
            self._problem = problem
            raise ValueError(problem.code)  # becomes the parser's error
        if self._is_turned_away:
            return
        if not self.parser.should_upgrade():
            self._cycle_before = self.cycle
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unseen_bytes = 0
        if not self._is_turned_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._unseen_bytes = 0
        self._reading_since = None
        if self._is_turned_away:
            self._turn_away()
        else:
            self.scope[IS_WHOLE] = True  # type: ignore[literal-required]
            super().on_message_complete()

    def _problem_with_head(self) -> Problem | None:
        names = [name for name, _ in self.headers]
        head_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if len(names) > self.limits.headers_max or head_bytes > self.limits.head_bytes_max:
            return HEAD_TOO_LARGE
        if self._method == b"CONNECT":
            return NOT_HTTP
        if names.count(b"host") != 1:
            return NOT_ONE_HOST
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if names.count(b"content-length") + len(codings) > 1 or codings not in ([], [b"chunked"]):
            return NOT_ONE_LENGTH
        if self._is_out_of_room():
            self._is_turned_away = self._is_soon_read()
            return None if self._is_turned_away else BUSY
        return None

    def _is_out_of_room(self) -> bool:
        """Return whether too much of this kind is in hand.

        What was let in a moment ago and is not counted yet counts as of either kind.
        """
        in_hand, webhooks_max = len(self.tasks), self.turns.webhooks_max
        if in_hand < self.limits.requests_max and in_hand < webhooks_max:
            return False
        if not httptools.parse_url(self.url).path.startswith(WEBHOOKS):
            return in_hand - self.room.webhooks >= self.limits.requests_max
        return in_hand - self.room.others >= min(self.limits.requests_max, webhooks_max)

    def _is_soon_read(self) -> bool:
        """Return whether it costs less to read this request than to have its sender dial again."""
        fields = dict(self.headers)
        length = fields.get(b"content-length", b"")
        return (
            (length.isdigit() and len(length) <= TURNED_AWAY_DIGITS_MAX)
            and not {b"expect", b"connection", b"upgrade"} & fields.keys()
            and not self._is_in_hand(self.cycle)
            and not self.flow.write_paused  # whoever reads no answers gets no more of them
            and self.parser.get_http_version() == "1.1"
        )

    def _turn_away(self) -> None:
        """Answer 503 and keep the connection: to open one costs more than to store a call."""
        self._line.write(_TURNED_AWAY)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot become, or remain, a request, and hear no more of this connection."""
        if self._is_deaf:
            return
        self._is_deaf = True
        begun = self.cycle if self._is_in_hand(self.cycle) and self.cycle.more_body else None
        whole = self._cycle_before if begun else self.cycle
        if self._is_in_hand(whole):
            # The complete requests before this one are still being worked on: their answers are
            # the last ones, and ours would be taken for one of them.
            whole.keep_alive = False
            self.pipeline = deque(waiting for waiting in self.pipeline if waiting[0] is not begun)
            return
        if begun is not None:
            begun.disconnected = True
            begun.message_event.set()
        if begun is None or not begun.response_started:
            self._line.write(_raw(problem))
        self._line.close()

    @staticmethod
    def _is_in_hand(cycle: RequestResponseCycle | None) -> TypeGuard[RequestResponseCycle]:
        return cycle is not None and not cycle.response_complete

    def _close_if_slow(self) -> None:
        now = self.loop.time()
        since = now if self._reading_since is None else self._reading_since
        seconds_left = since + self.limits.read_seconds_max - now
        if seconds_left > 0:
            self._watch = self.loop.call_later(seconds_left, self._close_if_slow)
        elif self._in_head and not self._unseen_bytes:
            self._line.abort()
        else:
            self._refuse(TOO_SLOW)

    def _is_receiving(self) -> bool:
        return self._reading_since is not None

    def _ignore(self, size: int) -> None:
        self._ignored_bytes += size
        if self._ignored_bytes > LINGER_BYTES_MAX:
            self._line.abort()


class _Line:
    """A transport that closes in two steps while the other side is still sending.

    First our half, so that it can read the answer; all of it when the other side closes too,
    or after 2 s.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        *,
        is_receiving: Callable[[], bool],
    ) -> None:
        self.write: Callable[[bytes], None] = transport.write
        self.abort = transport.abort
        self._transport = transport
        self._loop = loop
        self._is_receiving = is_receiving
        self._is_half_closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._is_half_closed or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        if not self._is_receiving():
            self._transport.close()
            return
        self._is_half_closed = True
        self._transport.write_eof()
        self.hush()
        self._transport.resume_reading()
        self._loop.call_later(LINGER_SECONDS_MAX, self._transport.abort)

    def hush(self) -> None:
        """Write nothing more: nobody reads it, and the transport would raise."""
        self.write = _unheard


def _unheard(_data: bytes) -> None:
    """Take what somebody still has to say on a line that has ended."""


def _raw(problem: Problem, *, keep: bool = False) -> bytes:
    body = problem.body
    headers = {**problem.headers, "content-length": str(len(body))}
    if not keep:
        headers["connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINE[problem.status_code] + lines.encode() + b"\r\n" + body


_TURNED_AWAY = _raw(BUSY, keep=True)
