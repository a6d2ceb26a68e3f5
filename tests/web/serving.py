"""The real server on a real socket, in a thread with an event loop of its own."""

import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread

from starlette.types import ASGIApp

from service.web.connection import Limits
from service.web.server import Server, bind


@contextmanager
def serving(app: ASGIApp, *, limits: Limits | None = None) -> Iterator[int]:
    """Serve app until the block ends; lends the port."""
    listening: Future[int] = Future()
    with bind("127.0.0.1", 0) as listener:
        server = Server(app, limits=limits, on_listening=listening.set_result)
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listening.result(timeout=10)
        finally:
            server.should_exit = True
            thread.join(timeout=15)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def until_closed(line: socket.socket) -> bytes:
    """Return what comes until the server closes; fails after 10 s without a byte."""
    received = b""
    while data := line.recv(65_536):
        received += data
    return received


def talk(port: int, sent: bytes) -> bytes:
    """Send all, then read all that the server answers before it closes."""
    with connected(port) as line:
        line.sendall(sent)
        return until_closed(line)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])
