"""PostgreSQL and Redis for one machine: binaries from two wheels, run as our own children.

Of the wheels only the binaries are used: their Python starters open directories to everyone and
create system users. Nothing listens on the network; both servers answer on sockets in one private
directory, which {data_dir}/sockets points to, so that URLs survive restarts. Started by root the
servers run as `nobody`; the parents of their directories are checked and never changed.

A death signal ends each server when whoever started it is killed. The kernel ties that signal to
the thread that started the child: start servers from a thread that lives as long as they must.

    {data_dir}/postgres, redis          their data           {data_dir}/sockets        a link
    {data_dir}/postgres.log, redis.log  what they say        {data_dir}/servers.json   role -> URL
"""

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

from service.embedded.child import ServerUser, launch, stop
from service.embedded.places import SOCKETS_PARENT, SOCKETS_PREFIX, make_data_dir
from service.embedded.postgres import Postgres
from service.embedded.redis import Redis
from service.embedded.server import START_SECONDS_MAX, Server
from service.errors import Misconfigured, Unavailable

__all__ = [
    "Postgres",
    "Redis",
    "Server",
    "ServerUser",
    "Urls",
    "forget",
    "launch",
    "locked",
    "remember",
    "replace_file",
    "running",
    "start",
    "stop",
    "urls",
]

log = structlog.get_logger()


@dataclass(frozen=True)
class Urls:
    """Where the embedded servers answer."""

    postgres: str
    redis: str


@contextmanager
def running(data_dir: Path) -> Iterator[Urls]:
    """Run both servers for as long as the block lasts; nothing restarts them.

    Raises Misconfigured if data_dir is in use or cannot be used, Unavailable if one does not start.
    """
    servers = (Postgres(data_dir), Redis(data_dir))
    with locked(data_dir), ExitStack() as cleanup:
        cleanup.callback(forget, data_dir)
        for server in servers:
            cleanup.callback(server.stop, start(server))
        remember(data_dir, servers)
        yield Urls(postgres=servers[0].url, redis=servers[1].url)


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold data_dir, made 0711 if missing. Raises Misconfigured if another process holds it."""
    make_data_dir(data_dir)
    with _open_lock(data_dir / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise Misconfigured(
                f"{data_dir} is in use by process {file.read().strip()}: another `settled up` runs"
                " on this data directory; stop it or choose another data_dir"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _open_lock(path: Path) -> IO[str]:
    try:
        return path.open("a+")
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be written: {error.strerror}; choose another data_dir"
        ) from error


def start(
    server: "Server",
    *,
    timeout_seconds: float = START_SECONDS_MAX,
    pause: Callable[[float], None] = time.sleep,
) -> subprocess.Popen[bytes]:
    """Prepare, spawn and wait until it answers. Raises Unavailable after two failures.

    The second attempt is for Redis, whose unreadable data the first failure sets aside. What
    `pause` raises ends the start and leaves no child.
    """
    try:
        return _start_once(server, timeout_seconds, pause)
    except Unavailable as error:
        log.warning("server.not_started", role=server.role, error=error.detail)
        return _start_once(server, timeout_seconds, pause)


def _start_once(
    server: "Server", timeout_seconds: float, pause: Callable[[float], None]
) -> subprocess.Popen[bytes]:
    server.prepare()
    process = server.spawn()
    try:
        server.wait_until_ready(process, timeout_seconds, pause=pause)
    except BaseException:
        server.stop(process)
        raise
    return process


def remember(data_dir: Path, servers: Sequence[Server]) -> None:
    """Write where the servers answer, for the processes that did not start them."""
    found = {server.role: server.url for server in servers}
    replace_file(data_dir / "servers.json", json.dumps(found))


def urls(data_dir: Path) -> dict[str, str]:
    """Return role -> URL of the servers that another process runs. Raises Unavailable if none."""
    try:
        found: dict[str, str] = json.loads((data_dir / "servers.json").read_text())
    except FileNotFoundError as error:
        raise Unavailable(
            f"no embedded servers in {data_dir}: is `settled up` running on this data directory?"
        ) from error
    return found


def forget(data_dir: Path) -> None:
    """Remove servers.json and the directory of sockets; the servers are stopped."""
    (data_dir / "servers.json").unlink(missing_ok=True)
    link = data_dir / "sockets"
    if link.is_symlink():
        sockets = link.readlink()
        if sockets.parent == SOCKETS_PARENT and sockets.name.startswith(SOCKETS_PREFIX):
            shutil.rmtree(sockets, ignore_errors=True)
        link.unlink()


def replace_file(path: Path, text: str) -> None:
    """Write a whole file so that readers see the old text or the new, never a part."""
    written = path.with_name(f"{path.name}.new")
    written.write_text(text)
    written.replace(path)
