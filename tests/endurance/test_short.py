"""A short run of the real thing; `python -m tests.endurance` strikes with all of it, for hours."""

import re
import subprocess
import sys

import pytest

from tests.test_embedded import REPOSITORY

# It takes a tenth of this on a machine that is free.
SECONDS_MAX = 220


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_a_short_run_loses_nothing_whoever_is_killed() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.endurance", "--short", "--rate", "4"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    last = run.stdout.splitlines()[-1]
    assert "unstored=0 state_mismatch=0 untold=0 told_twice=0" in last
    counts = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", last)}
    assert counts["webhooks"] >= counts["answered_2xx"] >= 50
