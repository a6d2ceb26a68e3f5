"""Taking new connections in: all that wait, in each turn of the event loop.

uvloop's own server takes one in a turn. Under load a turn lasts tens of milliseconds, and callers
would wait for seconds where nobody counts them, before anything of them is read.
"""

import asyncio
import socket
from collections.abc import Callable

import structlog

log = structlog.get_logger()

PER_TURN_MAX = 128  # to open one costs a quarter of what storing a call does
PAUSE_SECONDS = 0.5  # when the system has no file or memory for another connection


class Acceptor:
    """Accepts on one listening socket, from `start` to `stop`."""

    def __init__(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listener = listener
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def start(self, backlog: int) -> None:
        self._listener.setblocking(False)
        self._listener.listen(backlog)
        self._resume()

    async def stop(self) -> None:
        """Accept no more. What is accepted already is a connection when this returns."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _resume(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(PER_TURN_MAX):
            try:
                line, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("connection.missed", error=error.strerror)
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(PAUSE_SECONDS, self._resume)
                return
            opening = self._loop.create_task(self._open(line))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, line: socket.socket) -> None:
        line.setblocking(False)
        await self._loop.connect_accepted_socket(self._protocol, line)
