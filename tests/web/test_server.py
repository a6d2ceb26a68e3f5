"""The server's own bounds, on a real socket: what never gets as far as the application."""

import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from service.errors import Misconfigured
from service.web.connection import Limits
from service.web.server import bind
from tests.web.serving import connected, serving, status_of, talk, until_closed

HEAD = b"POST /here HTTP/1.1\r\nHost: settled\r\n"
LAST = b"Connection: close\r\n"


class Echo:
    """Answers with what it was sent; remembers the paths and headers that came through."""

    def __init__(self, **state: object) -> None:
        self._state = state
        self.paths: list[str] = []
        self.headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"].update(self._state)
            return await self._live(receive, send)
        self.paths.append(scope["path"])
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message["body"]
            more = message["more_body"]
        self.headers = scope["headers"]
        length = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        return await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Echo, int]]:
    """One server for the tests that do it no harm; starting one takes a quarter of a second."""
    app = Echo()
    with serving(app) as port:
        yield app, port


@pytest.fixture
def echo(shared: tuple[Echo, int]) -> Echo:
    shared[0].paths.clear()
    return shared[0]


@pytest.fixture
def port(shared: tuple[Echo, int]) -> int:
    return shared[1]


@pytest.fixture(scope="module")
def hasty_port() -> Iterator[int]:
    """A server that waits 0.3 s for a request, where the real one waits 10 s."""
    with serving(Echo(), limits=Limits(read_seconds_max=0.3)) as port:
        yield port


def test_requests_follow_each_other_on_one_connection(port: int, echo: Echo) -> None:
    with connected(port) as line:
        line.sendall(HEAD + b"Content-Length: 5\r\n\r\nfirst")
        first = line.recv(65_536)
        line.sendall(HEAD + LAST + b"Content-Length: 6\r\n\r\nsecond")
        second = until_closed(line)

    assert first.startswith(b"HTTP/1.1 200")
    assert first.endswith(b"first")
    assert second.endswith(b"second")


def test_requests_sent_ahead_are_answered_in_order(port: int) -> None:
    ahead = HEAD + b"Content-Length: 5\r\n\r\nfirst"

    answers = talk(port, ahead + HEAD + LAST + b"Content-Length: 6\r\n\r\nsecond")

    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.index(b"first") < answers.index(b"second")


@pytest.mark.parametrize(
    "broken",
    [
        b"garbage\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nno size\r\n",
    ],
    ids=["no request", "head", "body"],
)
def test_requests_sent_ahead_of_a_broken_one_are_answered_and_it_is_not(
    port: int, broken: bytes
) -> None:
    first = HEAD + b"Content-Length: 5\r\n\r\nfirst"

    one = talk(port, first + broken)
    two = talk(port, first + HEAD + b"Content-Length: 6\r\n\r\nsecond" + broken)

    assert (one.count(b"HTTP/1.1 "), one[-5:]) == (1, b"first")
    assert (two.count(b"HTTP/1.1 "), two[-6:]) == (2, b"second")
    assert status_of(one) == status_of(two) == 200
    assert two.count(b"\r\nconnection: close\r\n") == 1


def test_the_answer_names_no_server_product(port: int) -> None:
    assert b"\r\nserver:" not in talk(port, HEAD + LAST + b"Content-Length: 0\r\n\r\n").lower()


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /here HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Host: elsewhere\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        HEAD + b"Content-Length: +5\r\n\r\n12345",
        HEAD + b"Content-Length: 5, 5\r\n\r\n12345",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"X-Note: one\r\n two\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"X-Note: nul \x00\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"No colon at all\r\n\r\n",
        b"POST /here HTTP/1.1\nHost: settled\nContent-Length: 0\n\n",
        b"POST /here HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
        b"POST /here HTTP/9.9\r\nHost: settled\r\n\r\n",
        b"POST /h\xc3\xa9re HTTP/1.1\r\nHost: settled\r\nContent-Length: 0\r\n\r\n",
        b"CONNECT settled:80 HTTP/1.1\r\nHost: settled\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"garbage\r\n\r\n",
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(
    port: int, echo: Echo, sent: bytes
) -> None:
    answer = talk(port, sent)

    assert status_of(answer) == 400
    assert b"application/problem+json" in answer
    assert echo.paths == []


@pytest.mark.parametrize(
    "fields",
    [
        b"X-Long: " + b"x" * 20_000 + b"\r\n",
        b"X-Long: " + b"x" * 5_000_000 + b"\r\n",
        b"X-Many: x\r\n" * 101,
        b"X-Many: x\r\n" * 20_000,
    ],
    ids=["20 kB", "5 MB", "101 fields", "20,000 fields"],
)
def test_a_head_that_is_too_large_is_refused(port: int, echo: Echo, fields: bytes) -> None:
    assert status_of(talk(port, HEAD + fields + b"Content-Length: 0\r\n\r\n")) == 431
    assert echo.paths == []


def test_a_long_path_is_refused_like_a_long_header(port: int, echo: Echo) -> None:
    assert status_of(talk(port, b"POST /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n")) == 431
    assert echo.paths == []


def test_a_head_without_end_is_refused_before_it_ends(port: int) -> None:
    with connected(port) as line:
        line.sendall(HEAD + b"X-Long: " + b"x" * 40_000)

        assert status_of(until_closed(line)) == 431


