"""All who wait for a connection get one in the same turn of the loop."""

import asyncio
import errno
import os
import socket
from contextlib import ExitStack

import uvloop

from service.web.accepting import Acceptor
from service.web.server import bind

CALLERS = 100


class Noting(asyncio.Protocol):
    """Notes in which turn of the loop it was connected."""

    def __init__(self, turns: list[int], turn: list[int], all_made: asyncio.Event) -> None:
        self._turns, self._turn, self._all_made = turns, turn, all_made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._turns.append(self._turn[0])
        if len(self._turns) == CALLERS:
            self._all_made.set()


async def _turns_in_which_callers_came_in() -> list[int]:
    turns: list[int] = []
    turn, all_made = [0], asyncio.Event()
    with bind("127.0.0.1", 0) as listener, ExitStack() as callers:
        acceptor = Acceptor(listener, lambda: Noting(turns, turn, all_made))
        acceptor.start(backlog=CALLERS)
        for _ in range(CALLERS):
            callers.enter_context(socket.create_connection(listener.getsockname(), timeout=10))
        loop = asyncio.get_running_loop()

        def count() -> None:
            turn[0] += 1
            if not all_made.is_set():
                loop.call_soon(count)

        count()
        async with asyncio.timeout(10):
            await all_made.wait()
        await acceptor.stop()
    return turns


def test_callers_that_wait_are_taken_in_together() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        turns = runner.run(_turns_in_which_callers_came_in())

    assert max(turns) - min(turns) <= 2


class OutOfFiles(socket.socket):
    """A listener to whose first call the system has no file to give."""

    missed = 0

    def accept(self) -> tuple[socket.socket, object]:
        if not self.missed:
            self.missed += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


async def test_a_system_without_files_is_asked_again() -> None:
    connected = asyncio.Event()

    class Telling(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connected.set()

    with OutOfFiles() as listener:
        listener.bind(("127.0.0.1", 0))
        acceptor = Acceptor(listener, Telling)
        acceptor.start(backlog=1)
        with socket.create_connection(listener.getsockname(), timeout=10):
            async with asyncio.timeout(10):
                await connected.wait()
        await acceptor.stop()
        assert listener.missed == 1
