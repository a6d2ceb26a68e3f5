"""Calls: our wire against a bare protocol with the same parser, as many at a time, at one stub.

The bare protocol is the limit of what Python does over kept connections: it writes bytes that are
ready and looks at nothing but where the answer ends.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from urllib.parse import urlsplit

import httptools
import httpx
import uvloop

from service.fetch import ANSWER_BYTES_MAX
from service.wire import Wire
from tests.bench.report import CountsDiffer, Scale, ratio, say, spread, table
from tests.bench.site import Site

NAMES = ("http_vs_limit",)

CONCURRENCY = 32
PATH = "/v1/orders/405d8375-3514-403b-8c43-83ae74cfe0e9/"


@dataclass
class Measured:
    """The repetitions of one way: calls per second, microseconds of our CPU per call."""

    per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def take(self, call: Callable[[Iterator[int]], Awaitable[None]], calls: int) -> None:
        """Make so many calls, CONCURRENCY at a time, each lane with the next one that is left."""
        numbers = iter(range(calls))
        cpu, started = time.process_time(), time.monotonic()
        await asyncio.gather(*(call(numbers) for _ in range(CONCURRENCY)))
        self.per_second.append(calls / (time.monotonic() - started))
        self.cpu.append((time.process_time() - cpu) / calls * 1e6)


class _Line(asyncio.Protocol):
    """One kept connection with at most one call under way."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answered = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._answered.set_result(self._parser.get_status_code())

    async def call(self, request: bytes) -> int:
        """Send a request and return the status of its answer."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        status: int = await self._answered
        return status

    def close(self) -> None:
        self._transport.close()


def measure(site: Site, scale: Scale) -> None:
    """Call in turn, after one turn of each that does not count."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_measure(site.stub.url, scale))


async def _measure(url: str, scale: Scale) -> None:
    ours, bare = Measured(), Measured()
    wire = Wire(check_addresses=False)
    for turn in range(scale.repetitions + 1):
        counted = (ours, bare) if turn else (Measured(), Measured())
        await counted[0].take(partial(_call, wire, url), scale.orders)
        await counted[1].take(partial(_call_bare, url), scale.orders)
    await wire.aclose()
    say(f"\ncalls: {scale.orders:,} reads of one order, {CONCURRENCY} at a time")
    table(
        ("way", "calls per second", "min..max", "CPU µs"),
        [
            (
                name,
                f"{median(one.per_second):,.0f}",
                spread(one.per_second),
                f"{median(one.cpu):,.0f}",
            )
            for name, one in (("our wire", ours), ("bare protocol", bare))
        ],
    )
    pairs = zip(ours.per_second, bare.per_second, strict=True)
    ratio("http_vs_limit", [one / other for one, other in pairs])


async def _call(wire: Wire, url: str, numbers: Iterator[int]) -> None:
    for _ in numbers:
        request = httpx.Request("GET", url + PATH)
        answer = await wire.send(request, total_seconds=30.0, body_bytes_max=ANSWER_BYTES_MAX)
        _check(answer.status_code)


async def _call_bare(url: str, numbers: Iterator[int]) -> None:
    address = urlsplit(url)
    request = f"GET {PATH} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
    _, line = await asyncio.get_running_loop().create_connection(
        _Line, address.hostname or "", address.port or 80
    )
    for _ in numbers:
        _check(await line.call(request))
    line.close()


def _check(status: int) -> None:
    if status != httpx.codes.OK:
        raise CountsDiffer(f"calls: the stub answered {status}")
