"""Delivery: a stored backlog signed, posted and closed by one process, against bare httpx posts.

The drain is a worker's own, with its log and its slots; the bare posts take the same bodies to the
same stub, as many at a time, with the client as it comes, and sign and keep nothing.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import redirect_stderr
from datetime import UTC, datetime
from itertools import count
from typing import Final

import httpx
import uvloop

from service import settings
from service.domain.notification import serialised
from service.runtime import introduce, open_runtime
from service.storage.database import Pool
from service.telemetry import logs
from tests.bench.drained import Measured, compare
from tests.bench.processes import free_port
from tests.bench.report import CountsDiffer, Scale, say
from tests.bench.site import Site
from tests.outbox import notification_id, write
from workers.drains import SLOTS, Drains

NAMES = ("deliver_vs_limit",)

ENDPOINT: Final = "erp"
WRITTEN_AT_ONCE: Final = 500

# What a drain leaves: nothing that waits, and of each message one delivery with one attempt.
KEPT = """
    select (select count(*) from deliveries where state = 'waiting'),
           (select count(distinct notification_id) from deliveries where state = 'delivered'),
           (select count(*) from attempts)
"""


def measure(site: Site, scale: Scale) -> None:
    """Drain and post in turn, after one turn of each that does not count."""
    with (
        site.log.open("a") as log,
        redirect_stderr(log),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        logs.configure("json", role="worker")
        runner.run(_measure(site, site.database("deliver"), scale))


async def _measure(site: Site, database_url: str, scale: Scale) -> None:
    ours, bare = Measured(), Measured()
    path = site.configuration(database_url, port=free_port())
    numbers = count()
    async with open_runtime(settings.load(path, os.environ), role="worker") as runtime:
        await introduce(runtime)
        drains = Drains(runtime)
        await drains.deliver()
        for turn in range(scale.repetitions + 1):
            orders = [f"ord_{next(numbers)}" for _ in range(scale.orders)]
            await _store(runtime.pool, orders)
            site.stub.reset()
            await (ours if turn else Measured()).take(site, drains.deliver, scale.orders)
            await _check(site, runtime.pool, orders, stored=scale.orders * (turn + 1))
            posts = _Posts(site.stub.url, orders)
            await (bare if turn else Measured()).take(site, posts.take, scale.orders)
    say(f"\ndelivery: {scale.orders:,} stored messages, {SLOTS} posts at a time, one process")
    compare("deliver", "messages", {"claimed, posted, closed": ours, "bare httpx posts": bare})


async def _store(pool: Pool, orders: Sequence[str]) -> None:
    """Write a message about each order into the outbox, as a sync does."""
    for begin in range(0, len(orders), WRITTEN_AT_ONCE):
        news = [(order_id, 1, ENDPOINT) for order_id in orders[begin : begin + WRITTEN_AT_ONCE]]
        await write(pool, news, at=datetime.now(UTC))


async def _check(site: Site, pool: Pool, orders: Sequence[str], *, stored: int) -> None:
    """Print the counts of this turn; raise CountsDiffer unless each message arrived just once.

    stored is how many messages were written in all turns together.
    """
    arrived = [message.id for message in site.stub.messages()]
    async with pool.connection() as connection:
        row = await (await connection.execute(KEPT)).fetchone()
    duplicates = len(arrived) - len(set(arrived))
    say(f"counts stored={len(orders)} notified={len(set(arrived))} duplicates={duplicates}")
    expected = sorted(notification_id(order_id, 1) for order_id in orders)
    if sorted(arrived) != expected or row != (0, stored, stored):
        raise CountsDiffer(f"deliver: {stored} messages were stored, and closed {row}")


class _Posts:
    """Posts of the same bodies with httpx as it comes, SLOTS at a time."""

    def __init__(self, stub_url: str, orders: Sequence[str]) -> None:
        self._url = f"{stub_url}/erp"
        self._bodies = iter([_body(order_id) for order_id in orders])

    async def take(self) -> None:
        limits = httpx.Limits(max_connections=SLOTS, max_keepalive_connections=SLOTS)
        async with httpx.AsyncClient(limits=limits, timeout=60.0, trust_env=False) as client:
            await asyncio.gather(*(self._lane(client) for _ in range(SLOTS)))

    async def _lane(self, client: httpx.AsyncClient) -> None:
        for body in self._bodies:
            (await client.post(self._url, content=body)).raise_for_status()


def _body(order_id: str) -> bytes:
    message = {
        "type": "order.paid",
        "id": notification_id(order_id, 1),
        "timestamp": "2026-11-20T14:31:02.418Z",
        "schema": "1",
        "data": {"order_id": order_id, "sequence": 1},
    }
    return serialised(message)
