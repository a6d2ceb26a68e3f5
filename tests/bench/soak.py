"""`python -m tests.bench.soak`: ten minutes of steady load, and what each process holds meanwhile.

The product's own processes take webhooks at about a third of what they can, with the provider and
the ERP of the benchmark. Every few seconds the memory, the open files and the database connections
of each are noted. What is held between a fifth and two fifths of the time is compared with the last
fifth: by the first, whatever is made once has been made.
"""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from threading import Event
from typing import Final

import click
import psycopg

from service.errors import SettledError
from tests.bench.load import Plan
from tests.bench.processes import Holding, NotReady, family, holding
from tests.bench.report import CountsDiffer, ratio, say, say_machine, table
from tests.bench.site import PATH, Site, prepared
from tests.bench.ways import Ours, Way, play

SECONDS: Final = 600.0
SECONDS_BETWEEN: Final = 3.0
SHARE_OF_CAPACITY: Final = 1 / 3
BURSTS: Final = 3
BURST: Final = 1_000

# Few, so that each is used often: the receiver closes connections that idle.
CONNECTIONS: Final = 16

# The roles of the product. PostgreSQL and Redis fill caches, and their memory is not ours.
ROLES: Final = {"web": "web", "workers": "worker", "beat": "beat"}

# How much more a process may hold at the end. Allocators give back late, so that single figures
# move by a few percent. 200 bytes lost with each of 100,000 webhooks are 20 MB, of which three
# fifths show: more than a tenth of a worker. Pools open connections, and files with them, when they
# are first short of one.
MEMORY_GROWTH_MAX: Final = 1.10
FILES_MORE_MAX: Final = 4
CONNECTIONS_MORE_MAX: Final = 4


@dataclass(frozen=True)
class Grown:
    """Medians of what was held in the second and in the last fifth of the time."""

    before: float
    after: float

    @property
    def ratio(self) -> float:
        return self.after / self.before


def grown(values: Sequence[float]) -> Grown:
    """Compare the second fifth of values with the last one; there are at least five."""
    fifth = len(values) // 5
    assert fifth > 0, "a fifth of the time has a value"
    return Grown(median(values[fifth : 2 * fifth]), median(values[-fifth:]))


@dataclass(frozen=True)
class Noted:
    """What processes held at one moment, by process id; connections by application."""

    holdings: Mapping[int, Holding]
    connections: Mapping[str, int]


@dataclass(frozen=True)
class Process:
    """What one process held over time."""

    name: str
    holdings: Sequence[Holding]

    @property
    def memory(self) -> Grown:
        return grown([each.proportional_bytes for each in self.holdings])

    @property
    def files(self) -> Grown:
        return grown([each.open_files for each in self.holdings])

    def faults(self) -> list[str]:
        """Return what grew more than it may."""
        memory, files = self.memory, self.files
        return [
            f"{self.name} {what}"
            for what, is_too_much in (
                (
                    f"holds {memory.after / 1e6:.1f} MB after {memory.before / 1e6:.1f} MB",
                    memory.ratio > MEMORY_GROWTH_MAX,
                ),
                (
                    f"has {files.after:.0f} files open after {files.before:.0f}",
                    files.after > files.before + FILES_MORE_MAX,
                ),
            )
            if is_too_much
        ]


@click.command()
@click.option("--seconds", default=SECONDS, show_default=True, type=click.FloatRange(min=20))
def main(seconds: float) -> None:
    """Load the product steadily; print what its processes hold. Ends with 1 if any grew."""
    with prepared() as site:
        say_machine(site.urls)
        try:
            faults = _soak(site, seconds)
        except (CountsDiffer, NotReady, SettledError) as error:
            click.echo(f"error: {error}", err=True)
            click.echo(site.log.read_text(errors="replace")[-4000:], err=True)
            sys.exit(1)
    for fault in faults:
        click.echo(f"error: {fault}", err=True)
    sys.exit(bool(faults))


def _soak(site: Site, seconds: float) -> list[str]:
    with Ours.running(site) as ours:
        bursts = [play(ours, site, Plan(ours.port, PATH, count=BURST)) for _ in range(BURSTS)]
        rate = median(one.per_second for one in bursts) * SHARE_OF_CAPACITY
        say(f"\nsoak: {rate:,.0f} webhooks a second for {seconds:,.0f} s")
        pids = {
            pid: f"{name} {pid}"
            for role, name in ROLES.items()
            for root in ours.pids[role]
            for pid in family(root)
        }
        over = Event()
        with ThreadPoolExecutor(1) as thread:
            noting = thread.submit(_note, ours, list(pids), over)
            try:
                count = int(rate * seconds)
                plan = Plan(ours.port, PATH, None, count, rate, connections=CONNECTIONS)
                play(ours, site, plan)
            finally:
                over.set()
            notes = noting.result()
    return _report(pids, notes)


def _note(way: Way, pids: Sequence[int], over: Event) -> list[Noted]:
    """Note what processes hold every few seconds until it is over."""
    notes = []
    with psycopg.connect(way.database_url, autocommit=True) as connection:
        while not over.wait(SECONDS_BETWEEN):
            rows = connection.execute(
                "select application_name, count(*) from pg_stat_activity"
                " where application_name like 'settled %' group by 1"
            ).fetchall()
            notes.append(Noted({pid: holding(pid) for pid in pids}, dict(rows)))
    return notes


def _report(pids: Mapping[int, str], notes: Sequence[Noted]) -> list[str]:
    """Print tables and ratios; return what grew more than it may."""
    processes = [
        Process(name, [each.holdings[pid] for each in notes]) for pid, name in pids.items()
    ]
    table(
        (
            "process",
            "PSS MB: start",
            "middle",
            "end",
            "RSS MB: end",
            "grown",
            "files: start",
            "end",
        ),
        [_row(process) for process in processes],
    )
    applications = sorted({name for each in notes for name in each.connections})
    connections = {
        name: grown([each.connections.get(name, 0) for each in notes]) for name in applications
    }
    table(
        ("connections of", "before", "after"),
        [(name, f"{of.before:.0f}", f"{of.after:.0f}") for name, of in connections.items()],
    )
    for name in ROLES.values():
        of_role = [each.memory.ratio for each in processes if each.name.startswith(name)]
        ratio(f"soak_memory_{name}", [max(of_role)])
    faults = [fault for process in processes for fault in process.faults()]
    return faults + [
        f"{name} has {of.after:.0f} connections after {of.before:.0f}"
        for name, of in connections.items()
        if of.after > of.before + CONNECTIONS_MORE_MAX
    ]


def _row(process: Process) -> tuple[str, ...]:
    first, middle, last = (
        process.holdings[at] for at in (0, len(process.holdings) // 2, len(process.holdings) - 1)
    )
    return (
        process.name,
        *(f"{each.proportional_bytes / 1e6:.1f}" for each in (first, middle, last)),
        f"{last.resident_bytes / 1e6:.1f}",
        f"{process.memory.ratio:.3f}",
        f"{first.open_files}",
        f"{last.open_files}",
    )


if __name__ == "__main__":
    main()
