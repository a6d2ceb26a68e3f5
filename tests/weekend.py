"""A weekend in which the ERP answers nothing but 503: `python -m tests.weekend`, some minutes.

Time is compressed without waiting and without touching our code. The clock of deliveries and
lanes is PostgreSQL's, and what they do depends only on how far a stored time lies ahead or back.
So between two looks of the worker, while nothing is under way, every such time is moved back by
the step that would have passed. Everything else is real: PostgreSQL, sockets, claims, lanes.
"""

import asyncio
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import click
from psycopg.rows import scalar_row

from service import embedded
from service.flow.attempt import DeliverParts
from service.flow.deliver import deliver_due
from service.settings import Rate
from service.storage.database import Pool, pool_of, upgrade
from service.telemetry import logs
from tests.flow.surroundings import Answer, Arrival, endpoint, listening, sending
from tests.outbox import write

HOURS_DOWN = 62  # from Friday, 18:00, to Monday, 8:00
SLOTS = 128


@dataclass(frozen=True, slots=True)
class Plan:
    """orders are told of twice each, at random hours; look_seconds is how often a worker looks."""

    orders: int = 10_000
    hours_down: int = HOURS_DOWN
    rate_per_second: int = 50
    look_seconds: float = 0.1
    seed: int = 1

    def hours(self) -> list[list[tuple[str, int]]]:
        """Return what is written in each hour: orders with their sequences."""
        random = Random(self.seed)
        hours: list[list[tuple[str, int]]] = [[] for _ in range(self.hours_down)]
        for number in range(self.orders):
            first = random.randrange(self.hours_down)
            hours[first].append((f"ord_{number}", 1))
            hours[random.randrange(first, self.hours_down)].append((f"ord_{number}", 2))
        return hours


@dataclass(frozen=True, slots=True)
class Report:
    """What the weekend came to. most_in_a_second is of what the ERP took after it."""

    notifications: int
    attempts_while_down: int
    probes: int
    delivered: int
    dead: int
    lost: int
    out_of_order: int
    taken_twice: int
    most_in_a_second: int
    hours_until_all: float

    @property
    def is_good(self) -> bool:
        """Whether all of it arrived, in order, and each once."""
        wrong = self.dead or self.lost or self.out_of_order or self.taken_twice
        return not wrong and self.delivered == self.notifications

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())


class Clock:
    """The time in which the weekend passes: ours, and what was skipped."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._skipped = timedelta()
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds since the beginning, the skipped ones with them."""
        return time.monotonic() - self._started + self._skipped.total_seconds()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._skipped

    async def skip(self, seconds: float) -> None:
        """Move every time that still matters back by so much: nothing is leased meanwhile."""
        step = timedelta(seconds=seconds)
        async with self._pool.connection() as connection:
            await connection.execute(
                "update endpoints set probe_at = probe_at - %(step)s,"
                " failing_since = failing_since - %(step)s,"
                " draining_since = draining_since - %(step)s, credited_at = credited_at - %(step)s",
                {"step": step},
            )
            await connection.execute(
                "update deliveries set due_at = due_at - %s"
                " where endpoint = 'erp' and closed_at is null and due_at > now()",
                [step],
            )
        self._skipped += step


