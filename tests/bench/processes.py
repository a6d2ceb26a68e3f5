"""The processes of a benchmark: starting, waiting, stopping, and what they cost in CPU time."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
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
    found = _all_processes()
    return sum(found[pid].ticks for pid in _below(roots, found)) / TICKS_PER_SECOND


def exact_cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of single-threaded processes that run, to the nanosecond.

    The times in /proc/{pid}/stat are in ticks of 10 ms. Source: the kernel's sched-stats.rst.
    """
    stats = [(Path("/proc") / str(pid) / "schedstat").read_text() for pid in pids]
    return sum(int(stat.split()[0]) for stat in stats) / 1e9


def family(root: int) -> list[int]:
    """Return a process and all below it; none when it has ended."""
    return _below([root], _all_processes())


@dataclass(frozen=True)
class Holding:
    """What a process holds: bytes of memory, shared pages by share (PSS) or whole, and files."""

    proportional_bytes: int
    resident_bytes: int
    open_files: int


def holding(pid: int) -> Holding:
    """Return what a process holds now. Raises NotReady when it has ended. See proc(5)."""
    folder = Path("/proc") / str(pid)
    try:
        lines = (folder / "smaps_rollup").read_text().splitlines()[1:]
        open_files = len(list((folder / "fd").iterdir()))
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NotReady(f"process {pid} has ended") from error
    kilobytes = {name.rstrip(":"): int(value) for name, value, *_ in map(str.split, lines)}
    return Holding(kilobytes["Pss"] * 1024, kilobytes["Rss"] * 1024, open_files)


@dataclass(frozen=True)
class _Process:
    parent: int
    ticks: int


def _all_processes() -> dict[int, _Process]:
    folders = (folder for folder in Path("/proc").iterdir() if folder.name.isdigit())
    return {int(folder.name): found for folder in folders if (found := _stat(folder))}


def _below(roots: Iterable[int], found: Mapping[int, _Process]) -> list[int]:
    """Return those of roots that are found, and all below them."""
    children: dict[int, list[int]] = {}
    for pid, process in found.items():
        children.setdefault(process.parent, []).append(pid)
    below: list[int] = []
    waiting = [pid for pid in roots if pid in found]
    while waiting:
        below.append(waiting.pop())
        waiting += children.get(below[-1], [])
    return below


def _stat(folder: Path) -> _Process | None:
    """Return a process's parent and its CPU ticks with those of ended children. See proc(5)."""
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return _Process(int(fields[1]), sum(map(int, fields[11:15])))
