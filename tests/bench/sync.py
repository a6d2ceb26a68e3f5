"""Sync: a stored backlog read, judged and recorded by one process, against bare httpx reads.

The backlog is what a receiver leaves behind while all workers are away. The drain is a worker's
own, with its log and its slots; the bare reads ask the same stub for as many orders, as many at a
time, with the client as it comes, and keep nothing.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, redirect_stderr
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import uvloop

from service import settings
from service.domain.event import Call, Event
from service.domain.request import Kind
from service.runtime import introduce, open_runtime
from service.storage.database import Pool
from service.storage.event_writer import EventWriter
from service.telemetry import logs
from tests.bench.drained import Measured, compare
from tests.bench.processes import free_port
from tests.bench.report import CountsDiffer, Scale, say
from tests.bench.site import Site
from workers.drains import READ_SLOTS, Drains

NAMES = ("sync_vs_limit",)

# What is read bare of as many orders as are synced: that takes a few seconds as it is.
BARE_SHARE = 4

# What a drain of n orders leaves: each read, judged, told, and its order added up and told.
KEPT = """
    select (select count(*) from requests where status = 'paid' and received = 4000),
           (select count(*) from observations where verdict = 'transition'),
           (select count(*) from transitions where subject = 'request'),
           (select count(distinct subject_id) from notifications where subject = 'request'),
           (select count(distinct subject_id) from notifications where subject = 'order')
"""


def measure(site: Site, scale: Scale) -> None:
    """Drain and read in turn, after one turn of each that does not count."""
    with (
        site.log.open("a") as log,
        redirect_stderr(log),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        logs.configure("json", role="worker")
        runner.run(_measure(site, site.database("sync"), scale))


async def _measure(site: Site, database_url: str, scale: Scale) -> None:
    ours, bare = Measured(), Measured()
    path = site.configuration(database_url, port=free_port())
    async with (
        open_runtime(settings.load(path, os.environ), role="worker") as runtime,
        _receiving(database_url) as writer,
    ):
        await introduce(runtime)
        drains = Drains(runtime)
        await drains.sync()
        for turn in range(scale.repetitions + 1):
            ids = [str(uuid4()) for _ in range(scale.orders)]
            await _store(writer, ids)
            await (ours if turn else Measured()).take(site, drains.sync, scale.orders)
            await _check(runtime.pool, scale.orders * (turn + 1))
            reads = _Reads(site.stub.url, ids[: scale.orders // BARE_SHARE])
            await (bare if turn else Measured()).take(site, reads.take, len(reads.urls))
    say(f"\nsync: {scale.orders:,} stored orders, {READ_SLOTS} reads at a time, one process")
    compare("sync", "orders", {"read, judged, recorded": ours, "bare httpx reads": bare})


@asynccontextmanager
async def _receiving(database_url: str) -> AsyncIterator[EventWriter]:
    writer = EventWriter(database_url)
    await writer.start()
    yield writer
    await writer.stop()


async def _store(writer: EventWriter, ids: Sequence[str]) -> None:
    """Store a webhook about each order, as the receiver does."""
    await asyncio.gather(*(writer.store("ginger", _call(id_), [_event(id_)]) for id_ in ids))


def _call(order_id: str) -> Call:
    body = json.dumps({"event": "status_changed", "order_id": order_id}).encode()
    return Call(httpx.Headers(), body, received_at=datetime.now(UTC))


def _event(order_id: str) -> Event:
    return Event(Kind.ORDER, order_id)


async def _check(pool: Pool, orders: int) -> None:
    """Raise CountsDiffer unless each order so far was recorded and told once."""
    async with pool.connection() as connection:
        row = await (await connection.execute(KEPT)).fetchone()
    if row != (orders,) * 5:
        raise CountsDiffer(f"sync: {orders} orders were stored, and recorded {row}")


class _Reads:
    """Reads of orders with httpx as it comes, READ_SLOTS at a time."""

    def __init__(self, stub_url: str, ids: Sequence[str]) -> None:
        self.urls = [f"{stub_url}/v1/orders/{order_id}/" for order_id in ids]

    async def take(self) -> None:
        limits = httpx.Limits(max_connections=READ_SLOTS, max_keepalive_connections=READ_SLOTS)
        async with httpx.AsyncClient(limits=limits, timeout=60.0, trust_env=False) as client:
            waiting = iter(self.urls)
            await asyncio.gather(*(self._lane(client, waiting) for _ in range(READ_SLOTS)))

    async def _lane(self, client: httpx.AsyncClient, waiting: Iterator[str]) -> None:
        for url in waiting:
            (await client.get(url)).raise_for_status()