class Door:
    """What arrived when, and how it was answered: 503 until the weekend is over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.status = 503
        self.taken: list[tuple[float, str, int]] = []
        self.turned_down = 0

    async def answer(self, arrival: Arrival) -> Answer:
        if self.status == 204:
            data = arrival.data
            self.taken.append((self._clock.seconds, data["order_id"], data["sequence"]))
        else:
            self.turned_down += 1
        return self.status


async def spend(pool: Pool, plan: Plan, say: Callable[[str], None]) -> Report:
    """Play the weekend on an empty, migrated database."""
    clock = Clock(pool)
    door = Door(clock)
    async with listening() as erp:
        erp.answering = door.answer
        lane = endpoint(erp, rate=Rate(plan.rate_per_second, 1.0), concurrency=SLOTS)
        async with sending(pool, lane) as parts:
            parts = replace(parts, now=clock.now)
            for hour, written in enumerate(plan.hours(), start=1):
                await write(pool, [(*one, "erp") for one in written], at=clock.now())
                while clock.seconds < hour * 3600:
                    await look(parts)
                    left = hour * 3600 - clock.seconds
                    await clock.skip(min(max(left, 0), await until_next(pool, plan)))
            probes = door.turned_down - await number(pool, "sum(attempts_made)")
            say(f"{door.turned_down} attempts were turned down, {probes} of them probes")
            back_at, door.status = clock.seconds, 204
            while waiting := await number(pool, "count(*) filter (where state = 'waiting')"):
                say(f"{waiting} wait")
                await look(parts)
                await clock.skip(await until_next(pool, plan))
    places = {(subject, sequence) for _, subject, sequence in door.taken}
    return Report(
        notifications=2 * plan.orders,
        attempts_while_down=door.turned_down,
        probes=probes,
        delivered=await number(pool, "count(*) filter (where state = 'delivered')"),
        dead=await number(pool, "count(*) filter (where state = 'dead')"),
        lost=2 * plan.orders - len(places),
        out_of_order=out_of_order(door.taken),
        taken_twice=len(door.taken) - len(places),
        most_in_a_second=most_in_a_second([at for at, *_ in door.taken]),
        hours_until_all=round((clock.seconds - back_at) / 3600, 2),
    )


class OneLook(asyncio.Event):
    """Tells a worker to stop as soon as it has claimed once: what it has in hand is finished."""

    def is_set(self) -> bool:
        looked = super().is_set()
        self.set()
        return looked


async def look(parts: DeliverParts) -> None:
    await deliver_due(replace(parts, stopping=OneLook()), slots=SLOTS, bell=asyncio.Event())


async def until_next(pool: Pool, plan: Plan) -> float:
    """Return for how long nothing can happen: until the probe, or until a worker looks again."""
    seconds = await value(
        pool,
        "select extract(epoch from probe_at - clock_timestamp())::float8 from endpoints"
        " where state in ('on_hold', 'probing')",
    )
    return plan.look_seconds if seconds is None else max(seconds, 0.0)


async def number(pool: Pool, what: str) -> int:
    return int(await value(pool, f"select {what} from deliveries"))


async def value(pool: Pool, query: str) -> Any:
    """Return the one value that a query finds, None where it finds no row."""
    async with pool.connection() as connection, connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(query.encode())
        return await cursor.fetchone()


def out_of_order(taken: Sequence[tuple[float, str, int]]) -> int:
    """Return how many messages were taken before an earlier one of their order."""
    newest: dict[str, int] = defaultdict(int)
    too_early = 0
    for _, subject, sequence in taken:
        too_early += sequence != newest[subject] + 1
        newest[subject] = sequence
    return too_early


def most_in_a_second(times: Sequence[float]) -> int:
    """Return the most arrivals in any stretch of one second."""
    first = most = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


@contextmanager
def new_database() -> Iterator[str]:
    """Start a PostgreSQL of its own for the block; gives the URL of a migrated database."""
    with TemporaryDirectory(prefix="settled-weekend-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server runs as another user
        with embedded.running(folder / "data") as urls:
            upgrade(urls.postgres)
            yield urls.postgres


async def play(url: str, plan: Plan) -> Report:
    async with pool_of(url, application="weekend", connections_max=8) as pool:
        return await spend(pool, plan, lambda text: click.echo(text, err=True))


@click.command()
@click.option("--orders", default=10_000, show_default=True)
@click.option("--hours", default=HOURS_DOWN, show_default=True, help="How long the ERP is down.")
@click.option("--seed", default=1, show_default=True)
def main(orders: int, hours: int, seed: int) -> None:
    """Play a weekend without the ERP in compressed time; exit 1 if anything went wrong."""
    plan = Plan(orders, hours, seed=seed)
    logs.configure("json", role="command", level=logging.CRITICAL)
    click.echo(f"seed={seed} orders={orders} hours_down={hours} rate={plan.rate_per_second}/s")
    with new_database() as url:
        report = asyncio.run(play(url, plan))
    click.echo(str(report))
    sys.exit(0 if report.is_good and report.most_in_a_second <= plan.rate_per_second else 1)


if __name__ == "__main__":
    main()
