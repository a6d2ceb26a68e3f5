"""How far a reconcile is, on stderr: a bar with the time left on a terminal, a line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from service.storage.reconciles import Run

LINE_SECONDS = 2.0

Show = Callable[[Run], None]


@contextmanager
def shown_progress() -> Iterator[Show]:
    """Lend what shows how far a run is, as suits where stderr goes."""
    if not sys.stderr.isatty():
        yield Lines().show
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[drifted]} drift"),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # What goes to stdout stays there, unless both are one terminal: then it moves the bar along.
    with Progress(
        *columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()
    ) as progress:
        yield Bars(progress).show


class Bars:
    """One bar for each account."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[int, TaskID] = {}

    def show(self, run: Run) -> None:
        if run.id not in self._tasks:
            self._tasks[run.id] = self._progress.add_task(
                run.account, total=run.expected, completed=run.compared, drifted=run.drifted
            )
        total = max(run.compared, 1) if run.is_finished else run.expected
        self._progress.update(
            self._tasks[run.id],
            total=total,
            completed=total if run.is_finished else run.compared,
            drifted=run.drifted,
        )


class Lines:
    """A line at the beginning, one every two seconds, and one at the end."""

    def __init__(self) -> None:
        self._began: dict[int, tuple[float, int]] = {}
        self._said_at = 0.0

    def show(self, run: Run) -> None:
        now = time.monotonic()
        is_first = run.id not in self._began
        began_at, began_with = self._began.setdefault(run.id, (now, run.compared))
        if not (is_first or run.is_finished) and now < self._said_at + LINE_SECONDS:
            return
        self._said_at = now
        seconds = seconds_left(run, done=run.compared - began_with, seconds=now - began_at)
        left = "" if seconds is None or run.is_finished else f", about {seconds:.0f} s left"
        click.echo(
            f"{run.account}: {run.compared}/{run.expected} compared, {run.drifted} drift{left}",
            err=True,
        )


def seconds_left(run: Run, *, done: int, seconds: float) -> float | None:
    """Return how long the rest takes at the pace of what was done, None before there is one."""
    if not done:
        return None
    return max(0, run.expected - run.compared) * seconds / done
