"""Ten endpoints, one of which hangs for its whole time-out: what do the other nine notice?

One worker, as in a process of its own, delivers a steady stream. With and without the hanging
endpoint take turns, each on a database of its own; a latency is the time from the commit of a
message to its arrival at the ERP.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles

import uvloop

from service.flow.deliver import DeliverParts, deliver_due
from service.settings import Endpoint, Rate, Secret
from service.storage.database import Pool, pool_of
from tests.bench.plain import ERP_SECRET
from tests.bench.report import Scale, ratio, say, table
from tests.bench.site import Site
from tests.flow.surroundings import sending
from tests.outbox import notification_id, write
from workers.drains import SLOTS

NAMES = ("isolation_p99",)

ENDPOINTS = 10
TURN_SECONDS = 6.0
ROUNDS_PER_SECOND = 10  # In each round one message goes to every endpoint.
SETTLE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Turn:
    """The latencies of the nine, in milliseconds."""

    p50: float
    p99: float


def measure(site: Site, scale: Scale) -> None:
    """Take turns; print the median of the ratios of neighbours."""
    _play(site, "warm_up", hangs=False)
    pairs = [
        (_play(site, f"calm_{n}", hangs=False), _play(site, f"hanging_{n}", hangs=True))
        for n in range(scale.repetitions)
    ]
    say(f"\nisolation: nine of {ENDPOINTS} endpoints, {ROUNDS_PER_SECOND} messages a second each")
    rows = [
        ("all ten answer", *zip(*pairs, strict=True)),
    ]
    for way, turns in zip(("all ten answer", "one hangs"), zip(*pairs, strict=True), strict=True):
        rows.append(way)
    ratio("isolation_p99", [hanging.p99 / calm.p99 for calm, hanging in pairs])
