"""Processes that start while what they need is away, seen through their logs and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_embedded import REPOSITORY

START_SECONDS_MAX = 60
NOBODY_THERE = 'database.url = "postgresql://127.0.0.1:1/x"\nredis.url = "redis://127.0.0.1:1/0"\n'


@pytest.mark.parametrize(
    ("module", "servers", "reason"),
    [
        ("workers.app", NOBODY_THERE, "postgresql: PoolTimeout"),
        ("workers.beat", NOBODY_THERE, "postgresql: PoolTimeout"),
        ("workers.app", "", "settled up"),
    ],
    ids=["worker", "beat", "worker_without_embedded_servers"],
)
def test_a_process_that_starts_too_early_says_why_and_leaves_the_next_try_to_its_supervisor(
    module: str, servers: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "settled.toml"
    path.write_text(
        f'settled.data_dir = {json.dumps(str(tmp_path))}\nsettled.log = "json"\n{servers}'
    )

    ended = subprocess.run(
        [sys.executable, "-m", module, str(path)],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=START_SECONDS_MAX,
        check=False,
    )

    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    (postponed,) = [line for line in lines if line["event"].endswith(".postponed")]
    assert ended.returncode == 1
    assert postponed["level"] == "warning"
    assert reason in postponed["reason"]
    assert not [line for line in lines if line["level"] == "error" or "exception" in line]
