"""The work of one round, beside what a database of one size holds."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import psycopg

from service.domain.event import Call, Event
from service.domain.request import Kind
from service.flow.judge import judge
from service.flow.sync import starts_of
from service.runtime import utc_now
from service.storage.database import Pool, conninfo, pool_of
from service.storage.deliveries import Deliveries
from service.storage.event_rows import STORE, body_of, rows_of
from service.storage.event_writer import SESSION
from service.storage.unit_of_work import unit_of_work
from tests.bench import load
from tests.bench.grow.mould import ENDPOINT, delivered
from tests.bench.grow.pages import PAGES, find_anchors, search_oldest
from tests.flow.world import ACCOUNT, Answer, Provider, World, order, world_on

BATCH: Final = 100


class PaidOrders(Provider):
    """Says of every order that it is paid."""

    def _next(self, name: str) -> Answer:
        return order(0, id=name, reference=f"INV-{name}", minute=59)


@dataclass
class Figures:
    """What one round took: seconds for each unit of a stage, and bytes of WAL."""

    insert: float = 0.0
    claim: float = 0.0
    deliver: float = 0.0
    wal: dict[str, float] = field(default_factory=dict)
    pages: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """A database of one size, and what works on it as the product does."""

    size: int
    pool: Pool
    receiver: psycopg.AsyncConnection[Any]
    world: World

    async def round(self, batches: int, calls: int) -> Figures:
        """Store batches of events about new requests, record and tell them, and look at pages."""
        figures = Figures()
        await self.run("checkpoint")
        ids = [str(uuid4()) for _ in range(batches * BATCH)]
        lsn = await self._lsn()
        figures.insert = await self._insert(ids) / len(ids)
        figures.wal["insert"], lsn = await self._wal_since(lsn, len(ids))
        claimed, seconds = await self._claim()
        figures.claim = seconds / claimed
        figures.wal["claim"], lsn = await self._wal_since(lsn, claimed)
        told, seconds = await self._deliver()
        figures.deliver = seconds / told
        figures.wal["deliver"], lsn = await self._wal_since(lsn, told)
        figures.pages = await self._look(calls)
        return figures

    async def _insert(self, ids: list[str]) -> float:
        """Store events as the receiver does, a hundred calls to a statement; return the seconds."""
        return sum([await self.receive(ids[at : at + BATCH]) for at in range(0, len(ids), BATCH)])

    async def receive(self, ids: Sequence[str]) -> float:
        """Store one call about each id, in one statement and commit; return the seconds."""
        calls = [(id_, Call({}, load.body_of(id_).encode(), received_at=utc_now())) for id_ in ids]
        rows = [
            row for id_, call in calls for row in rows_of(ACCOUNT, call, [Event(Kind.ORDER, id_)])
        ]
        bodies = sorted({body_of(call) for _, call in calls})
        columns = [*zip(*rows, strict=True), *zip(*bodies, strict=True)]
        values = [list(column) for column in columns]
        began = perf_counter()
        await self.receiver.execute(STORE, values)
        return perf_counter() - began

    async def _claim(self) -> tuple[int, float]:
        """Claim what is due and record what it came to; return how many, and without the reads."""
        claimed, seconds = 0, 0.0
        while True:
            began = perf_counter()
            async with unit_of_work(self.pool) as work:
                claims = await work.due.claim(BATCH)
                starts = await starts_of(claims, work, self.world.parts)
            seconds += perf_counter() - began
            if not claims:
                return claimed, seconds
            looks = [await start() for start in starts]
            began = perf_counter()
            await judge(looks, self.world.parts)
            seconds += perf_counter() - began
            claimed += len(claims)

    async def _deliver(self) -> tuple[int, float]:
        """Claim and close every delivery that waits; return how many, and the seconds."""
        told, seconds = 0, 0.0
        while True:
            began = perf_counter()
            async with unit_of_work(self.pool) as work:
                claims = await Deliveries(work.connection).claim(ENDPOINT, BATCH, lease_seconds=15)
            if not claims:
                return told, seconds
            closings = [delivered(claim) for claim in claims]
            async with unit_of_work(self.pool) as work:
                await Deliveries(work.connection).close(closings)
            seconds += perf_counter() - began
            told += len(claims)

    async def _look(self, calls: int) -> dict[str, float]:
        """Return the seconds that a page takes, by page."""
        anchors = await find_anchors(self.pool, calls)
        taken = {}
        for name, show in PAGES.items():
            began = perf_counter()
            for number in range(calls):
                await show(self.pool, anchors, number)
            taken[name] = (perf_counter() - began) / calls
        return taken

    async def tidy(self) -> None:
        """Vacuum and analyze what was written to since it last was; building did the rest."""
        cursor = await self.receiver.execute(
            "select string_agg(relid::regclass::text, ', ') from pg_stat_user_tables"
            " where n_mod_since_analyze > 0"
        )
        row = await cursor.fetchone()
        if row and row[0]:
            await self.run(f"vacuum (analyze) {row[0]}")

    async def search(self) -> float | None:
        """Return the seconds of the longest search, None when its time-out ended it."""
        anchors = await find_anchors(self.pool, 1)
        began = perf_counter()
        in_time = await search_oldest(self.pool, anchors)
        return perf_counter() - began if in_time else None

    async def run(self, statement: str) -> None:
        await self.receiver.execute("set statement_timeout = 0")
        await self.receiver.execute(statement.encode())
        await self.receiver.execute(SESSION)

    async def _lsn(self) -> str:
        cursor = await self.receiver.execute("select pg_current_wal_insert_lsn()::text")
        row = await cursor.fetchone()
        assert row is not None, "a function answers one row"
        return str(row[0])

    async def _wal_since(self, lsn: str, count: int) -> tuple[float, str]:
        """Return the bytes of WAL for each of count since a place in it, and the place now."""
        now = await self._lsn()
        cursor = await self.receiver.execute("select pg_wal_lsn_diff(%s, %s)", [now, lsn])
        row = await cursor.fetchone()
        assert row is not None, "a function answers one row"
        return float(row[0]) / count, now


@asynccontextmanager
async def side_of(url: str, size: int) -> AsyncIterator[Side]:
    """Lend a side; its database holds so many requests."""
    pool = pool_of(url, application="grow", connections_max=4)
    receiver = await psycopg.AsyncConnection.connect(
        conninfo(url, application="receiver"), autocommit=True, prepare_threshold=0
    )
    async with receiver, pool, world_on(pool) as world:
        await receiver.execute(SESSION)
        provider = PaidOrders()
        parts = replace(world.parts, wire=provider)
        yield Side(size, pool, receiver, replace(world, provider=provider, parts=parts))
