"""`python -m tests.mutants`: about four minutes on two free cores; with names, those alone."""

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

import click

from tests.mutants.mutant import PROMISED, Mutant, mutants
from tests.mutants.trial import NothingRan, Trial, copied, endings, not_green, tried

# "Checked and found a problem". Source: CONTRACT.md, section 2.
EXIT_PROBLEM = 6


@click.command()
@click.argument("names", nargs=-1)
@click.option("--jobs", type=click.IntRange(1, 2), default=2, help="Mutants tried side by side.")
@click.option("--promised", is_flag=True, help="Only the fourteen that are promised by name.")
def main(names: tuple[str, ...], jobs: int, promised: bool) -> None:
    """Plant each mutant in a copy of the tree and see its tests turn red; exit 6 if one is not."""
    chosen = mutants(PROMISED) if promised else _chosen(names)
    with ExitStack() as stack:
        copies = [stack.enter_context(copied()) for _ in range(jobs)]
        _see_them_green(chosen, copies[0])
        killed = 0
        for trial in _tried_side_by_side(chosen, copies):
            killed += trial.verdict == "killed"
            _tell(trial)
    click.echo(f"mutants={len(chosen)} killed={killed}")
    sys.exit(0 if killed == len(chosen) else EXIT_PROBLEM)


def _chosen(names: Sequence[str]) -> list[Mutant]:
    everyone = {mutant.name: mutant for mutant in mutants()}
    unknown = [name for name in names if name not in everyone]
    if unknown:
        raise click.UsageError(f"there is no mutant {', '.join(unknown)}")
    return [everyone[name] for name in names] or list(everyone.values())


def _see_them_green(chosen: Sequence[Mutant], copy: Path) -> None:
    """Run the named tests without a defect: a red one would say nothing about a mutant."""
    began = time.monotonic()
    tests = list(dict.fromkeys(name for mutant in chosen for name in mutant.red))
    try:
        found = not_green(tests, endings(copy, tests))
    except NothingRan as error:
        found = [str(error)]
    for line in found:
        click.echo(f"not green  {line}", err=True)
    if found:
        sys.exit(EXIT_PROBLEM)
    click.echo(f"green      {len(tests)} tests without a defect  {time.monotonic() - began:.1f} s")


def _tried_side_by_side(chosen: Sequence[Mutant], copies: Sequence[Path]) -> Iterator[Trial]:
    """Yield each trial as it ends. A copy holds one mutant at a time."""
    free: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def on_a_free_copy(mutant: Mutant) -> Trial:
        copy = free.get()
        try:
            return tried(mutant, copy)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        for done in as_completed([pool.submit(on_a_free_copy, mutant) for mutant in chosen]):
            yield done.result()


def _tell(trial: Trial) -> None:
    click.echo(f"{trial.verdict:<10} {trial.mutant.name:<44} {trial.seconds:5.1f} s")
    if trial.found:
        click.echo(f"           {trial.mutant.danger}\n           {trial.found}")


if __name__ == "__main__":
    main()
