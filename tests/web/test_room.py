"""Webhooks and all else have room each of their own; who finds none is told so at once."""

import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.web.connection import Limits
from service.web.turns import Turns
from tests.web.serving import connected, serving, status_of, until_closed
from tests.web.test_server import Echo

SMALL = b"Content-Length: %d\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: settled\r\n\r\n"


@contextmanager
def full(echo: Echo, first: bytes = b"/webhooks/first") -> Iterator[tuple[int, socket.socket]]:
    """Serve with a request in hand that fills its room; lends the port and its connection."""
    with serving(echo, limits=Limits(requests_max=1)) as port, connected(port) as line:
        line.sendall(b"POST %b HTTP/1.1\r\nHost: settled\r\nContent-Length: 1\r\n\r\n" % first)
        while not echo.paths:
            time.sleep(0.001)
        yield port, line


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
    assert echo.paths == ["/webhooks/first", "/webhooks/wide"]


def test_webhooks_sent_ahead_are_each_turned_away() -> None:
    with full(Echo()) as (port, _), connected(port) as second:
        second.sendall(webhook(b"one") + webhook(b"two"))
        answers = second.recv(65_536)
        while answers.count(b"HTTP/1.1 503 ") < 2:
            answers += second.recv(65_536)

    assert answers.count(b"HTTP/1.1 ") == 2


def test_what_is_no_webhook_is_answered_while_webhooks_are_turned_away() -> None:
    with full(Echo()) as (port, _), connected(port) as second:
        second.sendall(HEALTH)
        assert status_of(second.recv(65_536)) == 200


@pytest.mark.parametrize("target", [b"/v1/changes?wait=60", b"/v1/events?q=/webhooks/"])
def test_a_call_that_waits_for_news_takes_no_room_from_webhooks(target: bytes) -> None:
    with full(Echo(), target) as (port, _), connected(port) as second:
        second.sendall(webhook(b"body"))
        assert status_of(second.recv(65_536)) == 200
        second.sendall(HEALTH)
        assert status_of(until_closed(second)) == 503


@pytest.mark.parametrize("target", [b"/webhooks/first", b"http://settled/webhooks/first"])
def test_webhooks_in_hand_take_room_from_webhooks_however_they_are_spelled(target: bytes) -> None:
    with full(Echo(), target) as (port, _), connected(port) as second:
        second.sendall(webhook(b"body"))
        assert status_of(second.recv(65_536)) == 503


def test_while_webhooks_would_wait_too_long_they_are_turned_away_and_nothing_else_is() -> None:
    turns = Turns()
    turns.webhooks_max = 0
    with serving(Echo(turns=turns)) as port, connected(port) as line:
        line.sendall(webhook(b"body"))
        assert status_of(line.recv(65_536)) == 503
        line.sendall(HEALTH)
        assert status_of(line.recv(65_536)) == 200
        turns.webhooks_max = math.inf
        line.sendall(webhook(b"body"))
        assert status_of(line.recv(65_536)) == 200


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
