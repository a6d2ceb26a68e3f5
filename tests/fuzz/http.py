"""What arrives at a socket: our connection, judged by another parser, and the way to an account."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import h11
from starlette.types import Receive, Scope, Send

from service.domain.event import Call
from service.web.app import create_app
from service.web.connection import Limits
from service.web.server import Server
from service.web.turns import Turns
from tests.fuzz.target import Target
from tests.web.conftest import not_opened
from tests.web.test_webhooks import HINT, TOKEN, accounts_of, settings_of

HEAD = b"POST /webhooks/ginger-nl/" + TOKEN.encode() + b" HTTP/1.1\r\nHost: settled\r\n"
TURNS = 12  # of the loop, enough for every task of a connection to end
BYTES_MAX = 64 * 1024

REQUESTS = [
    HEAD + b"Content-Length: 5\r\n\r\nfirst" + HEAD + b"Content-Length: 0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nfirst\r\n0\r\nX: y\r\n\r\n",
    HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi",
    b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" + HEAD + b"\r\n",
    HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"\r\n" + HEAD + b"X-Long: " + b"x" * 900 + b"\r\n\r\n",
    HEAD.replace(b"\r\n", b"\n") + b"\n",
]
RIGHT = [b"/webhooks/ginger-nl/" + TOKEN.encode(), b"/webhooks/open"]
PATHS = [
    *RIGHT,
    RIGHT[0] + b"?a=b#c",
    b"http://settled" + RIGHT[0],
    b"//settled" + RIGHT[1],
    b"/webhooks/./open/../open",
    b"/webhooks/%6fpen;x",
    b"*",
]
PATH_WORDS = [
    *(
        b"/",
        b"//",
        b"/.",
        b"/..",
        b"/./",
        b"\\",
        b"%2f",
        b"%2F",
        b"%2e",
        b"%00",
        b"%",
        b";",
        b";x=y",
    ),
    *(b"?", b"#", b"http://", b"https://a@b:8", b"HTTP://", b":80", b"[::1]", b" ", b"\t", b"\xe9"),
    *(b"webhooks", b"/webhooks/", b"open", b"ginger-nl", TOKEN.encode(), TOKEN.upper().encode()),
    *(b"readyz", b"v1", b"console"),
]

Seen = tuple[bytes, bytes, bytes]  # method, target and body of a request


def targets() -> dict[str, Target]:
    return {
        "connection": Target(_connection, REQUESTS),
        "path": Target(_path, PATHS, PATH_WORDS),
    }


@dataclass
class Wire:
    """Stands for a socket: keeps what is written, and what is once it has ended."""

    written: bytes = b""
    written_late: bytes = b""
    is_closed: bool = False
    is_ended: bool = False

    def write(self, data: bytes) -> None:
        if self.is_closed or self.is_ended:
            self.written_late += data
        else:
            self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def write_eof(self) -> None:
        """The other half stays open."""
        self.is_ended = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        """Whoever feeds this connection does not wait."""

    resume_reading = pause_reading

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 7) if name in ("peername", "sockname") else default


@dataclass
class Witness:
    """An application that remembers the requests that came through whole."""

    seen: list[Seen] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = [name for name, _ in scope["headers"]]
        assert names.count(b"host") == 1
        assert not {b"content-length", b"transfer-encoding"} <= set(names)
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        target = scope["raw_path"] + (
            b"?" + scope["query_string"] if scope["query_string"] else b""
        )
        self.seen.append((scope["method"].encode(), target, body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@cache
def loop() -> asyncio.AbstractEventLoop:
    """One loop for the whole process; it runs in `turn` alone."""
    return asyncio.new_event_loop()


def connected(
    app: Any, *, state: dict[str, Any] | None = None, limits: Limits | None = None
) -> tuple[asyncio.Protocol, Wire, Server]:
    """Return a new connection to app, its wire, and its server."""
    server, wire = Server(app, limits=limits), Wire()
    server.config.load()
    protocol = server.config.http_protocol_class(  # type: ignore[call-arg]
        config=server.config, server_state=server.server_state, app_state=state or {}, _loop=loop()
    )
    protocol.connection_made(cast("asyncio.Transport", wire))
    return protocol, wire, server


def turn() -> None:
    for _ in range(TURNS):
        loop().call_soon(loop().stop)
        loop().run_forever()


def _talk(app: Any, *pieces: bytes, state: dict[str, Any] | None = None) -> Wire:
    """Have a connection of its own receive the pieces; return what it wrote."""
    protocol, wire, server = connected(app, state=state)
    for piece in pieces:
        if not wire.is_closed:
            protocol.data_received(piece)
            turn()
    wire.is_closed = True
    protocol.connection_lost(None)
    turn()
    assert not wire.written_late
    assert not server.server_state.tasks, "a task that outlives its connection"
    return wire


def _connection(data: bytes) -> None:
    """The same requests come through however the bytes are cut, and h11 reads the same ones."""
    data = data[:BYTES_MAX]
    whole, cut = Witness(), Witness()
    wire = _talk(whole, data)
    third = len(data) // 3
    _talk(cut, data[:third], data[third : 2 * third], data[2 * third :])
    assert whole.seen == cut.seen
    for ours, theirs in zip(whole.seen, _read_by_h11(data), strict=False):
        assert ours == theirs
    assert not wire.written or wire.written.startswith(b"HTTP/1.1 ")
    assert wire.written.count(b"HTTP/1.1 200 ") >= len(whole.seen)


def _read_by_h11(data: bytes) -> Iterator[Seen]:
    """Yield the requests that h11 finds in data, to the first that it refuses or that is cut."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=BYTES_MAX)
    parser.receive_data(data)
    method, target, body = b"", b"", b""
    try:
        while True:
            match parser.next_event():
                case h11.Request() as request:
                    method, target, body = request.method, request.target, b""
                case h11.Data() as piece:
                    body += piece.data
                case h11.EndOfMessage():
                    yield method, target.partition(b"#")[0], body
                    parser.send(h11.Response(status_code=200, headers=[]))
                    parser.send(h11.EndOfMessage())
                    parser.start_next_cycle()
                case _:
                    return
    except h11.ProtocolError:
        return


@dataclass
class Door:
    """What a webhook needs of the runtime, with a store that only remembers the accounts."""

    stored: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = settings_of()
        self.accounts = accounts_of(self.settings)
        self.writer = self

    async def store(self, account: str, _call: Call, _events: object) -> None:
        self.stored.append(account)

    def wake(self) -> None:
        """Nobody works here."""


@cache
def _door() -> tuple[Any, Door]:
    return create_app(not_opened), Door()


def _path(target: bytes) -> None:
    """Only the right path, spelled as we write it, leads to an account."""
    app, door = _door()
    door.stored.clear()
    head = b"POST %b HTTP/1.1\r\nHost: settled\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    wire = _talk(app, head % (target, len(HINT)) + HINT, state={"runtime": door, "turns": Turns()})
    if wire.written.startswith(b"HTTP/1.1 204 "):
        account = door.stored[0]
        right = RIGHT[0] if account == "ginger-nl" else RIGHT[1]
        assert _path_of(target) == right
    else:
        assert not door.stored


def _path_of(target: bytes) -> bytes:
    """Return the path in a target of either form. Source: RFC 9112, section 3.2.

    More than one space before it is no part of it: parsers may split a line at its words.
    """
    path = target.lstrip(b" ").split(b" ")[0].partition(b"?")[0].partition(b"#")[0]
    if not path.startswith(b"/"):
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    return path
