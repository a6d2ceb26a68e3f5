"""The processes of a product that is spread out: each a `settled` verb of its own, killable."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import httpx
import psycopg

from service import embedded
from service.cli.demo_accounts import DemoAccount, make_accounts
from service.cli.demo_plan import Plan
from service.cli.demo_processes import FOLDER_MODE, Keys, configuration_of
from service.errors import Unavailable
from tests.bench.processes import free_port

SETTLED = (sys.executable, "-m", "service.cli.main")
START_SECONDS_MAX = 90.0
LOOK_SECONDS = 0.1

# A little more than the supervisor gives its workers. Source: service/supervise.py.
STOP_STEPS = ((signal.SIGTERM, 30.0),)

# How many processes of each verb.
KINDS: Mapping[str, int] = {"web": 2, "worker": 3, "beat": 2}


@dataclass
class Fleet:
    """Receivers, workers and beats; which of them run is in our hands."""

    folder: Path
    keys: Keys
    accounts: Sequence[DemoAccount]
    sandbox_url: str
    front_port: int
    receivers: Sequence[str]
    postgres: str
    redis: str
    plan: Plan
    kinds: Mapping[str, int] = field(default_factory=lambda: KINDS)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def product_url(self) -> str:
        return f"http://127.0.0.1:{self.front_port}"

    @property
    def config(self) -> Path:
        return self.folder / "settled.toml"

    @property
    def names(self) -> list[str]:
        """The names of all processes of the product."""
        kinds = self.kinds.items()
        return [f"{verb}-{number}" for verb, count in kinds for number in range(count)]

    @property
    def erp(self) -> str:
        """The HOST:PORT at which the product finds the ERP."""
        return self.sandbox_url.removeprefix("http://")

    def config_of(self, verb: str) -> Path:
        """The configuration that the processes of a verb are started with."""
        return self.config

    def environment_of(self, name: str) -> Mapping[str, str] | None:
        """The environment of a process; None is ours."""
        return None

    def configure(self, database: str) -> str:
        """Have everything that starts from now on use a database; return its URL."""
        url = urlsplit(self.postgres)._replace(path=f"/{database}").geturl()
        self.config.write_text(self.text_for(url, self.redis))
        return url

    def text_for(self, postgres: str, redis: str) -> str:
        """Return the text of a configuration that finds the servers at these URLs."""
        text = configuration_of(
            self.plan,
            self.keys,
            self.accounts,
            sandbox=self.erp,
            product=f"127.0.0.1:{self.front_port}",
        )
        return f'{text}\n[database]\nurl = "{postgres}"\n[redis]\nurl = "{redis}"\n'

    def make_database(self, name: str) -> None:
        """Make an empty database."""
        with psycopg.connect(self.postgres, autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())

    def settled(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command line to its end; what it says of itself goes to a log."""
        with (self.folder / "commands.log").open("a") as log:
            return subprocess.run(
                [*SETTLED, *arguments, "--config", str(self.config)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=False,
            )

    def start(self, name: str) -> None:
        """Start one process of the product, which need not be ready when this returns."""
        verb, _, number = name.partition("-")
        more: tuple[str, ...] = ()
        if verb == "web":
            more = ("--listen", self.receivers[int(number)].removeprefix("http://"))
        elif verb == "worker":
            more = ("--processes", "1")
        self.launch(name, verb, "--config", str(self.config_of(verb)), *more)

    def launch(self, name: str, *arguments: str) -> None:
        """Start any verb under a name; its output goes to a log of that name."""
        with (self.folder / f"{name}.log").open("ab") as output:
            self.running[name] = embedded.launch(
                [*SETTLED, *arguments],
                environment=self.environment_of(name),
                death_signal=signal.SIGTERM,
                output=output,
            )

    def kill(self, name: str) -> None:
        """End a process and all below it as a machine that loses its power does."""
        process = self.running.pop(name)
        for pid in (process.pid, *below(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def stop(self, name: str) -> int:
        """Ask a process to end; return its exit code."""
        return embedded.stop(self.running.pop(name), STOP_STEPS)

    def stop_product(self) -> None:
        """End the product in the order that loses the least time: new work first."""
        for name in self.names:
            self.stop(name)

    def close(self) -> None:
        """Leave nothing behind."""
        for name in list(self.running):
            self.kill(name)

    def check(self) -> None:
        """Raise Unavailable, with the end of its log, if a process ended that nobody killed."""
        for name, process in self.running.items():
            if process.poll() is not None:
                said = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
                raise Unavailable(
                    "\n".join([f"{name} ended with {process.returncode}", *said[-15:]])
                )

    async def until_answered(self, *urls: str) -> None:
        """Return once all of them answer 200. Raises Unavailable if that takes too long."""
        ends_at = time.monotonic() + START_SECONDS_MAX
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            for url in urls:
                while not await _answers(client, url):
                    self.check()
                    if time.monotonic() > ends_at:
                        raise Unavailable(f"{url} is not ready after {START_SECONDS_MAX:g} s")
                    await asyncio.sleep(LOOK_SECONDS)

    def restarts(self) -> int:
        """Return how often a supervisor found its child dead without anybody having killed it."""
        logs = (path.read_text(errors="replace") for path in self.folder.glob("*-[0-9].log"))
        return sum(len(re.findall(r"process\.exited|worker\.stuck", log)) for log in logs)


@contextmanager
def prepared(plan: Plan) -> Iterator[Fleet]:
    """Run PostgreSQL, Redis and the sandbox while the block lasts; the product is not started."""
    with TemporaryDirectory(prefix="settled-scale-") as name, ExitStack() as cleanup:
        folder = Path(name)
        folder.chmod(FOLDER_MODE)  # the servers run as another user
        urls = cleanup.enter_context(embedded.running(folder / "data"))
        sandbox = f"http://127.0.0.1:{free_port()}"
        fleet = Fleet(
            folder=folder,
            keys=Keys(),
            accounts=make_accounts(folder, sandbox),
            sandbox_url=sandbox,
            front_port=free_port(),
            receivers=[f"http://127.0.0.1:{free_port()}" for _ in range(KINDS["web"])],
            postgres=urls.postgres,
            redis=urls.redis,
            plan=plan,
        )
        cleanup.callback(fleet.close)
        fleet.launch("sandbox", "sandbox", "--listen", sandbox.removeprefix("http://"))
        yield fleet


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def below(pid: int) -> list[int]:
    """Return all descendants of a process. See proc(5), /proc/pid/task/tid/children."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:  # It has ended.
        return []
    return [each for child in map(int, children) for each in (child, *below(child))]
