"""How many webhooks a second are durably stored, against three references on the same server."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import psycopg

from tests.bench.load import Plan, send
from tests.bench.plain import QUEUE, make_table
from tests.bench.processes import all_of, cpu_seconds, free_port, listens, started, until
from tests.bench.report import CountsDiffer, Scale, ratio, say, spread, table
from tests.bench.site import PATH, Site

VARIANTS = ("noop", "ours", "row", "plain")
WARM_UP_SECONDS = 0.3


@dataclass
class Measured:
    """The repetitions of one variant: calls per second, and microseconds of CPU per call."""

    per_second: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    postgres: list[float] = field(default_factory=list)
    generator: list[float] = field(default_factory=list)


def measure(site: Site, scale: Scale) -> None:
    """Print the table and the ratios, for each number of receiver processes."""
    database_url = site.database("receive")
    make_table(database_url)
    for processes in scale.receiver_processes:
        measured = _compare(site, scale, database_url, processes)
        _print(measured, processes)
        suffix = "" if processes == max(scale.receiver_processes) else f"_{processes}_process"
        for reference in ("noop", "row", "plain"):
            ratio(
                f"receive_vs_{reference}{suffix}",
                [
                    ours / theirs
                    for ours, theirs in zip(
                        measured["ours"].per_second, measured[reference].per_second, strict=True
                    )
                ],
            )


def _compare(site: Site, scale: Scale, database_url: str, processes: int) -> Mapping[str, Measured]:
    measured = {variant: Measured() for variant in VARIANTS}
    with _servers(site, database_url, processes) as servers:
        for port, _ in servers.values():
            send(Plan(port, PATH, seconds=WARM_UP_SECONDS))
        for _ in range(scale.repetitions):
            for variant, (port, pids) in servers.items():
                plan = Plan(port, PATH, seconds=scale.receive_seconds)
                _repeat(site, database_url, variant, plan, pids, measured[variant])
    return measured


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


def _repeat(
    site: Site,
    database_url: str,
    variant: str,
    plan: Plan,
    pids: Sequence[int],
    measured: Measured,
) -> None:
    kept = _kept(database_url, variant)
    server, postgres = cpu_seconds(pids), cpu_seconds([site.postgres])
    result = send(plan)
    measured.server.append((cpu_seconds(pids) - server) / result.accepted * 1e6)
    measured.postgres.append((cpu_seconds([site.postgres]) - postgres) / result.accepted * 1e6)
    measured.generator.append(result.cpu_seconds / result.seconds)
    measured.per_second.append(result.accepted / result.seconds)
    stored = _kept(database_url, variant) - kept
    if result.refused or (variant != "noop" and stored != result.accepted):
        raise CountsDiffer(
            f"{variant}: accepted={result.accepted} refused={result.refused} stored={stored}"
        )
    with site.broker() as broker:
        if variant == "plain" and broker.llen(QUEUE) < result.accepted:
            raise CountsDiffer(f"plain: fewer messages than {result.accepted}")
        broker.delete(QUEUE)


def _kept(database_url: str, variant: str) -> int:
    """Return how many rows lie where this variant keeps its webhooks."""
    source = "events" if variant == "ours" else "inbox"
    with psycopg.connect(database_url) as connection:
        row = connection.execute(f"select count(*) from {source}".encode()).fetchone()
    assert row is not None, "an aggregate answers one row"
    count: int = row[0]
    return count


def _print(measured: Mapping[str, Measured], processes: int) -> None:
    say(f"\nreceive: 204s per second, {processes} receiver process(es), 64 connections, 200 bytes")
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
