"""The processes of a benchmark: starting, waiting, stopping, and what they cost in CPU time."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from service import embedded

READY_SECONDS_MAX = 60.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class NotReady(Exception):
    """Something did not come about in time; the log of the processes says why."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(
    module: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m module` for as long as the block lasts."""
    with log.open("ab") as output:
        process = embedded.launch(
            [sys.executable, "-m", module, *arguments],
            environment=dict(os.environ) | dict(environment or {}),
            death_signal=signal.SIGKILL,
            output=output,
        )
        try:
            yield process
        finally:
            embedded.stop(process, ((signal.SIGTERM, 10.0),))


def until(is_so: Callable[[], bool], what: str, *, seconds: float = READY_SECONDS_MAX) -> None:
    """Return once is_so is true. Raises NotReady after so many seconds."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > ends_at:
            raise NotReady(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def all_of(
    processes: Iterable[AbstractContextManager[subprocess.Popen[bytes]]],
) -> Iterator[list[int]]:
    """Run several `started` side by side; gives their process ids."""
    with ExitStack() as stack:
        yield [stack.enter_context(process).pid for process in processes]


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return the CPU time of processes and all below them, those that ended included."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (facts := _stat(folder)):
            parent, ticks[int(folder.name)] = facts
            children.setdefault(parent, []).append(int(folder.name))
    total, waiting = 0, list(roots)
    while waiting:
        pid = waiting.pop()
        total += ticks.get(pid, 0)
        waiting += children.get(pid, [])
    return total / TICKS_PER_SECOND


def _stat(folder: Path) -> tuple[int, int] | None:
    """Return a process's parent and its CPU ticks with those of ended children. See proc(5)."""
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[1]), sum(map(int, fields[11:15]))
