"""How far a demo is, on stderr: a bar on a terminal, nothing elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.cli.demo_stage import Score


class Narrator(Protocol):
    """Tells people what happens meanwhile."""

    def say(self, text: str) -> None:
        """Tell one thing, on a line of its own."""
        ...

    def show(self, score: Score) -> None:
        """Show how far we are; called several times a second."""
        ...


@contextmanager
def narrator(orders: int) -> Iterator[Narrator]:
    """Lend who suits where stderr goes; orders are how many there are to play."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, orders)


class Bar:
    """A bar that moves with the orders whose story is over."""

    def __init__(self, progress: Progress, orders: int) -> None:
        self._progress = progress
        self._task = progress.add_task("orders", total=orders)

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def show(self, score: Score) -> None:
        self._progress.update(self._task, completed=score.played, description=_counts(score))


class Lines:
    """What is told, without a bar: nobody watches."""

    def say(self, text: str) -> None:
        click.echo(text, err=True)

    def show(self, score: Score) -> None:
        """Show nothing: the report tells how it ended."""


def _counts(score: Score) -> str:
    return (
        f"orders played, {score.webhooks} webhooks, {score.transitions} transitions,"
        f" {score.notifications} notifications"
    )
