"""How far a reconcile is, on stderr: a bar with the time left on a terminal, its ends elsewhere."""

import sys
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
    """A line when an account begins and one at its end: nobody watches what lies between."""

    def __init__(self) -> None:
        self._begun: set[int] = set()

    def show(self, run: Run) -> None:
        if run.id in self._begun and not run.is_finished:
            return
        self._begun.add(run.id)
        click.echo(
            f"{run.account}: {run.compared}/{run.expected} compared, {run.drifted} drift", err=True
        )