def test_a_head_of_ordinary_size_comes_through(port: int, echo: Echo) -> None:
    fields = b"".join(b"X-Field-%d: %s\r\n" % (number, b"x" * 100) for number in range(97))

    answer = talk(port, HEAD + LAST + fields + b"Content-Length: 0\r\n\r\n")

    assert status_of(answer) == 200
    assert len(echo.headers) == 100


def test_a_large_body_is_not_taken_for_a_large_head(port: int) -> None:
    body = b"x" * 3_000_000

    answer = talk(port, HEAD + LAST + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    assert answer.endswith(b"\r\n\r\n" + body)


def test_fields_behind_the_body_never_reach_the_application(port: int, echo: Echo) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSignature: forged\r\n\r\n"

    answer = talk(port, HEAD + LAST + chunked)

    assert answer.endswith(b"hi")
    assert [name for name, _ in echo.headers] == [b"host", b"connection", b"transfer-encoding"]


@pytest.mark.parametrize("flood", [b"Signature: ", b"a;"], ids=["trailer", "chunk extension"])
def test_framing_without_end_is_refused(port: int, flood: bytes) -> None:
    start = b"0\r\n" if b":" in flood else b""
    with connected(port) as line:
        line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + start + flood)
        line.sendall(b"x" * 50_000)

        assert status_of(until_closed(line)) == 431


def test_an_offer_to_upgrade_is_ignored_and_its_body_read(port: int) -> None:
    """Java's HTTP client offers h2c with every request in the clear."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEA\r\n"
    with connected(port) as line:
        line.sendall(HEAD + offer + b"Content-Length: 4\r\n\r\nbody")

        assert line.recv(65_536).endswith(b"body")


def test_a_silent_connection_is_closed(hasty_port: int) -> None:
    with connected(hasty_port) as line:
        assert until_closed(line) == b""


@pytest.mark.parametrize(
    "begun",
    [
        b"POST /he",
        HEAD + b"X-Stall",
        HEAD + b"Content-Length: 100\r\n\r\npart",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\npa",
    ],
    ids=["request line", "header", "body", "chunk"],
)
def test_a_request_that_stalls_or_drips_is_closed(hasty_port: int, begun: bytes) -> None:
    for drip in (b"", b"x"):
        with connected(hasty_port) as line:
            line.sendall(begun)
            began = time.monotonic()
            while not select.select([line], [], [], 0.05)[0]:
                line.sendall(drip)

            assert status_of(until_closed(line)) == 408
            assert 0.2 < time.monotonic() - began < 5


def test_line_breaks_do_not_keep_a_used_connection_open(hasty_port: int) -> None:
    with connected(hasty_port) as line:
        line.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 200")
        while not select.select([line], [], [], 0.05)[0]:
            line.sendall(b"\r\n")

        assert status_of(until_closed(line)) == 408


def test_a_slow_sender_does_not_hold_up_others(port: int) -> None:
    with connected(port) as slow:
        slow.sendall(HEAD + b"Content-Length: 100\r\n\r\npart")

        assert status_of(talk(port, HEAD + LAST + b"Content-Length: 0\r\n\r\n")) == 200


def test_more_connections_than_allowed_are_told_to_come_again(echo: Echo) -> None:
    with serving(echo, limits=Limits(connections_max=1)) as port, connected(port) as first:
        first.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
        assert first.recv(65_536).startswith(b"HTTP/1.1 200")

        with connected(port) as second:
            answer = until_closed(second)

        assert status_of(answer) == 503
        assert b"\r\nretry-after: 1\r\n" in answer


def test_more_requests_than_allowed_are_told_to_come_again(echo: Echo) -> None:
    with serving(echo, limits=Limits(requests_max=1)) as port, connected(port) as first:
        first.sendall(HEAD + b"Content-Length: 2\r\n\r\n1")
        while not echo.paths:
            time.sleep(0.001)

        assert status_of(talk(port, HEAD + b"Content-Length: 0\r\n\r\n")) == 503
        first.sendall(b"2")
        assert first.recv(65_536).endswith(b"12")


def test_stopping_answers_the_request_in_hand(echo: Echo) -> None:
    line = None
    with serving(echo) as port:
        line = connected(port)
        line.sendall(HEAD + b"Content-Length: 2\r\n\r\n1")
        while not echo.paths:
            time.sleep(0.001)
        line.sendall(b"2")

    assert until_closed(line).endswith(b"12")
    line.close()


def test_an_address_in_use_is_a_mistake_in_the_configuration() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()

        with pytest.raises(Misconfigured, match="listen"):
            bind("127.0.0.1", taken.getsockname()[1])


def test_processes_may_share_a_port() -> None:
    with bind("127.0.0.1", 0, share_port=True) as first:
        port = first.getsockname()[1]

        with bind("127.0.0.1", port, share_port=True) as second:
            assert second.getsockname()[1] == port


def test_a_process_tells_its_port_and_ends_well_at_a_signal() -> None:
    program = (
        "from service.web.server import run; from tests.web.test_server import Echo;"
        "run(Echo(), host='127.0.0.1', port=0, on_listening=lambda port: print(port, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        answer = talk(port, HEAD + LAST + b"Content-Length: 0\r\n\r\n")
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == 0
    assert status_of(answer) == 200
