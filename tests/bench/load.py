"""The load generator: webhooks over kept connections, in a process of its own.

`python -m tests.bench.load PLAN` takes a plan as JSON and prints its result as JSON. Either every
connection sends again as soon as it is answered, for some seconds or a number of calls, or calls
go out at a rate with exponential gaps. Times are those of the system's monotonic clock.
"""

import asyncio
import random
import subprocess
import sys
import time
from collections import deque
from statistics import quantiles
from tempfile import TemporaryFile

import msgspec
import uvloop

CONNECTIONS = 64
BODY_BYTES = 200
PROJECT_ID = "405d8375-3514-403b-8c43-83ae74cfe0e9"
ORDER_ID = b"00000000-0000-4000-8000-000000000000"  # stands in the call where each order's id goes
ACCEPTED = b"HTTP/1.1 204 "


class Plan(msgspec.Struct, frozen=True):
    """What to send: for seconds, or count calls; per_second None is as fast as answers come."""

    port: int
    path: str
    seconds: float | None = None
    count: int | None = None
    per_second: float | None = None
    connections: int = CONNECTIONS


class Result(msgspec.Struct, frozen=True):
    """What came of it. One call in a hundred was answered later than p99_seconds after it was due.

    sent_at has the time at which each order's webhook was to be sent, where the plan has a count.
    """

    accepted: int
    refused: int
    seconds: float
    cpu_seconds: float
    p99_seconds: float
    sent_at: dict[str, float]


def send(plan: Plan) -> Result:
    """Run a plan in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.load", msgspec.json.encode(plan).decode()]
    with TemporaryFile() as answer:
        subprocess.run(command, check=True, stdout=answer)
        answer.seek(0)
        return msgspec.json.decode(answer.read(), type=Result)


class Load:
    """Keeps the connections busy until the plan is done."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._idle: list[Line] = []
        self._backlog: deque[float] = deque()  # when calls were to be sent that wait for a line
        self._is_over = False
        self._done = asyncio.Event()
        self._call = call_of(plan.path, ORDER_ID.decode())
        self._sent_at: dict[str, float] = {}
        self._answered_within: list[float] = []
        self._sent = 0
        self._refused = 0

    async def run(self) -> Result:
        loop = asyncio.get_running_loop()
        for _ in range(self._plan.connections):
            await loop.create_connection(lambda: Line(self), "127.0.0.1", self._plan.port)
        cpu, started = time.process_time(), time.monotonic()
        if self._plan.per_second is not None:
            await self._pace(self._plan.per_second)
        else:
            if self._plan.seconds is not None:
                loop.call_later(self._plan.seconds, self._end)
            lines, self._idle = self._idle, []
            for line in lines:
                self.answered(line)
        await self._done.wait()
        return Result(
            accepted=len(self._answered_within),
            refused=self._refused,
            seconds=time.monotonic() - started,
            cpu_seconds=time.process_time() - cpu,
            p99_seconds=quantiles(self._answered_within, n=100)[-1],
            sent_at=self._sent_at,
        )

    def opened(self, line: "Line") -> None:
        self._idle.append(line)

    def accepted(self, line: "Line") -> None:
        self._answered_within.append(time.monotonic() - line.due_at)
        self.answered(line)

    def refused(self) -> None:
        """Note an answer other than 204, or none, and stop: such a run says nothing."""
        self._refused += 1
        self._done.set()

    def answered(self, line: "Line") -> None:
        """Give a line that has nothing under way its next call, or let it rest."""
        if self._backlog:
            self._send(line, self._backlog.popleft())
        elif self._wants_more():
            self._send(line, time.monotonic())
        else:
            self._idle.append(line)
            if self._is_over and len(self._idle) == self._plan.connections:
                self._done.set()

    def _wants_more(self) -> bool:
        """Return whether a free line sends at once."""
        if self._is_over or self._plan.per_second is not None:
            return False
        self._is_over = self._sent == self._plan.count
        return not self._is_over

    async def _pace(self, per_second: float) -> None:
        assert self._plan.count is not None, "a paced plan has a count"
        due_at = time.monotonic()
        for _ in range(self._plan.count):
            due_at += random.expovariate(per_second)
            if (wait_seconds := due_at - time.monotonic()) > 0:
                await asyncio.sleep(wait_seconds)
            if self._idle:
                self._send(self._idle.pop(0), time.monotonic())  # in turn: none idles too long
            else:
                self._backlog.append(due_at)
        self._end()

    def _end(self) -> None:
        self._is_over = True
        if len(self._idle) == self._plan.connections:
            self._done.set()

    def _send(self, line: "Line", due_at: float) -> None:
        digits = f"{random.getrandbits(128):032x}"
        order_id = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        self._sent += 1
        if self._plan.count is not None:
            self._sent_at[order_id] = due_at
        line.send(self._call.replace(ORDER_ID, order_id.encode(), 1), due_at)


class Line(asyncio.Protocol):
    """One kept connection with at most one call under way."""

    def __init__(self, load: Load) -> None:
        self.due_at = 0.0
        self._load = load
        self._received = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._load.opened(self)

    def send(self, call: bytes, due_at: float) -> None:
        self.due_at = due_at
        self._transport.write(call)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.startswith(ACCEPTED):
            if len(self._received) >= len(ACCEPTED):
                self._load.refused()
        elif self._received.endswith(b"\r\n\r\n"):  # a 204 has no body
            self._received = b""
            self._load.accepted(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.refused()


def call_of(path: str, order_id: str) -> bytes:
    """Return a webhook call as Ginger sends it: unsigned."""
    body = body_of(order_id)
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def body_of(order_id: str) -> str:
    """Return the body of a call about an order, here of 200 bytes."""
    hint = (
        f'{{"event":"status_changed","order_id":"{order_id}","project_id":"{PROJECT_ID}","note":"'
    )
    return hint.ljust(BODY_BYTES - 2, ".") + '"}'


def hand_over(result: msgspec.Struct) -> None:
    """Write a result to standard output, all of it.

    Where Python does not buffer its output (PYTHONUNBUFFERED), sys.stdout.buffer writes as much
    as a pipe takes before a signal comes, and uvloop's end is one; how much it only returns.
    """
    with open(sys.stdout.fileno(), "wb", closefd=False) as output:
        output.write(msgspec.json.encode(result))


async def run(plan: Plan) -> Result:
    return await Load(plan).run()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(msgspec.json.decode(sys.argv[1], type=Plan)))
    hand_over(result)
