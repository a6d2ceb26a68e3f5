"""PostgreSQL and Redis as our own children: killed, stopped, starved of disk, started again."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis

from service.embedded import Postgres, Redis, Server
from tests.scale.fleet import START_SECONDS_MAX, below

LOOK_SECONDS = 0.05
IMAGE_BYTES = 3 * 1024**3


@dataclass
class Servers:
    """Both servers. deaths counts those that nobody asked for; they are started again as well."""

    folder: Path
    deaths: int = 0
    _servers: dict[str, Server] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _wanted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._servers = {"postgres": Postgres(self.folder), "redis": Redis(self.folder)}

    @property
    def postgres(self) -> str:
        """The URL of PostgreSQL, past all links."""
        return self._servers["postgres"].url

    @property
    def redis(self) -> str:
        return self._servers["redis"].url

    @property
    def sockets(self) -> Path:
        """The folder of both servers' sockets."""
        return (self.folder / "sockets").resolve()

    def start(self) -> None:
        """Start both and wait for them."""
        for name, server in self._servers.items():
            self._begin(name)
            server.wait_until_ready(self._running[name], START_SECONDS_MAX)

    def close(self) -> None:
        """End both."""
        self._wanted.clear()
        for name, process in self._running.items():
            self._servers[name].stop(process)

    async def keep(self) -> None:
        """Start again whichever died without having been killed, until cancelled."""
        while True:
            for name in list(self._wanted):
                if self._running[name].poll() is not None:
                    self.deaths += 1
                    self._begin(name)
            await asyncio.sleep(LOOK_SECONDS * 10)

    async def kill(self, name: str, *, away_seconds: float) -> None:
        """Kill a server with all its processes at once; start it again after a while.

        The parent is stopped first, so that it does nothing about the death of its children.
        """
        self._wanted.discard(name)
        process = self._running[name]
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGSTOP)
            for pid in (*below(process.pid), process.pid):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        await self._start_after(name, away_seconds)

    async def stop_at_once(self, *, away_seconds: float) -> None:
        """Have PostgreSQL stop immediately: it recovers at the next start as after a crash."""
        self._wanted.discard("postgres")
        process = self._running["postgres"]
        process.send_signal(signal.SIGQUIT)
        await asyncio.to_thread(process.wait)
        await self._start_after("postgres", away_seconds)

    def flush(self) -> None:
        """Have Redis forget everything."""
        with redis.Redis.from_url(self.redis) as connection:
            connection.flushall()

    async def until_up(self) -> None:
        """Return once PostgreSQL answers, however long its recovery takes."""
        ends_at = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(self.postgres)
            except psycopg.OperationalError:
                if time.monotonic() > ends_at:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return await connection.close()

    async def _start_after(self, name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._begin(name)
        await self.until_up()

    def _begin(self, name: str) -> None:
        self._servers[name].prepare()
        self._running[name] = self._servers[name].spawn()
        self._wanted.add(name)


class Disk:
    """A small file system under the servers' data, which can be full."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave not one block free."""
        with self._ballast.open("ab") as file:
            piece = IMAGE_BYTES
            while piece >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, piece)
                except OSError:
                    piece //= 2

    def free(self) -> None:
        """Give the blocks back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(image: Path, folder: Path) -> Iterator[Disk | None]:
    """Mount a small file system at a folder while the block lasts; None where that cannot be."""
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    folder.mkdir()
    if not _runs("mkfs.ext4", "-q", "-m", "0", str(image)) or not _runs(
        "mount", "-o", "loop", str(image), str(folder)
    ):
        yield None
        return
    folder.chmod(0o711)
    try:
        yield Disk(folder)
    finally:
        _runs("umount", "--lazy", str(folder))


def _runs(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
