"""The HTTP server: uvicorn on uvloop and httptools, one process."""

import asyncio
import contextlib
import gc
import resource
import socket
from collections.abc import Callable, Iterator
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from service.errors import Misconfigured
from service.web.accepting import Acceptor
from service.web.connection import Connection, Limits
from service.web.room import Room
from service.web.turns import Turns

BACKLOG = 2_048
KEEP_ALIVE_SECONDS = 5
GRACEFUL_SECONDS = 10
GARBAGE_OBJECTS_MIN = 20_000  # a few hundred calls in hand, a few megabytes


def run(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    share_port: bool = False,
    limits: Limits | None = None,
    on_listening: Callable[[int], None] | None = None,
    on_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve app from this process until SIGTERM or SIGINT; requests in hand get 10 s to finish.

    on_listening is told the port, which matters where 0 asks the system to choose one.
    on_stopping is called on the loop when the end begins, before what is in hand finishes. With
    share_port several processes listen on one port and the kernel spreads the connections.
    Raises Misconfigured when the address cannot be had, SystemExit when app does not start.
    """
    _raise_file_limit()
    with bind(host, port, share_port=share_port) as listener:
        server = Server(app, limits=limits, on_listening=on_listening, on_stopping=on_stopping)
        server.run([listener])


def bind(host: str, port: int, *, share_port: bool = False) -> socket.socket:
    """Return a socket bound to an address; it listens only once the app has started."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with contextlib.ExitStack() as on_error:
            listener = on_error.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if share_port:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(address)
            on_error.pop_all()
    except OSError as error:
        raise Misconfigured(
            f"settled.listen: expected an address to listen on, got {host}:{port}: {error.strerror}"
        ) from error
    return listener


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Server(uvicorn.Server):
    """uvicorn's server with our settings; a signal ends it by returning.

    An app that has webhooks take turns names them in its lifespan's state, as turns.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits | None = None,
        on_listening: Callable[[int], None] | None = None,
        on_stopping: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_listening = on_listening
        self._on_stopping = on_stopping
        room = Room(app)
        bounded = {"limits": limits or Limits(), "room": room, "turns": Turns()}
        self._protocol = cast("type[Connection]", type("Bounded", (Connection,), bounded))
        self._acceptors: list[Acceptor] = []
        super().__init__(
            uvicorn.Config(
                room,
                loop="uvloop",
                http=self._protocol,
                ws="none",
                interface="asgi3",
                lifespan="on",
                log_config=None,
                log_level="error",  # below that, every garbled call of anybody is a log line
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACEFUL_SECONDS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        self._protocol.turns = self.lifespan.state.get("turns", self._protocol.turns)
        for listener in sockets or []:
            self._acceptors.append(Acceptor(listener, self._connection))
            self._acceptors[-1].start(BACKLOG)
        # What is there now stays: collecting garbage need not walk through it under load. Nor need
        # it walk through calls that come and go: nearly all of them leave without its help.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_OBJECTS_MIN, *gc.get_threshold()[1:])
        if self._on_listening is not None and sockets:
            self._on_listening(sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stopping()
        for acceptor in self._acceptors:
            await acceptor.stop()
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        connection: asyncio.Protocol = self._protocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return connection

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal. uvicorn would raise it again at the end; we end with exit code 0."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()
