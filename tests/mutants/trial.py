"""Runs named tests on a copy of the tree, with a defect or without, and judges how they ended."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.mutants.mutant import REPOSITORY, Mutant

COPIED = ("service", "workers", "tests", "pyproject.toml")

# A defect may make a test hang: then it ends by pytest's time-out, and the run in any case. Both
# are wide, because two runs side by side on a busy machine are slow.
TEST_SECONDS_MAX = 300
RUN_SECONDS_MAX = 1200.0

# How a test fails by its own judgement: pytest's Failed is that of `pytest.raises`, TimeoutError
# that of a condition which never came.
BY_ASSERTION = frozenset({"AssertionError", "Failed", "TimeoutError"})

# What pytest-timeout says for a test that hangs, also by way of Failed.
HANGS = "Failed: Timeout"


@dataclass(frozen=True, slots=True)
class Ending:
    """How one phase of a test ended. where is the top folder of the code that raised error."""

    test: str
    when: str
    outcome: str
    error: str = ""
    says: str = ""
    where: str = ""

    @property
    def is_bad(self) -> bool:
        return self.outcome == "failed"

    def is_red(self, fails_by: str | None = None) -> bool:
        """Return whether the test itself said no, or fails_by came through it."""
        if not self.is_bad or self.when != "call" or self.says.startswith(HANGS):
            return False
        return self.error == fails_by or (self.error in BY_ASSERTION and self.where == "tests")


class NothingRan(Exception):
    """Pytest ended without having run a test; the message is the end of what it said."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a mutant. found says of a survivor what its tests did."""

    mutant: Mutant
    verdict: Literal["killed", "survived", "drifted"]
    seconds: float
    found: str = ""


@contextmanager
def copied() -> Iterator[Path]:
    """Lend a copy of the tree, without what was compiled from the original."""
    with tempfile.TemporaryDirectory(prefix="settled-mutants-") as folder:
        copy = Path(folder)
        for name in COPIED:
            original = REPOSITORY / name
            if original.is_dir():
                shutil.copytree(original, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(original, copy / name)
        yield copy


def tried(mutant: Mutant, copy: Path) -> Trial:
    """Plant a mutant in a copy, run its tests and restore the copy."""
    began = time.monotonic()
    path = copy / mutant.file
    planted = mutant.planted_in(path.read_text(encoding="utf-8"))
    if planted is None:
        return Trial(mutant, "drifted", 0.0, f"{mutant.file} does not hold its piece exactly once")
    path.write_text(planted, encoding="utf-8")
    try:
        green = not_red(mutant, endings(copy, mutant.red))
    except NothingRan as error:
        green = [str(error)]
    finally:
        shutil.copy2(REPOSITORY / mutant.file, path)
    seconds = time.monotonic() - began
    return Trial(mutant, "survived" if green else "killed", seconds, "; ".join(green))


def endings(copy: Path, tests: Sequence[str]) -> list[Ending]:
    """Run tests on a copy and return how each of their phases ended.

    Raises NothingRan where no test began or the run never ended, AssertionError when other code
    than the copy's was run.
    """
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    pytest += ["--timeout", str(TEST_SECONDS_MAX), "-p", "tests.mutants.witness"]
    with tempfile.TemporaryDirectory(prefix="settled-witness-") as folder:
        report = Path(folder) / "report.json"
        try:
            run = subprocess.run(
                [*pytest, "--witness", str(report), *tests],
                cwd=copy,
                env=os.environ | {"PYTHONPATH": str(copy)},
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NothingRan(f"no end within {RUN_SECONDS_MAX:.0f} s") from error
        seen = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    if not seen.get("endings"):
        raise NothingRan(f"{run.stdout[-600:]}{run.stderr[-600:]}")
    strange = [path for path in seen["imported"] if not Path(path).is_relative_to(copy)]
    assert not strange, f"not the copy was run but {strange}"
    return [Ending(**ending) for ending in seen["endings"]]


def not_red(mutant: Mutant, seen: Sequence[Ending]) -> list[str]:
    """Return the tests of a mutant that did not turn red as they must, each with what it did.

    Of a test with several cases one has to; none may end by anything but its own judgement.
    """
    by_test = _by_test(seen)
    return [
        f"{name} {_what_it_did(by_test[name])}"
        for name in mutant.red
        if not any(one.is_red(mutant.fails_by) for one in by_test[name])
        or any(one.is_bad and not one.is_red(mutant.fails_by) for one in by_test[name])
    ]


def not_green(tests: Sequence[str], seen: Sequence[Ending]) -> list[str]:
    """Return the tests that do not pass as they are, each with what it did."""
    by_test = _by_test(seen)
    return [
        f"{name} {_what_it_did(by_test[name])}"
        for name in tests
        if any(one.is_bad for one in by_test[name])
        or not any(one.when == "call" and one.outcome == "passed" for one in by_test[name])
    ]


def _by_test(seen: Sequence[Ending]) -> dict[str, list[Ending]]:
    by_test: dict[str, list[Ending]] = defaultdict(list)
    for ending in seen:
        by_test[ending.test].append(ending)
    return by_test


def _what_it_did(seen: Sequence[Ending]) -> str:
    bad = [one for one in seen if one.is_bad]
    if not bad:
        return "passed" if seen else "did not run"
    return f"ended by {bad[0].says.splitlines()[0][:200]} in {bad[0].where or bad[0].when}"
