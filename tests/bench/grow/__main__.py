"""`python -m tests.bench.grow`: minutes, once its data is built; building them takes longer."""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Final

import click
import psycopg
import structlog

from service.embedded import Urls
from service.errors import SettledError
from tests.bench.grow import store
from tests.bench.grow.mould import EVENTS_PER_REQUEST
from tests.bench.grow.pages import PAGES
from tests.bench.grow.sides import BATCH, Figures, Side, side_of
from tests.bench.report import ratio, say, say_machine, spread, table

ROUNDS: Final = 5
BATCHES, CALLS = 20, 10  # of 100 events, and of each page, in a round
# PostgreSQL waits 5 minutes between two checkpoints: 300 batches are 100 events a second.
BATCHES_LONG: Final = 300
QUICK_ROUNDS, QUICK_BATCHES, QUICK_CALLS, QUICK_BATCHES_LONG = 3, 5, 5, 50

# A page that is changed for the first time after a checkpoint is logged whole. So the first figure
# is the worst there is, and the second what an event costs as they come.
STAGES: Final = {
    "insert": "event stored and made due, right after a checkpoint",
    "insert_long": "the same, all events between two checkpoints",
    "claim": "request claimed and recorded",
    "deliver": "delivery claimed and closed",
    "list": "all pages, each once",
}

# The rounds by size, and what is looked at of each.
Taken = Mapping[int, Sequence[Figures]]
Figure = Callable[[Figures], float]


def cache_folder() -> Path:
    """Return where data are kept that can be built again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "settled-grow"


@click.command()
@click.option(
    "--requests",
    type=click.IntRange(min=10_000),
    help="The largest size; 10,000,000 where nothing is built yet.",
)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the data are kept.")
@click.option("--quick", is_flag=True, help="Fewer and shorter rounds.")
def main(requests: int | None, folder: Path | None, quick: bool) -> None:
    """Measure beside 0, a million and many million requests; print `ratio` lines.

    The data are built in the folder, unless it holds them: without --requests whatever it holds.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    folder = folder or cache_folder()
    sizes = None if requests is None else store.sizes_up_to(requests)
    try:
        built = store.ensure(folder, sizes)
        with store.served(folder) as url:
            say_machine(Urls(postgres=url, redis=""))
            _say_built(url, built)
            asyncio.run(_measure(url, built.sizes, quick=quick))
    except SettledError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


def _say_built(url: str, built: store.Built) -> None:
    with psycopg.connect(url) as connection:
        for size in built.sizes:
            row = connection.execute(
                "select pg_database_size(%s)", [store.database_of(size)]
            ).fetchone()
            assert row is not None, "a function answers one row"
            say(
                f"{size:,} requests, {size * EVENTS_PER_REQUEST:,} events: {row[0] / 1e9:,.1f} GB,"
                f" {row[0] / size / 1e3:,.1f} kB for each request"
            )
    say(f"built in {built.seconds:,.0f} s")


async def _measure(url: str, sizes: Sequence[int], *, quick: bool) -> None:
    store.renew(url, store.database_of(0))
    rounds = QUICK_ROUNDS if quick else ROUNDS
    batches, calls = (QUICK_BATCHES, QUICK_CALLS) if quick else (BATCHES, CALLS)
    batches_long = QUICK_BATCHES_LONG if quick else BATCHES_LONG
    async with AsyncExitStack() as stack:
        sides = []
        for size in (0, *sizes):
            of_size = store.url_of(url, store.database_of(size))
            await store.make_partitions(of_size)
            sides.append(await stack.enter_async_context(side_of(of_size, size)))
        short = await _in_turn(sides, rounds, lambda side: side.round(batches, calls))
        # Behind the others, which would meet the traces of what was forgotten.
        long = await _in_turn(sides, rounds, lambda side: side.long_round(batches_long))
        taken = {
            size: [one | other for one, other in zip(short[size], long[size], strict=True)]
            for size in short
        }
        _print(taken)
        await _search(sides)


async def _in_turn(
    sides: Sequence[Side], rounds: int, work: Callable[[Side], Awaitable[Figures]]
) -> dict[int, list[Figures]]:
    """Do so many rounds on each side, after one that is not counted; return them by size."""
    for side in sides:
        await work(side)  # nothing is as slow as the first
        await side.tidy()
    taken: dict[int, list[Figures]] = {side.size: [] for side in sides}
    for number in range(rounds):
        # In turn forwards and backwards, so that none always comes after the same.
        for side in sides if number % 2 else reversed(sides):
            taken[side.size].append(await work(side))
    return taken


def _print(taken: Taken) -> None:
    say(f"\ngrow: medians of {len(taken[0])} rounds in turn, {BATCH} to a statement")
    head = [f"beside {size:,}" for size in taken]
    table(
        ("µs", *head, "grown"),
        [(of, *_cells(taken, _seconds(stage))) for stage, of in STAGES.items()],
    )
    table(
        ("µs of PostgreSQL's CPU", *head, "grown"),
        [(of, *_cells(taken, _cpu_seconds(stage))) for stage, of in STAGES.items()],
    )
    table(
        ("bytes of WAL", *head),
        [
            (
                of,
                *(
                    f"{median(each.stages[stage].wal_bytes for each in runs):,.0f}"
                    for runs in taken.values()
                ),
            )
            for stage, of in STAGES.items()
            if stage != "list"
        ],
    )
    table(("µs of a page", *head, "grown"), [(page, *_cells(taken, _page(page))) for page in PAGES])
    *smaller, top = [size for size in taken if size]
    for stage in STAGES:
        ratio(f"grow_{stage}", _ratios(taken, _seconds(stage), top))
        ratio(f"grow_{stage}_postgres_cpu", _ratios(taken, _cpu_seconds(stage), top))
        for size in smaller:
            ratio(f"grow_{stage}_{size // 1_000_000}m", _ratios(taken, _seconds(stage), size))


def _seconds(stage: str) -> Figure:
    return lambda figures: figures.stages[stage].seconds


def _cpu_seconds(stage: str) -> Figure:
    return lambda figures: figures.stages[stage].cpu_seconds


def _page(page: str) -> Figure:
    return lambda figures: figures.pages[page]


def _ratios(taken: Taken, figure: Figure, size: int) -> list[float]:
    pairs = zip(taken[size], taken[0], strict=True)
    return [figure(full) / figure(empty) for full, empty in pairs]


def _cells(taken: Taken, figure: Figure) -> list[str]:
    """Return median and spread in microseconds for each size, and the growth to the largest."""
    cells = []
    for runs in taken.values():
        values = [figure(each) * 1e6 for each in runs]
        cells.append(f"{median(values):,.0f} ({spread(values)})")
    return [*cells, f"{median(_ratios(taken, figure, max(taken))):.2f}"]


async def _search(sides: Sequence[Side]) -> None:
    say(
        "\nthe longest search: an order by a part of its reference, which all others are newer than"
    )
    for side in sides:
        seconds = await side.search()
        took = "ended by its time-out" if seconds is None else f"{seconds:.2f} s"
        say(f"  beside {side.size:,}: {took}")


if __name__ == "__main__":
    main()
