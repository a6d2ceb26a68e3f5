"""Keeps the processes of one machine alive: starts them, restarts what dies, stops them in order.

One thread and one loop, woken by signals through a pipe. Order of a start: PostgreSQL, Redis,
what the caller does before children (migrations), beat, workers, web. A part that dies comes back
for ever; only a first start that fails is an error. Children that a kill -9 of this process leaves
behind get a death signal from the kernel.
"""

import json
import math
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from service import embedded
from service.errors import SettledError

Role = Literal["web", "worker", "beat", "postgres", "redis"]

log = structlog.get_logger()

TICK_SECONDS = 0.25  # how long the loop sleeps when no signal wakes it
STUCK_SECONDS = 5.0  # between two questions about stuck workers
STEADY_SECONDS = 10.0  # a process that lived longer is restarted at once
BACKOFF_SECONDS_MAX = 5.0
HURRY_SECONDS = 5.0  # what is left to the children after a second SIGTERM or SIGINT

# Nothing new comes in first; then workers finish what is in hand. Their 25 s exceed the 20 s of
# Celery's soft shutdown. Source: RELIABILITY.md, section 3.1.
STOP_SECONDS: dict[Role, float] = {"web": 10.0, "beat": 5.0, "worker": 25.0}

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

STDERR = 2  # the children's stdout too: ours carries only the `ready` line


@dataclass(frozen=True)
class Part:
    """One process to keep alive: a command, or an embedded server. environment None is ours."""

    role: Role
    command: Sequence[str] | embedded.Server
    environment: Mapping[str, str] | None = None


