"""Two ways from a webhook to the ERP, each with its processes, and one play of either."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import ClassVar

import psycopg

from tests.bench.load import Plan, Result, send
from tests.bench.plain import make_table
from tests.bench.processes import cpu_seconds, free_port, listens, started, until
from tests.bench.report import CountsDiffer, say
from tests.bench.site import Site
from tests.bench.stub import Message

PLAY_SECONDS_MAX = 120.0
WORKERS = 2


@dataclass(frozen=True)
class Way:
    """Processes by role that take webhooks in at port, and what they keep of them.

    counts answers how many webhooks are stored, how many orders reconciled, and how many
    messages still wait.
    """

    name: ClassVar[str]
    messages_per_order: ClassVar[int]
    counts: ClassVar[str]

    port: int
    database_url: str
    pids: Mapping[str, list[int]]

    def count(self) -> tuple[int, int, int]:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(self.counts.encode()).fetchone()
        assert row is not None, "an aggregate answers one row"
        return row[0], row[1], row[2]


class Ours(Way):
    """The product's own processes, as `settled up` starts them."""

    name = "ours"
    messages_per_order = 2  # one about the request, one about the order that it belongs to
    counts = """
        select (select count(*) from events),
               (select count(*) from requests where status = 'paid' and received = 4000),
               (select count(*) from deliveries where state = 'waiting')
    """

    @classmethod
    @contextmanager
    def running(cls, site: Site) -> Iterator[Way]:
        database_url, port = site.database("ours"), free_port()
        path = str(site.configuration(database_url, port=port))
        metrics = site.folder / "metrics"
        metrics.mkdir()
        environment = {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        web = ("service.cli.main", "web", "--config", path)
        commands: dict[str, list[tuple[str, ...]]] = {
            "web": [web],
            "workers": [("workers.app", path)] * WORKERS,
            "beat": [("workers.beat", path)],
        }
        with ExitStack() as stack:
            pids = {
                role: [
                    stack.enter_context(
                        started(*command, log=site.log, environment=environment)
                    ).pid
                    for command in of_role
                ]
                for role, of_role in commands.items()
            }
            pids |= {"postgres": [site.postgres], "redis": [site.redis]}
            way = cls(port, database_url, pids)
            until(lambda: listens(port), "the receiver listens")
            until(way._workers_are_ready, "the workers work")
            yield way

    def _workers_are_ready(self) -> bool:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute("select count(*) from workers").fetchone()
        return row == (WORKERS,)


class Plain(Way):
    """A Starlette receiver and a Celery prefork worker with two children."""

    name = "plain"
    messages_per_order = 1
    counts = """
        select count(*), count(*) filter (where status = 'completed' and received = 4000), 0
          from inbox
    """

    @classmethod
    @contextmanager
    def running(cls, site: Site) -> Iterator[Way]:
        database_url, port = site.database("plain"), free_port()
        make_table(database_url)
        path = str(site.configuration(database_url, port=port))
        receiver = started("tests.bench.serve", "plain", str(port), path, log=site.log)
        worker = started(
            "tests.bench.plain_worker",
            *(database_url, site.urls.redis, site.stub.url),
            log=site.log,
        )
        with receiver as web, worker as parent:
            pids = {
                "web": [web.pid],
                "workers": [parent.pid],
                "postgres": [site.postgres],
                "redis": [site.redis],
            }
            until(lambda: listens(port), "the plain receiver listens")
            yield cls(port, database_url, pids)


@dataclass(frozen=True)
class Played:
    """One play, from the first webhook sent; cpu is in seconds by role, latencies in seconds.

    seconds ends with the last message about a request, seconds_of_all with the last of all.
    """

    orders: int
    seconds: float
    seconds_of_all: float
    latencies: list[float]
    cpu: Mapping[str, float]
    wakes: int

    @property
    def per_second(self) -> float:
        return self.orders / self.seconds

    @property
    def per_second_of_all(self) -> float:
        return self.orders / self.seconds_of_all

    @property
    def cpu_per_1000(self) -> float:
        return sum(self.cpu.values()) * 1000 / self.orders


def play(way: Way, site: Site, plan: Plan, *, delay_ms: int = 0) -> Played:
    """Send webhooks, wait until the ERP has every message, and check the counts.

    Raises CountsDiffer when they do not hold, NotReady when messages stay away.
    """
    site.stub.reset(delay_ms=delay_ms)
    stored, reconciled, _ = way.count()
    cpu, pushes = _cpu(way), _pushes(site)
    result = send(plan)
    expected = result.accepted * way.messages_per_order
    until(
        lambda: site.stub.count() >= expected,
        f"{way.name}: {expected} messages",
        seconds=PLAY_SECONDS_MAX,
    )
    cpu_after, pushes_after = _cpu(way), _pushes(site)
    until(lambda: way.count()[2] == 0, f"{way.name}: every delivery closed")
    messages = site.stub.messages()
    stored_after, reconciled_after, _ = way.count()
    _check(way, result, stored_after - stored, reconciled_after - reconciled, messages)
    first = min(result.sent_at.values())
    of_requests = {one.order_id: one.at for one in messages if one.order_id is not None}
    return Played(
        orders=result.accepted,
        seconds=max(of_requests.values()) - first,
        seconds_of_all=max(message.at for message in messages) - first,
        latencies=[of_requests[order_id] - at for order_id, at in result.sent_at.items()],
        cpu={role: cpu_after[role] - cpu[role] for role in cpu},
        wakes=pushes_after - pushes,
    )


def _check(way: Way, result: Result, stored: int, reconciled: int, messages: list[Message]) -> None:
    """Print the counts; raise CountsDiffer unless each order was told once and none was lost."""
    told = Counter(one.order_id for one in messages if one.order_id is not None)
    notified = len(told.keys() & result.sent_at.keys())
    duplicates = len(messages) - len({message.id for message in messages})
    duplicates += told.total() - len(told)
    say(
        f"counts accepted={result.accepted} stored={stored} reconciled={reconciled}"
        f" notified={notified} duplicates={duplicates}"
    )
    expected = len(result.sent_at)
    holds = {result.accepted, stored, reconciled, notified} == {expected}
    if not holds or duplicates or result.refused:
        raise CountsDiffer(f"{way.name}: not all of {expected} webhooks were told exactly once")


def _cpu(way: Way) -> dict[str, float]:
    return {role: cpu_seconds(pids) for role, pids in way.pids.items()}


def _pushes(site: Site) -> int:
    """Return how many messages Celery has put into queues so far."""
    with site.broker() as broker:
        calls: int = broker.info("commandstats").get("cmdstat_lpush", {"calls": 0})["calls"]
    return calls
