"""What the benchmark says, and how much it does."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import click
import psycopg

from service import embedded

PACKAGES = ("starlette", "uvicorn", "uvloop", "psycopg", "celery", "httpx", "aiohttp")


class CountsDiffer(Exception):
    """Something was lost, repeated or refused: the run says nothing about speed."""


@dataclass(frozen=True)
class Scale:
    """How much is measured. The last of receiver_processes is the one without a suffix.

    rounds is how often each request at a twin is read in a run.
    """

    repetitions: int
    receiver_processes: tuple[int, ...]
    receive_seconds: float
    orders: int
    latency_seconds: float
    rounds: int


FULL = Scale(5, (1, 2), 1.2, 2_000, 3.0, 25)
QUICK = Scale(3, (2,), 0.8, 600, 2.0, 8)


def say(text: str) -> None:
    click.echo(text)


def ratio(name: str, values: Sequence[float], *, digits: int = 2) -> None:
    """Print the line that others read: the median over the repetitions."""
    click.echo(f"ratio {name} {median(values):.{digits}f}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns: the first to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        first, *rest = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  " + "  ".join((first, *rest)))


def spread(values: Sequence[float]) -> str:
    return f"{min(values):,.0f}..{max(values):,.0f}"


def say_machine(urls: embedded.Urls) -> None:
    """Print what the figures depend on."""
    with psycopg.connect(urls.postgres) as connection:
        server = connection.info.parameter_status("server_version")
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    system = f"{platform.system()} {platform.release()}"
    load = os.getloadavg()[0]
    say(f"machine: {os.cpu_count()} cores ({_processor()}), {system}, load before {load:.1f}")
    say(f"python {platform.python_version()}, PostgreSQL {server}, {packages}")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
