"""A server that we run: prepared, started, asked, stopped; what a crash left is cleared."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Literal

from service.embedded.child import ServerUser, launch, stop
from service.embedded.places import (
    check_owner,
    make_data_dir,
    make_private,
    make_sockets,
    server_user,
)
from service.errors import Unavailable

START_SECONDS_MAX = 120.0  # recovery replays at most about 1 GB (PostgreSQL's max_wal_size)


class Server(ABC):
    """A server that we run as our own child. Whoever calls holds locked(data_dir)."""

    role: ClassVar[Literal["postgres", "redis"]]
    program: ClassVar[str]
    farewell: ClassVar[tuple[tuple[signal.Signals, float], ...]]  # signals, seconds for each

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._directory = self._data_dir / self.role
        self._executable = self._find()
        self._user: ServerUser | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it answers; known once it is prepared."""

    def prepare(self) -> None:
        """Make what the server needs and clear what a crash left behind, in bounded time.

        Raises Misconfigured if the data directory cannot be used, Unavailable if it cannot be
        filled.
        """
        make_data_dir(self._data_dir)
        self._end_left_overs()
        self._user = server_user(self._executable, self._data_dir)
        make_sockets(self._data_dir / "sockets", self._user)
        self._make_directory()
        check_owner(self._directory, self._user)
        self._remove_stale_files()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server in its own session; it does not outlive the calling thread."""
        return self._launch(self._command())

    def wait_until_ready(
        self,
        process: subprocess.Popen[bytes],
        timeout_seconds: float,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Return once the server answers. Raises Unavailable, with the log's tail."""
        deadline = time.monotonic() + timeout_seconds
        while not self._answers():
            if process.poll() is not None:
                raise Unavailable(f"{self.role} ended with {process.returncode}:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{self.role} did not answer in {timeout_seconds:g} s:\n{self._tail()}"
                )
            pause(0.02)

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """End the server, politely at first, in bounded time; return its exit code."""
        exit_code = stop(process, self.farewell)
        self._end_left_overs()
        return exit_code

    @abstractmethod
    def _find(self) -> Path: ...

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    @abstractmethod
    def _remove_stale_files(self) -> None: ...

    def _make_directory(self) -> None:
        if not self._directory.exists():
            make_private(self._directory, self._user)

    def _to_ask(self, left_over: list[int]) -> list[int]:
        """Return those that a polite signal is meant for."""
        return left_over

    def _end_left_overs(self) -> None:
        """End what still runs in our directory after its parent was killed."""
        for number, seconds in (*self.farewell, (signal.SIGKILL, 5.0)):
            left_over = processes_in(self._directory, self.program)
            asked = left_over if number == signal.SIGKILL else self._to_ask(left_over)
            for pid in asked:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while asked and time.monotonic() < deadline:
                asked = processes_in(self._directory, self.program)
                time.sleep(0.02)

    def _launch(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "ab") as output:
            return launch(
                command,
                environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                death_signal=self.farewell[0][0],
                output=output,
                directory=self._data_dir,
                user=self._user,
            )

    @property
    def _log(self) -> Path:
        return self._data_dir / f"{self.role}.log"

    @property
    def _sockets(self) -> Path:
        return (self._data_dir / "sockets").readlink()

    def _tail(self) -> str:
        """Return the last lines that the server wrote."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-10:])


def processes_in(directory: Path, program: str) -> list[int]:
    """Return the processes that run program with directory as their working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It ended meanwhile, or is not ours to look at.
            here = (process / "comm").read_text().strip() == program
            if here and (process / "cwd").samefile(directory):
                found.append(int(process.name))
    return found
