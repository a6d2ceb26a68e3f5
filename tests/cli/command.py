"""Runs `settled` as a person would: in a process of its own."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

TIMEOUT_SECONDS = 60


def settled(
    *arguments: str | Path, folder: Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command line in folder and return its exit code, stdout and stderr.

    environ adds to the environment of the tests.
    """
    words = [*map(str, arguments)]
    around = {"folder": str(folder), "environ": {**os.environ, **(environ or {})}}
    with TemporaryDirectory(prefix="settled-command-") as name:
        streams = {stream: str(Path(name) / stream) for stream in ("stdout", "stderr")}
        for path in streams.values():
            Path(path).touch()
        code = _exit_code_of({"arguments": words, **around, **streams})
        said = {stream: Path(path).read_text() for stream, path in streams.items()}
    return subprocess.CompletedProcess(["settled", *words], code, **said)


def _exit_code_of(command: dict[str, object]) -> int:
    """Have a command run. Raises TimeoutError, when it has been killed."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        connection.connect(str(address()))
        with connection.makefile("rw") as lines:
            print(json.dumps(command), file=lines, flush=True)
            process = int(lines.readline())
            try:
                return int(lines.readline())
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                raise


@cache
def address() -> Path:
    """Start the process that commands are forked from, once, and return where it listens."""
    folder = TemporaryDirectory(prefix="settled-forks-")
    path = Path(folder.name) / "socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.forks", str(path)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )

    def end() -> None:
        process.kill()
        process.wait()
        folder.cleanup()

    atexit.register(end)
    assert process.stdout is not None, "it was asked for"
    assert process.stdout.readline() == b"ready\n"
    return path
