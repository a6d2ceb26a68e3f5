"""Reading at each provider's twin: the adapter through `fetch`, against the same calls bare.

A twin does what its provider does: it checks tokens and signatures, signs, and shows as much on a
page. The ratio says what our side adds to an exchange on this machine, where the twin runs as well;
where the twin is what both wait for, as with bunq's pages of payments, the CPU time of our process
tells more: that of adapter, budget, session and wire.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from types import MappingProxyType
from typing import Any, Final

import httpx
import uvloop

from service.cli.demo_api import Made
from service.domain.request import Kind
from service.fetch import ANSWER_BYTES_MAX, ConnectedAccount, Line, fetch
from service.providers import NeedsSession
from service.wire import Wire
from tests.bench import look_through
from tests.bench.report import CountsDiffer, Scale, ratio, say, spread, table
from tests.bench.site import Site
from tests.bench.twins import CONCURRENCY, Item, T, Twins, opened, side_by_side

# At each twin. A read at bunq brings a page with the payments of all of them.
PAID_REQUESTS: Final = 20

# What is played on them: it ends by itself, with money, and every twin has it.
STORY: Final = "paid"
PROVIDERS: Final = ("ginger", "gocardless", "bunq", "ing_payment_request", "payment_requests_v2")
READS: Final = MappingProxyType({f"read_{name}_vs_bare": name for name in PROVIDERS})
NAMES: Final = (*READS, *look_through.NAMES)


@dataclass
class Measured:
    """The repetitions of one way of reading: reads per second, microseconds of CPU per read."""

    per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def take(self, work: Callable[[Item], Awaitable[T]], items: Sequence[Item]) -> list[T]:
        """Do the work for all items and note what one of them took."""
        cpu, started = time.process_time(), time.monotonic()
        done = await side_by_side(work, items)
        self.per_second.append(len(items) / (time.monotonic() - started))
        self.cpu.append((time.process_time() - cpu) / len(items) * 1e6)
        return done


@dataclass(frozen=True)
class Compared:
    """Both ways of reading at one provider, and the calls that one read takes."""

    provider: str
    ours: Measured
    bare: Measured
    calls: float


class Recorder(Wire):
    """Sends as every wire does, and keeps what it sent."""

    def __init__(self) -> None:
        super().__init__(check_addresses=False)
        self.sent: list[httpx.Request] = []

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        self.sent.append(request)
        return await super().send(request, **options)


def measure(site: Site, scale: Scale, names: Collection[str]) -> None:
    """Measure those of NAMES that are among the names, with one sandbox for all of them."""
    database_url = site.database("twins")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_measure(site, database_url, scale, names))


async def _measure(site: Site, database_url: str, scale: Scale, names: Collection[str]) -> None:
    async with opened(site, database_url) as twins:
        await look_through.measure(twins, names)  # while the lists hold nothing else
        compared = [
            await _compare(provider, twins, scale)
            for name, provider in READS.items()
            if name in names
        ]
        if compared:
            _print(compared, scale)


async def _compare(provider: str, twins: Twins, scale: Scale) -> Compared:
    """Read in turn with the adapter and bare, and check what every run came to."""
    account = twins.accounts[provider]
    once = await twins.play(account, STORY, PAID_REQUESTS)
    recorded = await _record(once, account, twins) * scale.rounds
    made = once * scale.rounds
    compared = Compared(provider, Measured(), Measured(), sum(map(len, recorded)) / len(made))
    read, send = partial(twins.read, account), partial(_send, account, twins.line.wire)
    await side_by_side(read, once)
    for _ in range(scale.repetitions):
        calls = await twins.calls()
        fetched = await compared.ours.take(read, made)
        await _check_calls(provider, twins, calls, recorded)
        await twins.check(account, made, fetched)
        fresh = await _authorised(recorded, account, twins)
        calls = await twins.calls()
        answers = await compared.bare.take(send, fresh)
        await _check_calls(provider, twins, calls, recorded)
        if not all(answer.is_success for of_read in answers for answer in of_read):
            raise CountsDiffer(f"{provider}: not every bare call was answered")
    return compared


async def _record(
    made: Sequence[Made], account: ConnectedAccount, twins: Twins
) -> list[list[httpx.Request]]:
    """Return the calls that each read makes, in their order."""
    recorded, recorder = [], Recorder()
    line = Line(recorder, twins.line.draw, twins.line.sessions)
    for one in made:
        exchange = account.provider.read(Kind(one.kind), one.provider_id, None)
        await fetch(account, exchange, line=line, purpose="told")
        recorded.append(recorder.sent)
        recorder.sent = []
    await recorder.aclose()
    return recorded


async def _authorised(
    recorded: Sequence[Sequence[httpx.Request]], account: ConnectedAccount, twins: Twins
) -> list[list[httpx.Request]]:
    """Return the calls as they can be sent now: dates and ids of calls are good once."""
    provider, sessions = account.provider, twins.line.sessions
    if sessions is None or not isinstance(provider, NeedsSession):
        return [list(calls) for calls in recorded]
    session = (await sessions.current(account)).session
    return [[provider.authorise(call, session) for call in calls] for calls in recorded]


async def _send(
    account: ConnectedAccount, wire: Wire, calls: Sequence[httpx.Request]
) -> list[httpx.Response]:
    """Make the calls of one read, one after the other as the adapter does."""
    return [
        await wire.send(
            call,
            total_seconds=account.section.timeout.total_seconds(),
            body_bytes_max=ANSWER_BYTES_MAX,
            tls=account.tls,
        )
        for call in calls
    ]


async def _check_calls(
    provider: str, twins: Twins, before: int, recorded: Sequence[Sequence[httpx.Request]]
) -> None:
    """Raise CountsDiffer unless the sandbox has counted the recorded calls, each once."""
    counted, expected = await twins.calls() - before, sum(map(len, recorded))
    if counted != expected:
        raise CountsDiffer(f"{provider}: the sandbox counted {counted} calls, not {expected}")


def _print(compared: Sequence[Compared], scale: Scale) -> None:
    reads = f"{PAID_REQUESTS} paid requests at each twin, {scale.rounds} times"
    say(f"\nread: {reads}, {CONCURRENCY} at a time")
    table(
        ("provider", "reads per second", "min..max", "bare", "min..max", "CPU µs", "bare", "calls"),
        [
            (
                one.provider,
                f"{median(one.ours.per_second):,.0f}",
                spread(one.ours.per_second),
                f"{median(one.bare.per_second):,.0f}",
                spread(one.bare.per_second),
                f"{median(one.ours.cpu):,.0f}",
                f"{median(one.bare.cpu):,.0f}",
                f"{one.calls:.2f}",
            )
            for one in compared
        ],
    )
    for one in compared:
        pairs = zip(one.ours.per_second, one.bare.per_second, strict=True)
        ratio(f"read_{one.provider}_vs_bare", [ours / bare for ours, bare in pairs])
        say(f"calls_per_read {one.provider} {one.calls:.2f}")
