"""The work of one round, beside what a database of one size holds."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
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
from service.storage.event_rows import STORE, rows_of, values_of
from service.storage.event_writer import SESSION
from service.storage.unit_of_work import unit_of_work
from tests.bench import load
from tests.bench.grow.mould import claim, delivered
from tests.bench.grow.pages import PAGES, find_anchors, search_oldest
from tests.bench.processes import exact_cpu_seconds
from tests.flow.world import ACCOUNT, Answer, Provider, World, order, world_on

BATCH: Final = 100


class PaidOrders(Provider):
    """Says of every order that it is paid."""

    def _next(self, name: str) -> Answer:
        return order(0, id=name, reference=f"INV-{name}", minute=59)


@dataclass(frozen=True)
class Cost:
    """What one unit of a stage costs: seconds, those of PostgreSQL's CPU, and bytes of WAL."""

    seconds: float
    cpu_seconds: float
    wal_bytes: float


@dataclass(frozen=True)
class Figures:
    """What a round cost by stage, and the seconds that each page took."""

    stages: Mapping[str, Cost]
    pages: Mapping[str, float]

    def __or__(self, other: "Figures") -> "Figures":
        """Return both: no stage or page is in either."""
        return Figures({**self.stages, **other.stages}, {**self.pages, **other.pages})


@dataclass(frozen=True)
class Side:
    """A database of one size, and what works on it as the product does."""

    size: int
    pool: Pool
    receiver: psycopg.AsyncConnection[Any]
    world: World

    async def round(self, batches: int, calls: int) -> Figures:
        """Store batches of events about new requests, record and tell them, and look at pages."""
        await self.run("checkpoint")
        pages: dict[str, float] = {}
        stages = {
            "insert": await self._cost(self._insert(_new_ids(batches * BATCH))),
            "claim": await self._cost(self._claim()),
            "deliver": await self._cost(self._deliver()),
            "list": await self._cost(self._look(calls, pages)),
        }
        return Figures(stages, pages)

    async def long_round(self, batches: int) -> Figures:
        """Store batches of events between two checkpoints, and forget them again."""
        await self.run("checkpoint")
        began_at = utc_now()
        cost = await self._cost(self._insert(_new_ids(batches * BATCH)))
        await self._forget(began_at)
        return Figures({"insert_long": cost}, {})

    async def _cost(self, work: Awaitable[tuple[int, float]]) -> Cost:
        """Do work that tells how many units it did in how many seconds."""
        cpu_before, wal_before = await self._spent()
        count, seconds = await work
        cpu, wal = await self._spent()
        return Cost(seconds / count, (cpu - cpu_before) / count, (wal - wal_before) / count)

    async def _spent(self) -> tuple[float, float]:
        """Return the CPU seconds of this database's sessions and the bytes of WAL until now."""
        cursor = await self.receiver.execute(
            "select array_agg(pid),"
            " pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 from pg_stat_activity"
            " where datname = current_database() and backend_type = 'client backend'"
        )
        row = await cursor.fetchone()
        assert row is not None, "an aggregate is always one row"
        return exact_cpu_seconds(row[0]), row[1]

    async def _insert(self, ids: list[str]) -> tuple[int, float]:
        """Store events as the receiver does, a hundred calls to a statement."""
        batches = [ids[at : at + BATCH] for at in range(0, len(ids), BATCH)]
        return len(ids), sum([await self.receive(batch) for batch in batches])

    async def receive(self, ids: Sequence[str]) -> float:
        """Store one call about each id, in one statement and commit; return the seconds."""
        calls = [(id_, Call({}, load.body_of(id_).encode(), received_at=utc_now())) for id_ in ids]
        values = values_of(rows_of(ACCOUNT, call, [Event(Kind.ORDER, id_)]) for id_, call in calls)
        began = perf_counter()
        await self.receiver.execute(STORE, values)
        return perf_counter() - began

    async def _claim(self) -> tuple[int, float]:
        """Claim what is due and record what it came to; the seconds are without the reads."""
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
        """Claim and close every delivery that waits."""
        told, seconds = 0, 0.0
        while True:
            began = perf_counter()
            async with unit_of_work(self.pool) as work:
                claims = await claim(work, BATCH)
            if not claims:
                return told, seconds
            closings = [delivered(each) for each in claims]
            async with unit_of_work(self.pool) as work:
                await Deliveries(work.connection).close(closings)
            seconds += perf_counter() - began
            told += len(claims)

    async def _look(self, calls: int, pages: dict[str, float]) -> tuple[int, float]:
        """Look at each page so often; note what one of it takes."""
        anchors = await find_anchors(self.pool, calls)
        for name, show in PAGES.items():
            began = perf_counter()
            for number in range(calls):
                await show(self.pool, anchors, number)
            pages[name] = (perf_counter() - began) / calls
        return calls, sum(pages.values()) * calls

    async def tidy(self) -> None:
        """Vacuum and analyze what was written to since it last was; building did the rest."""
        cursor = await self.receiver.execute(
            "select string_agg(relid::regclass::text, ', ') from pg_stat_user_tables"
            " where n_mod_since_analyze > 0"
        )
        row = await cursor.fetchone()
        if row and row[0]:
            await self.run(f"vacuum (analyze) {row[0]}")

    async def _forget(self, since: datetime) -> None:
        """Remove events that came since then, and what they made due: nobody has acted on them.

        Else the day would hold more with each round, and with each run on the same folder.
        """
        await self.run("set session_replication_role = replica")  # they are append-only
        await self.run(
            f"""
            with gone as (delete from events where account = '{ACCOUNT}'
                             and received_at >= '{since}' returning body_sha256)
            delete from event_bodies using gone
             where sha256 = body_sha256 and day >= '{since.date()}'
            """
        )
        await self.run("delete from due where not known")
        await self.run("reset session_replication_role")
        await self.run("vacuum events, event_bodies, due")

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


def _new_ids(count: int) -> list[str]:
    return [str(uuid4()) for _ in range(count)]


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
