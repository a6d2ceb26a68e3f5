"""The sender counts what it is told, and waits for nobody: a short open loop at a real server."""

import os
import subprocess
import sys

from starlette.types import Receive, Scope, Send

from tests.overload.sender import Plan, result_of, send
from tests.web.serving import serving


class Full:
    """Takes one call in two and says to the others when to come again."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return await send({"type": "lifespan.shutdown.complete"})
        while (await receive()).get("more_body"):
            continue
        self.calls += 1
        status = 503 if self.calls % 2 else 204
        headers = [(b"retry-after", b"2"), (b"connection", b"close")] if self.calls % 2 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        return await send({"type": "http.response.body", "body": b""})


def test_every_call_is_counted_by_what_came_of_it() -> None:
    app = Full()
    with serving(app) as port:
        result = result_of(send(Plan(port, "/", per_second=200, seconds=0.5, connections=100)))

    accepted, refused = len(result.of(204)), len(result.of(503))
    assert accepted + refused == app.calls - result.unanswered
    assert abs(accepted - refused) <= 1
    assert result.hinted == refused
    assert not result.unanswered


def test_calls_without_a_connection_are_missed_and_not_late() -> None:
    with serving(Full()) as port:
        result = result_of(send(Plan(port, "/", per_second=200, seconds=0.2, connections=0)))

    assert result.missed > 0
    assert not result.ms


# A signal every millisecond, as the end of uvloop is one: it cuts short what a full pipe holds up.
HANDS_OVER = """
import signal
from tests.bench.load import hand_over
from tests.overload.sender import Result
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
hand_over(Result({"204": [1.5] * 500_000}, 0, 0, 0, []))
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_a_result_larger_than_a_pipe_comes_whole_though_signals_come_between() -> None:
    sending = subprocess.Popen(
        [sys.executable, "-c", HANDS_OVER],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert len(result_of(sending).of(204)) == 500_000
