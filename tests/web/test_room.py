"""A process whose event loop is late works on fewer webhooks at a time, and on all else as ever."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.web.connection import Limits
from service.web.room import LATE_SECONDS_MAX, REQUESTS_MIN, TICK_SECONDS, Room
from tests.web.serving import connected, serving, status_of, until_closed
from tests.web.test_server import Echo

LATE = LATE_SECONDS_MAX * 2
IN_TIME = LATE_SECONDS_MAX / 2
SMALL = b"Content-Length: %d\r\n"


class RoomForOne(Room):
    """The room of a loop that never catches up."""

    def judge(self, late_seconds: float) -> None:
        self.requests = 1


def test_a_late_turn_halves_the_room_and_no_turn_closes_it() -> None:
    room = Room(1_024)

    room.judge(LATE)
    assert room.requests == 512
    for _ in range(100):
        room.judge(LATE)
    assert room.requests == REQUESTS_MIN


def test_turns_in_time_give_all_of_the_room_back_and_no_more() -> None:
    room = Room(1_024)
    for _ in range(100):
        room.judge(LATE)

    seconds = 0.0
    while room.requests < 1_024:
        room.judge(IN_TIME)
        seconds += TICK_SECONDS
    room.judge(IN_TIME)

    assert room.requests == 1_024
    assert seconds < 4


def test_a_room_for_fewer_than_the_fewest_stays_as_it_is() -> None:
    room = Room(1)
    room.judge(LATE)
    assert room.requests == 1


class Judged(Room):
    """Keeps what the loop made of the room, turn by turn."""

    def __init__(self, requests_max: int) -> None:
        super().__init__(requests_max)
        self.judged: asyncio.Queue[int] = asyncio.Queue()

    def judge(self, late_seconds: float) -> None:
        super().judge(late_seconds)
        self.judged.put_nowait(self.requests)


async def test_a_loop_that_stood_still_leaves_less_room_until_it_has_caught_up() -> None:
    room = Judged(1_024)
    room.watch(asyncio.get_running_loop())

    threading.Event().wait(TICK_SECONDS + LATE)  # nobody sets it: the loop stands still

    async with asyncio.timeout(30):
        assert await room.judged.get() == 512
        while await room.judged.get() < 1_024:
            continue


@contextmanager
def full(echo: Echo) -> Iterator[tuple[int, socket.socket]]:
    """Serve with a request in hand that fills the room; lends the port and its connection."""
    narrow = RoomForOne(1)
    server = serving(echo, limits=Limits(requests_max=3), room=narrow)
    with server as port, connected(port) as first:
        first.sendall(b"POST /first HTTP/1.1\r\nHost: settled\r\nContent-Length: 1\r\n\r\n")
        while not echo.paths:
            time.sleep(0.001)
        yield port, first


def webhook(body: bytes, fields: bytes = SMALL) -> bytes:
    head = b"POST /webhooks/wide HTTP/1.1\r\nHost: settled\r\n"
    return head + fields % len(body) + b"\r\n" + body


def test_a_webhook_without_room_is_turned_away_and_its_connection_kept() -> None:
    echo = Echo()
    looks_like_a_call = webhook(b"")
    with full(echo) as (port, first), connected(port) as second:
        second.sendall(webhook(looks_like_a_call))
        answer = second.recv(65_536)
        assert status_of(answer) == 503
        assert b"\r\nretry-after: 1\r\n" in answer
        assert b"connection: close" not in answer

        first.sendall(b"1")
        assert status_of(first.recv(65_536)) == 200
        while status_of(answer) == 503:  # the first has been answered, and is being put away
            second.sendall(webhook(b"again"))
            answer = second.recv(65_536)
    assert answer.endswith(b"again")
    assert echo.paths == ["/first", "/webhooks/wide"]


def test_webhooks_sent_ahead_are_each_turned_away() -> None:
    with full(Echo()) as (port, _), connected(port) as second:
        second.sendall(webhook(b"one") + webhook(b"two"))
        answers = second.recv(65_536)
        while answers.count(b"HTTP/1.1 503 ") < 2:
            answers += second.recv(65_536)

    assert answers.count(b"HTTP/1.1 ") == 2


def test_what_is_no_webhook_is_answered_while_webhooks_are_turned_away() -> None:
    with full(Echo()) as (port, _), connected(port) as second:
        second.sendall(b"GET /healthz HTTP/1.1\r\nHost: settled\r\n\r\n")
        assert status_of(second.recv(65_536)) == 200


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 999%d\r\n",
        b"Expect: 100-continue\r\n" + SMALL,
        b"Connection: close\r\n" + SMALL,
        b"Transfer-Encoding: chunked\r\nX: %d\r\n",
    ],
    ids=["long", "asks first", "closes", "chunked"],
)
def test_one_that_would_take_long_to_read_is_turned_away_at_its_head(fields: bytes) -> None:
    with full(Echo()) as (port, _), connected(port) as second:
        head = webhook(b"x" * 10, fields)[:-10]
        second.sendall(head)
        second.shutdown(socket.SHUT_WR)
        answer = until_closed(second)
    assert status_of(answer) == 503
    assert b"\r\nconnection: close\r\n" in answer


def test_as_many_webhooks_as_fit_are_all_answered() -> None:
    with serving(Echo()) as port:
        lines = [connected(port) for _ in range(200)]
        for line in lines:
            line.sendall(webhook(b"body"))
        statuses = {status_of(line.recv(65_536)) for line in lines}
        for line in lines:
            line.close()
    assert statuses == {200}