class Supervisor:
    """Runs parts until SIGTERM or SIGINT. The caller holds embedded.locked(data_dir).

    data_dir None is for parts that stand alone on a machine: then nothing is written down.

    before_children  called once, when the embedded servers answer and before anything else starts
    ready            asked until true, then `ready {url}` goes to stdout once
    stuck            asked every 5 s for pids that live but make no progress; they are restarted

    All three are called from the loop: they must answer soon, whatever happens.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        data_dir: Path | None,
        url: str = "",
        before_children: Callable[[], None] = lambda: None,
        ready: Callable[[], bool] = lambda: True,
        stuck: Callable[[], Iterable[int]] = lambda: (),
    ) -> None:
        self._children = [_Child(part) for part in parts]
        self._data_dir = data_dir
        self._url = url
        self._before_children = before_children
        self._ready = ready
        self._stuck = stuck
        self._announced = False
        self._ask_stuck_at = 0.0

    def run(self) -> int:
        """Keep the parts alive until told to stop; return 0. Call from the main thread.

        Raises Misconfigured or Unavailable if an embedded server does not start, and whatever
        before_children raises. No child is left behind either way.
        """
        with _listening() as signals:
            try:
                self._start(signals)
                while True:
                    self._tend()
                    signals.pause(TICK_SECONDS)
            except _ToldToStop:
                return 0
            finally:
                self._stop(signals)

    def _start(self, signals: "_Signals") -> None:
        self._record()
        for child in self._of("postgres", "redis"):
            child.start(signals.pause)
            self._record()
        commands = [child.command for child in self._children]
        servers = [command for command in commands if isinstance(command, embedded.Server)]
        if servers and self._data_dir:
            embedded.remember(self._data_dir, servers)
        self._before_children()
        for child in self._of("beat", "worker", "web"):
            signals.pause(0)
            child.start(signals.pause)
            self._record()

    def _tend(self) -> None:
        for child in self._children:
            if child.process and not child.is_alive():
                child.bury()
                self._record()
            if child.is_due():
                child.restart()
                self._record()
        self._kill_stuck()
        self._announce()

    def _kill_stuck(self) -> None:
        """Kill what is alive but not working; it comes back as if it had died by itself."""
        if time.monotonic() < self._ask_stuck_at:
            return
        self._ask_stuck_at = time.monotonic() + STUCK_SECONDS
        pids = set(self._stuck())
        for child in self._of("worker"):
            if child.process and child.process.pid in pids:
                log.warning("worker.stuck", part=child.role, pid=child.process.pid)
                child.process.kill()

    def _announce(self) -> None:
        if self._url and not self._announced and self._ready():
            self._announced = True
            print(f"ready {self._url}", flush=True)  # noqa: T201 - the line our stdout is for

    def _stop(self, signals: "_Signals") -> None:
        for role, seconds in STOP_SECONDS.items():
            self._stop_role(role, seconds, signals)
        for child in self._of("redis", "postgres"):
            child.end()
            self._record()
        if self._data_dir:
            embedded.forget(self._data_dir)
            (self._data_dir / "processes.json").unlink(missing_ok=True)

    def _stop_role(self, role: Role, seconds: float, signals: "_Signals") -> None:
        """Ask a role to end and wait; kill what is late. In a hurry later roles are asked too."""
        until = time.monotonic() + seconds
        while left := [child for child in self._of(role) if child.process]:
            for child in self._of(*STOP_SECONDS) if signals.hurry_until else left:
                child.ask()
            signals.wait(TICK_SECONDS)
            late = time.monotonic() > min(until, signals.hurry_until or until)
            for child in left:
                if late or not child.is_alive():
                    child.end()
                    self._record()

    def _of(self, *roles: Role) -> list["_Child"]:
        return [child for role in roles for child in self._children if child.role == role]

    def _record(self) -> None:
        """Write who is alive, for operators and for tests from outside."""
        if self._data_dir is None:
            return
        alive = [
            {"role": child.role, "pid": child.process.pid}
            for child in self._children
            if child.process
        ]
        embedded.replace_file(self._data_dir / "processes.json", json.dumps(alive))


class _Child:
    """One part and its process, None while it is down."""

    def __init__(self, part: Part) -> None:
        self.role = part.role
        self.command = part.command
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = part.environment
        self._asked = False
        self._started_at = 0.0
        self._backoff_seconds = 0.0
        self._restart_at = math.inf

    def start(self, pause: Callable[[float], None]) -> None:
        """Start it; a server is also waited for. Raises Misconfigured or Unavailable."""
        if isinstance(self.command, embedded.Server):
            self._started(embedded.start(self.command, pause=pause))
        else:
            self._started(self._launch(self.command))

    def restart(self) -> None:
        """Start it again without waiting, or back off: whatever is wrong now may pass."""
        try:
            if isinstance(self.command, embedded.Server):
                self.command.prepare()
                self._started(self.command.spawn())
            else:
                self._started(self._launch(self.command))
        except (OSError, subprocess.SubprocessError, SettledError) as error:
            log.warning("process.not_started", role=self.role, error=str(error))
            self._back_off()

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_due(self) -> bool:
        return self.process is None and time.monotonic() >= self._restart_at

    def bury(self) -> None:
        """Note a death nobody asked for and plan the restart."""
        if self.process is None:
            return
        exit_code = embedded.stop(self.process, ())
        log.warning("process.exited", role=self.role, pid=self.process.pid, exit_code=exit_code)
        self.process = None
        if time.monotonic() - self._started_at > STEADY_SECONDS:
            self._backoff_seconds = 0.0
            self._restart_at = 0.0
        else:
            self._back_off()

    def ask(self) -> None:
        """Ask it to finish what is in hand and end; once, for a second SIGTERM hurries some."""
        if self.process is not None and not self._asked:
            self._asked = True
            self.process.terminate()

    def end(self) -> None:
        """End it now: a server by its own shutdown, anything else with its whole group."""
        if self.process is None:
            return
        if isinstance(self.command, embedded.Server):
            exit_code = self.command.stop(self.process)
        else:
            exit_code = embedded.stop(self.process, ())
        log.info("process.stopped", role=self.role, pid=self.process.pid, exit_code=exit_code)
        self.process = None

    def _launch(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        return embedded.launch(
            command,
            environment=self._environment,
            death_signal=signal.SIGTERM,
            output=STDERR,
        )

    def _started(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._started_at = time.monotonic()
        log.info("process.started", role=self.role, pid=process.pid)

    def _back_off(self) -> None:
        self._backoff_seconds = min(max(1.0, 2 * self._backoff_seconds), BACKOFF_SECONDS_MAX)
        self._restart_at = time.monotonic() + self._backoff_seconds


class _ToldToStop(Exception):
    """SIGTERM or SIGINT came."""


class _Signals:
    """What came through the pipe so far."""

    def __init__(self, reader: socket.socket) -> None:
        self._reader = reader
        self._stops = 0
        self.hurry_until: float | None = None

    def pause(self, seconds: float) -> None:
        """Sleep until a signal comes or the time is over. Raises _ToldToStop."""
        self.wait(seconds)
        if self._stops:
            raise _ToldToStop

    def wait(self, seconds: float) -> None:
        """Sleep until a signal comes or the time is over."""
        if not select.select([self._reader], [], [], seconds)[0]:
            return
        self._stops += sum(number in STOP_SIGNALS for number in self._reader.recv(4096))
        if self._stops > 1 and self.hurry_until is None:
            self.hurry_until = time.monotonic() + HURRY_SECONDS


@contextmanager
def _listening() -> Iterator[_Signals]:
    """Have SIGTERM, SIGINT and SIGCHLD written to a pipe, one byte each, while the block lasts."""
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        handlers = {
            number: signal.signal(number, lambda *_: None)
            for number in (*STOP_SIGNALS, signal.SIGCHLD)
        }
        pipe = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield _Signals(reader)
        finally:
            signal.set_wakeup_fd(pipe)
            for number, handler in handlers.items():
                signal.signal(number, handler)
