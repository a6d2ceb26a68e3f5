"""Sends webhooks at a rate, whatever is answered: `python -m tests.overload.sender PLAN`.

A call goes out when it is due, on a free connection or a new one, and waits for none that went
before. Prints what came of each call as JSON. No call has a task or a timer of its own: a sender
that costs more than the receiver would measure itself.
"""

import asyncio
import random
import re
import subprocess
import sys
import time
from collections import deque
from itertools import takewhile

import msgspec
import uvloop

from tests.bench.load import ORDER_ID, call_of, hand_over
from tests.hostile.site import new_id

# No provider waits longer for an answer. Source: RELIABILITY.md, section 0 number 7.
PATIENCE_SECONDS = 10.0
SWEEP_SECONDS = 0.1

_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_RETRY_AFTER = re.compile(rb"\r\nretry-after: ([1-9]\d*)\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: close\r\n", re.IGNORECASE)


class Plan(msgspec.Struct, frozen=True):
    """What to send, and on how many connections at most: one more call is not sent but missed."""

    port: int
    path: str
    per_second: float
    seconds: float
    connections: int


class Result(msgspec.Struct, frozen=True):
    """What came of the calls: how many milliseconds each answer took, by its status.

    hinted counts the 503s that said when to come again; missed the calls for which there was no
    connection, unanswered those without an answer within 10 s. late_ms is how late each call went
    out: a sender that is held up itself sees answers late that came in time.
    """

    ms: dict[str, list[float]]
    hinted: int
    missed: int
    unanswered: int
    late_ms: list[float]

    def of(self, status: int) -> list[float]:
        return self.ms.get(str(status), [])


def send(plan: Plan) -> "subprocess.Popen[bytes]":
    """Start a plan in a process of its own; `result_of` waits for what came of it."""
    command = [sys.executable, "-m", "tests.overload.sender", msgspec.json.encode(plan).decode()]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def result_of(sending: "subprocess.Popen[bytes]") -> Result:
    output, _ = sending.communicate()
    assert sending.returncode == 0
    return msgspec.json.decode(output, type=Result)


class Sender:
    """Keeps to the plan's times; the connections that are free wait in a queue."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._call = call_of(plan.path, ORDER_ID.decode())
        self._free: deque[Line] = deque()  # in turn: none idles until the receiver closes it
        self._open = 0
        self.under_way: dict[Line, None] = {}  # in the order in which they were sent
        self._connecting: set[asyncio.Task[None]] = set()
        self._ms: dict[str, list[float]] = {}
        self._hinted = 0
        self._missed = 0
        self._unanswered = 0
        self._late_ms: list[float] = []

    async def run(self) -> Result:
        began = time.monotonic()
        ends_at, due_at, sweep_at = began + self._plan.seconds, began, began
        while due_at < ends_at:
            await asyncio.sleep(max(due_at - time.monotonic(), 0.0))
            while due_at <= min(time.monotonic(), ends_at):
                self._late_ms.append((time.monotonic() - due_at) * 1000)
                self._begin()
                due_at += random.expovariate(self._plan.per_second)
            if due_at > sweep_at:
                self._give_up()
                sweep_at = due_at + SWEEP_SECONDS
        while self.under_way or self._connecting:
            await asyncio.sleep(SWEEP_SECONDS)
            self._give_up()
        return Result(self._ms, self._hinted, self._missed, self._unanswered, self._late_ms)

    def _begin(self) -> None:
        if self._free:
            self._send(self._free.popleft(), time.monotonic())
        elif self._open >= self._plan.connections:
            self._missed += 1
        else:
            self._open += 1
            connecting = asyncio.create_task(self._connect(time.monotonic()))
            self._connecting.add(connecting)
            connecting.add_done_callback(self._connecting.discard)

    async def _connect(self, began: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, line = await loop.create_connection(lambda: Line(self), "127.0.0.1", self._plan.port)
        except OSError:
            self._open -= 1
            self._unanswered += 1
        else:
            self._send(line, began)

    def _send(self, line: "Line", began: float) -> None:
        line.began = began
        self.under_way[line] = None
        line.write(self._call.replace(ORDER_ID, new_id().encode(), 1))

    def answered(self, line: "Line", answer: bytes) -> None:
        self.under_way.pop(line)
        status = _status_in(answer)
        self._ms.setdefault(status, []).append((time.monotonic() - line.began) * 1000)
        self._hinted += _RETRY_AFTER.search(answer) is not None
        if _CLOSES.search(answer) is None:
            self._free.append(line)
        else:
            line.close()

    def closed(self, line: "Line") -> None:
        self._open -= 1
        if line in self.under_way:
            self.under_way.pop(line)
            self._unanswered += 1
        elif line in self._free:
            self._free.remove(line)

    def _give_up(self) -> None:
        """Close what nobody would wait for any longer; `closed` counts it."""
        too_old = time.monotonic() - PATIENCE_SECONDS
        for line in takewhile(lambda line: line.began < too_old, self.under_way):
            line.close()


class Line(asyncio.Protocol):
    """One connection with at most one call under way."""

    def __init__(self, sender: Sender) -> None:
        self.began = 0.0
        self._sender = sender
        self._received = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.write = transport.write
        self.close = transport.close

    def data_received(self, data: bytes) -> None:
        self._received += data
        if _is_whole(self._received) and self in self._sender.under_way:
            answer, self._received = self._received, b""
            self._sender.answered(self, answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sender.closed(self)


def _is_whole(answer: bytes) -> bool:
    _, ends, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(answer)
    return bool(ends) and (length is None or len(body) >= int(length[1]))


def _status_in(answer: bytes) -> str:
    found = _HEAD.match(answer)
    assert found is not None, answer[:80]
    return found[1].decode()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = runner.run(Sender(msgspec.json.decode(sys.argv[1], type=Plan)).run())
    hand_over(told)
