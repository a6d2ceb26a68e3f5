"""Runs `settled` as a person would: in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def settled(
    *arguments: str | Path, folder: Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command line in folder and return its exit code, stdout and stderr."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli.main", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **(environ or {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
