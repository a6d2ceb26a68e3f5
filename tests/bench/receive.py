"""How many webhooks a second are durably stored, and how fast, against references on our server."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import psycopg

from tests.bench.load import CONNECTIONS, Plan, send
from tests.bench.plain import QUEUE, make_table
from tests.bench.processes import all_of, cpu_seconds, free_port, listens, started, until
from tests.bench.report import CountsDiffer, Scale, ratio, say, spread, table
from tests.bench.site import PATH, Site

RATES = ("receive_vs_noop", "receive_vs_row", "receive_vs_plain")
SLOW_DISK = ("receive_slow_disk_vs_row",)
LATENCY = ("receive_p99_ms",)
NAMES = (*RATES, *SLOW_DISK, *LATENCY)

VARIANTS = ("noop", "ours", "row", "plain")
WARM_UP_SECONDS = 0.3

# Each session that flushes waits 4 ms first, as on a disk that takes so long: a stand-in for one.
# Source: PERFORMANCE.md, section 1.5.
SLOW = ("alter system set commit_delay = 4000", "alter system set commit_siblings = 0")
USUAL = ("alter system reset commit_delay", "alter system reset commit_siblings")
SLOW_CONNECTIONS = 256


@dataclass
class Measured:
    """The repetitions of one variant: calls per second, and microseconds of CPU per call.

    generator is the share of a core that the load generator took: near 100 % it is the limit.
    """

    per_second: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    postgres: list[float] = field(default_factory=list)
    generator: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)


def measure(site: Site, scale: Scale, names: Sequence[str]) -> None:
    """Print tables and ratios of the names wanted; rates for each number of receiver processes."""
    database_url = site.database("receive")
    make_table(database_url)
    most = max(scale.receiver_processes)
    has_rates = not {*RATES}.isdisjoint(names)
    for processes in scale.receiver_processes if has_rates else (most,):
        with _servers(site, database_url, processes) as servers:
            bench = Bench(site, scale, database_url, servers)
            for port, _ in servers.values():
                send(Plan(port, PATH, seconds=WARM_UP_SECONDS))
            if has_rates:
                _rates(
                    bench, processes, suffix="" if processes == most else f"_{processes}_process"
                )
            if processes == most and not {*SLOW_DISK}.isdisjoint(names):
                _slow_disk(bench)
            if processes == most and not {*LATENCY}.isdisjoint(names):
                _latency(bench)


@dataclass(frozen=True)
class Bench:
    """Where it is measured, and how much. servers has port and process ids of each variant."""

    site: Site
    scale: Scale
    database_url: str
    servers: Mapping[str, tuple[int, Sequence[int]]]

    def port(self, variant: str) -> int:
        return self.servers[variant][0]

    def compare(self, *variants: str, connections: int = CONNECTIONS) -> Mapping[str, Measured]:
        """Have the variants take turns, each as fast as it answers."""
        measured = {variant: Measured() for variant in variants}
        for _ in range(self.scale.repetitions):
            for variant in variants:
                plan = Plan(
                    self.port(variant),
                    PATH,
                    seconds=self.scale.receive_seconds,
                    connections=connections,
                )
                self.play(variant, plan, measured[variant])
        return measured

    def play(self, variant: str, plan: Plan, measured: Measured) -> None:
        """Note one repetition. Raises CountsDiffer unless what was accepted is stored."""
        pids = self.servers[variant][1]
        kept = _kept(self.database_url, variant)
        server, postgres = cpu_seconds(pids), cpu_seconds([self.site.postgres])
        result = send(plan)
        per_call = 1e6 / result.accepted
        measured.server.append((cpu_seconds(pids) - server) * per_call)
        measured.postgres.append((cpu_seconds([self.site.postgres]) - postgres) * per_call)
        measured.generator.append(result.cpu_seconds / result.seconds)
        measured.per_second.append(result.accepted / result.seconds)
        measured.p99_ms.append(result.p99_seconds * 1000)
        stored = _kept(self.database_url, variant) - kept
        if result.refused or (variant != "noop" and stored != result.accepted):
            raise CountsDiffer(
                f"{variant}: accepted={result.accepted} refused={result.refused} stored={stored}"
            )
        with self.site.broker() as broker:
            if variant == "plain" and broker.llen(QUEUE) < result.accepted:
                raise CountsDiffer(f"plain: fewer messages than {result.accepted}")
            broker.delete(QUEUE)


def _rates(bench: Bench, processes: int, *, suffix: str) -> None:
    measured = bench.compare(*VARIANTS)
    _print(measured, f"{processes} receiver process(es), {CONNECTIONS} connections")
    for reference in ("noop", "row", "plain"):
        _ratio(f"receive_vs_{reference}{suffix}", measured, reference)


def _slow_disk(bench: Bench) -> None:
    with psycopg.connect(bench.site.urls.postgres, autocommit=True) as connection:
        try:
            _alter(connection, SLOW)
            measured = bench.compare("ours", "row", connections=SLOW_CONNECTIONS)
        finally:
            _alter(connection, USUAL)
    _print(measured, f"a flush waits 4 ms, {SLOW_CONNECTIONS} connections")
    _ratio("receive_slow_disk_vs_row", measured, "row")


def _alter(connection: psycopg.Connection[tuple[object, ...]], statements: Iterable[str]) -> None:
    for statement in (*statements, "select pg_reload_conf()"):
        connection.execute(statement.encode())


def _latency(bench: Bench) -> None:
    """Play half of what ours takes, with exponential gaps, to ours and to noop in turn.

    What noop takes is the part of the machine and of the server.
    """
    full = Measured()
    bench.play("ours", Plan(bench.port("ours"), PATH, seconds=bench.scale.receive_seconds), full)
    per_second = full.per_second[0] / 2
    count = int(per_second * bench.scale.latency_seconds)
    measured = {variant: Measured() for variant in ("noop", "ours")}
    for _ in range(bench.scale.repetitions):
        for variant, found in measured.items():
            plan = Plan(bench.port(variant), PATH, count=count, per_second=per_second)
            bench.play(variant, plan, found)
    say(f"\nreceive: {per_second:,.0f} calls a second, half of what ours takes")
    table(
        ("from due to 204", "p99 ms", "min..max"),
        [
            (variant, f"{median(found.p99_ms):.1f}", spread(found.p99_ms))
            for variant, found in measured.items()
        ],
    )
    ratio("receive_p99_ms", measured["ours"].p99_ms, digits=1)
    ratio("receive_p99_ms_noop", measured["noop"].p99_ms, digits=1)


def _ratio(name: str, measured: Mapping[str, Measured], reference: str) -> None:
    pairs = zip(measured["ours"].per_second, measured[reference].per_second, strict=True)
    ratio(name, [ours / theirs for ours, theirs in pairs])


@contextmanager
def _servers(
    site: Site, database_url: str, processes: int
) -> Iterator[dict[str, tuple[int, list[int]]]]:
    """Start every variant; gives port and process ids of each."""
    ports = {variant: free_port() for variant in VARIANTS}
    metrics = site.folder / f"metrics-{processes}"
    metrics.mkdir()
    waiting = [
        started(
            "tests.bench.serve",
            *(variant, str(port), str(site.configuration(database_url, port=port))),
            log=site.log,
            # As `settled up` sets it: counters in files, added up over all processes.
            environment={"PROMETHEUS_MULTIPROC_DIR": str(metrics)},
        )
        for variant, port in ports.items()
        for _ in range(processes)
    ]
    with all_of(waiting) as pids:
        for port in ports.values():
            until(lambda port=port: listens(port), f"port {port} listens")  # type: ignore[misc]
        yield {
            variant: (port, pids[index * processes : (index + 1) * processes])
            for index, (variant, port) in enumerate(ports.items())
        }


def _kept(database_url: str, variant: str) -> int:
    """Return how many rows lie where this variant keeps its webhooks."""
    source = "events" if variant == "ours" else "inbox"
    with psycopg.connect(database_url) as connection:
        row = connection.execute(f"select count(*) from {source}".encode()).fetchone()
    assert row is not None, "an aggregate answers one row"
    count: int = row[0]
    return count


def _print(measured: Mapping[str, Measured], circumstances: str) -> None:
    say(f"\nreceive: 204s per second, 200 bytes, {circumstances}")
    table(
        ("variant", "per second", "min..max", "server µs", "postgres µs", "generator CPU"),
        [
            (
                variant,
                f"{median(found.per_second):,.0f}",
                spread(found.per_second),
                f"{median(found.server):.1f}",
                f"{median(found.postgres):.1f}",
                f"{median(found.generator):.0%}",
            )
            for variant, found in measured.items()
        ],
    )
