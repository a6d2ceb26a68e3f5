"""Senders who are gone before they are answered: nothing is written that nobody reads.

The transport of a connection that has ended raises when it is written to.
"""

import asyncio

from starlette.types import Receive, Scope, Send

from service.web.connection import Limits
from tests.fuzz.http import HEAD, connected, turn

WHOLE = HEAD + b"Content-Length: 2\r\n\r\n{}"


class Door:
    """Reads a body where it is asked to, and answers 204 once it may."""

    def __init__(self, *, reads: bool) -> None:
        self.may_answer = asyncio.Event()
        self.answered = 0
        self._reads = reads

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        if self._reads:
            await receive()
        await self.may_answer.wait()
        close = [] if self._reads else [(b"connection", b"close")]
        await send({"type": "http.response.start", "status": 204, "headers": close})
        await send({"type": "http.response.body"})
        self.answered += 1


def test_a_sender_who_leaves_after_calls_sent_ahead_is_written_to_no_more() -> None:
    door = Door(reads=True)
    protocol, wire, server = connected(door)
    protocol.data_received(WHOLE + WHOLE + WHOLE)
    turn()

    wire.is_closed = True
    protocol.connection_lost(ConnectionResetError())
    door.may_answer.set()
    turn()

    assert door.answered == 1
    assert not wire.written_late
    assert not server.server_state.tasks


def test_a_call_answered_before_its_body_came_is_not_told_as_well_that_it_is_slow() -> None:
    door = Door(reads=False)
    door.may_answer.set()
    protocol, wire, _ = connected(door, limits=Limits(read_seconds_max=0.0))

    # The answer comes in the first turn, and the time to read is over in the same one.
    protocol.data_received(HEAD + b"Content-Length: 900\r\n\r\n{")
    turn()

    assert wire.is_ended
    assert wire.written.startswith(b"HTTP/1.1 204 ")
    assert wire.written.count(b"HTTP/1.1 ") == 1
    assert not wire.written_late
