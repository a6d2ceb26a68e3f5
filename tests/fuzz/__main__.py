"""`python -m tests.fuzz`: atheris looks for bytes that break a parser, 60 s for each.

It needs the extra `fuzz`. One process per target, as many at a time as there are cores. Prints a
line per target and a total; ends with 0 only without a finding. What breaks a target is kept, with
the trace, in the folder that it names.
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import click

from tests.fuzz.targets import TARGETS

_EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"\bcov: (\d+)")


@dataclass(frozen=True)
class Told:
    """What came of one target. covered counts the edges of our code that were reached."""

    name: str
    executions: int
    covered: int
    findings: int

    def __str__(self) -> str:
        return (
            f"target={self.name} executions={self.executions} covered={self.covered}"
            f" findings={self.findings}"
        )


def main() -> int:
    """Fuzz, print what was counted, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--only", action="append", choices=sorted(TARGETS), help="repeatable")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    asked = parser.parse_args()
    folder = Path(mkdtemp(prefix="settled-fuzz-"))
    told = []
    with ThreadPoolExecutor(asked.jobs) as threads:
        names = asked.only or sorted(TARGETS)
        for one in threads.map(lambda name: fuzz(name, asked.seconds, folder / name), names):
            click.echo(one)
            told.append(one)
    findings = sum(one.findings for one in told)
    click.echo(
        f"targets={len(told)} executions={sum(one.executions for one in told)}"
        f" findings={findings} kept_in={folder}"
    )
    return 0 if not findings else 1


def fuzz(name: str, seconds: int, folder: Path) -> Told:
    """Run one target in a process of its own; it ends at its first finding."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.fuzz.drive", name, str(seconds), str(folder)]
    log = folder / "log"
    with log.open("wb") as output:
        ended = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    said = log.read_text(errors="replace")
    executions = _EXECUTIONS.search(said)
    covered = _COVERED.findall(said)
    return Told(
        name,
        executions=int(executions[1]) if executions else 0,
        covered=int(covered[-1]) if covered else 0,
        # Without a count of executions the process did not end as one that found nothing does.
        findings=0 if executions and ended.returncode == 0 else 1,
    )


if __name__ == "__main__":
    sys.exit(main())
