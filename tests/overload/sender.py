"""Sends webhooks at a rate, whatever is answered: `python -m tests.overload.sender PLAN`.

A call goes out when it is due, on a free connection or a new one, and waits for none that went
before. Prints what came of each call as JSON.
"""

import asyncio
import random
import re
import subprocess
import sys
import time
from collections import deque

import msgspec
import uvloop

from tests.bench.load import call_of
from tests.hostile.site import new_id

# No provider waits longer for an answer. Source: RELIABILITY.md, section 0 number 7.
PATIENCE_SECONDS = 10.0

_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_RETRY_AFTER = re.compile(rb"\r\nretry-after: ([1-9]\d*)\r\n", re.IGNORECASE)


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
    """Keeps to the plan's times; the connections that are free wait in a stack."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._free: deque[Line] = deque()
        self._open = 0
        self._ms: dict[str, list[float]] = {}
        self._hinted = 0
        self._missed = 0
        self._unanswered = 0
        self._late_ms: list[float] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> Result:
        due_at, ends_at = time.monotonic(), time.monotonic() + self._plan.seconds
        while due_at < ends_at:
            due_at += random.expovariate(self._plan.per_second)
            if (wait_seconds := due_at - time.monotonic()) > 0:
                await asyncio.sleep(wait_seconds)
            self._late_ms.append((time.monotonic() - due_at) * 1000)
            self._begin()
        while self._under_way:
            await asyncio.wait(self._under_way)
        return Result(self._ms, self._hinted, self._missed, self._unanswered, self._late_ms)

    def _begin(self) -> None:
        if not self._free and self._open >= self._plan.connections:
            self._missed += 1
            return
        task = asyncio.create_task(self._call())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _call(self) -> None:
        line, began = self._free.pop() if self._free else None, time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                line = line or await self._connect()
                answer = await line.ask(call_of(self._plan.path, new_id()))
        except (TimeoutError, OSError):
            self._unanswered += 1
            if line is not None:
                line.close()
            return
        status = _status_in(answer)
        self._ms.setdefault(status, []).append((time.monotonic() - began) * 1000)
        if status == "204":
            self._free.append(line)
        else:
            self._hinted += _RETRY_AFTER.search(answer) is not None
            line.close()

    async def _connect(self) -> "Line":
        self._open += 1
        loop = asyncio.get_running_loop()
        try:
            _, line = await loop.create_connection(lambda: Line(self), "127.0.0.1", self._plan.port)
        except (OSError, asyncio.CancelledError):
            self._open -= 1
            raise
        return line

    def closed(self, line: "Line") -> None:
        self._open -= 1
        if line in self._free:
            self._free.remove(line)


class Line(asyncio.Protocol):
    """One connection with at most one call under way."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._answered: asyncio.Future[bytes] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    async def ask(self, call: bytes) -> bytes:
        """Return the head of the answer. Raises ConnectionError when none comes."""
        self._received = b""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(call)
        return await self._answered

    def data_received(self, data: bytes) -> None:
        self._received += data
        is_whole = b"\r\n\r\n" in self._received
        if is_whole and self._answered is not None and not self._answered.done():
            self._answered.set_result(self._received)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sender.closed(self)
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionResetError())

    def close(self) -> None:
        self._transport.close()


def _status_in(answer: bytes) -> str:
    found = _HEAD.match(answer)
    assert found is not None, answer[:80]
    return found[1].decode()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = runner.run(Sender(msgspec.json.decode(sys.argv[1], type=Plan)).run())
    sys.stdout.buffer.write(msgspec.json.encode(told))
