"""Ten endpoints, one of which hangs for its whole time-out: what do the other nine notice?

One worker, as in a process of its own, delivers a steady stream. With and without the hanging
endpoint take turns, each on a database of its own; a latency is the time from the commit of a
message to its arrival at the ERP.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from statistics import median, quantiles

import uvloop

from service.flow.attempt import DeliverParts
from service.flow.deliver import deliver_due
from service.settings import Endpoint, Rate, Secret
from service.storage.database import Pool, pool_of
from service.telemetry import logs
from tests.bench.plain import ERP_SECRET
from tests.bench.report import CountsDiffer, Scale, ratio, say, table
from tests.bench.site import Site
from tests.flow.surroundings import eventually, sending
from tests.outbox import notification_id, write
from workers.drains import SLOTS

NAMES = ("isolation_p99",)

ENDPOINTS = [f"erp_{number}" for number in range(10)]
HANGING = ENDPOINTS[-1]
ROUNDS_PER_SECOND = 5  # In each round one message goes to every endpoint.
TURN_SECONDS = 12.0

# Latencies of the nine in one turn, in milliseconds.
Turn = Sequence[float]


def measure(site: Site, scale: Scale) -> None:
    """Take turns, first the one and then the other; print the median of neighbours' ratios."""
    logs.configure("json", role="worker", level=logging.ERROR)
    numbers = count()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        def turn(*, hangs: bool) -> Turn:
            url = site.database(f"isolation_{next(numbers)}")
            site.stub.reset()
            sent = runner.run(_deliver(url, _endpoints(site, hangs=hangs)))
            return list(_latencies(site, sent))

        turn(hangs=False)
        calm: list[Turn] = []
        hanging: list[Turn] = []
        for number in range(scale.repetitions):
            for hangs in (False, True) if number % 2 else (True, False):
                (hanging if hangs else calm).append(turn(hangs=hangs))
    say(f"\nisolation: {len(ENDPOINTS)} endpoints, {ROUNDS_PER_SECOND} messages a second each")
    table(
        ("latency of nine, ms", "p50", "p99", "p99 min..max", "messages"),
        [_row("all ten answer", calm), _row("the tenth hangs", hanging)],
    )
    pairs = zip(hanging, calm, strict=True)
    ratio("isolation_p99", [_p99(one) / _p99(other) for one, other in pairs])


def _endpoints(site: Site, *, hangs: bool) -> list[Endpoint]:
    return [
        Endpoint(
            name=name,
            url=f"{site.stub.url}/{'hang' if hangs and name == HANGING else 'erp'}",
            secrets=(Secret(ERP_SECRET),),
            allow_private=True,
            rate=Rate(1000, 1.0),
            timeout=timedelta(seconds=20),
        )
        for name in ENDPOINTS
    ]


async def _deliver(url: str, endpoints: Sequence[Endpoint]) -> dict[str, float]:
    """Send for a turn; return when each message to the nine was committed."""
    async with (
        pool_of(url, application="isolation", connections_max=6) as pool,
        sending(pool, *endpoints) as parts,
    ):
        bell = asyncio.Event()
        worker = asyncio.create_task(_work(parts, bell))
        sent = await _send(pool, bell)
        await eventually(partial(_all_arrived, pool))
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    return sent


async def _work(parts: DeliverParts, bell: asyncio.Event) -> None:
    """Deliver whenever the bell rings, as a worker does."""
    while True:
        await deliver_due(parts, slots=SLOTS, bell=bell)
        await bell.wait()


async def _send(pool: Pool, bell: asyncio.Event) -> dict[str, float]:
    sent: dict[str, float] = {}
    began = time.monotonic()
    for number in range(int(TURN_SECONDS * ROUNDS_PER_SECOND)):
        await asyncio.sleep(max(began + number / ROUNDS_PER_SECOND - time.monotonic(), 0.0))
        news = [(f"ord_{number}_{name}", 1, name) for name in ENDPOINTS]
        await write(pool, news, at=datetime.now(UTC))
        bell.set()
        committed_at = time.monotonic()
        sent |= {notification_id(id_, n): committed_at for id_, n, name in news if name != HANGING}
    return sent


async def _all_arrived(pool: Pool) -> bool:
    """Return whether every message to the nine is closed."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select from deliveries where state = 'waiting' and endpoint <> %s limit 1", [HANGING]
        )
        return cursor.rowcount == 0


def _latencies(site: Site, sent: dict[str, float]) -> Iterator[float]:
    arrived = {message.id: message.at for message in site.stub.messages()}
    if not sent.keys() <= arrived.keys():
        raise CountsDiffer(f"{len(sent.keys() - arrived.keys())} messages never arrived")
    for id_, committed_at in sent.items():
        yield (arrived[id_] - committed_at) * 1000


def _p99(turn: Turn) -> float:
    return quantiles(turn, n=100)[98]


def _row(way: str, turns: Iterable[Turn]) -> tuple[str, ...]:
    listed = list(turns)
    tails = [_p99(turn) for turn in listed]
    return (
        way,
        f"{median(median(turn) for turn in listed):.1f}",
        f"{median(tails):.1f}",
        f"{min(tails):.1f}..{max(tails):.1f}",
        f"{sum(map(len, listed)):,}",
    )
