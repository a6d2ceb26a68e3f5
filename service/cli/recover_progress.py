"""How far a recovery is, on stderr: a bar with the time left on a terminal, its ends elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from service.cli.output import Json

Show = Callable[[Json], None]


@contextmanager
def shown_progress(*, gone_on_with: bool) -> Iterator[Show]:
    """Lend what shows how far a recovery is, as suits where stderr goes."""
    if gone_on_with:
        click.echo("going on with a recovery that was stopped or is under way", err=True)
    if not sys.stderr.isatty():
        yield Lines().show
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)

        def show(recovery: Json) -> None:
            total = total_of(recovery)
            text = in_words(recovery)
            progress.update(task, description=text, total=total, completed=done_of(recovery))

        yield show


class Lines:
    """A line at the beginning and one at the end: nobody watches what lies between."""

    def __init__(self) -> None:
        self._has_begun = False

    def show(self, recovery: Json) -> None:
        if self._has_begun and recovery["state"] == "running":
            return
        self._has_begun = True
        click.echo(
            f"{in_words(recovery)}: {done_of(recovery)}/{total_of(recovery)} sent again,"
            f" {recovery['dead']} turned down",
            err=True,
        )


def in_words(recovery: Json) -> str:
    """Return which recovery it is, and what stands in its way."""
    if recovery["lane"] in ("open", "draining"):
        return str(recovery["endpoint"])
    return f"{recovery['endpoint']} ({recovery['lane']})"


def done_of(recovery: Json) -> int:
    return int(recovery["delivered"] + recovery["dead"] + recovery["superseded"])


def total_of(recovery: Json) -> int:
    """Return how many there will have been: some of the plan may have gone out by themselves."""
    if recovery["state"] == "finished":
        return done_of(recovery)
    return max(int(recovery["planned"]), int(recovery["queued"]))
