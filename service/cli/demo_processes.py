"""The processes of a demo: the sandbox and the product, in a folder of their own.

Both are started as anybody would start them: `settled sandbox` and `settled up`. They are gone when
the block ends, however it ends; when this process is killed, the kernel tells them.
"""

import asyncio
import base64
import json
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from service import embedded
from service.cli.configuration import write_owner_only
from service.cli.demo_accounts import DemoAccount, make_accounts
from service.cli.demo_plan import Plan
from service.errors import Unavailable

START_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.05

# The product ends its workers within 25 s; the second signal hurries it.
STOP_STEPS = ((signal.SIGTERM, 30.0), (signal.SIGTERM, 10.0))

TAIL_LINES = 15

READY = re.compile(r"^ready http://", flags=re.MULTILINE)

# Embedded servers run as another user when root starts them: they may pass, not look around.
FOLDER_MODE = 0o711

# The endpoint is as wide as this machine.
CONFIGURATION = """\
# Written by `settled demo`.
[settled]
listen = "{product}"
data_dir = "data"
api_keys = [{{ name = "demo", key = "{keys.api_key}", role = "operator" }}]

[polling]
open = "{poll_ms}ms"
processing = "{poll_ms}ms"
paid = "{poll_ms}ms"
sweep = "{poll_ms}ms"
sweep_lookback = "1h"

[reconcile]
at = "never"

{accounts}

[[endpoint]]
name = "erp"
url = "http://{sandbox}/erp/hooks"
secrets = ["{keys.erp_secret}"]
rate = "2000/s"
concurrency = 100
allow_private = true
retry = {retry}
"""


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets of one demo."""

    api_key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    erp_secret: str = field(
        default_factory=lambda: f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    )


class Child:
    """One of our processes, with everything that it says in a file."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as output:
            self._process = embedded.launch(
                command, environment=None, death_signal=signal.SIGTERM, output=output
            )

    def check(self) -> None:
        """Raise Unavailable, with the end of its log, if it has ended."""
        exit_code = self._process.poll()
        if exit_code is not None:
            raise Unavailable(f"{self.name} ended with {exit_code}; it said:\n{self._tail()}")

    async def wait_until_ready(self) -> None:
        """Return once it says `ready`. Raises Unavailable if it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while READY.search(self._said()) is None:
            self.check()
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{self.name} is not ready after {START_SECONDS_MAX:g} s; it said:\n"
                    f"{self._tail()}"
                )
            await asyncio.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """End it, politely at first."""
        embedded.stop(self._process, STOP_STEPS if self._process.poll() is None else ())

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _tail(self) -> str:
        return "\n".join(self._said().splitlines()[-TAIL_LINES:])


@dataclass(frozen=True, slots=True)
class Processes:
    """What runs, and where."""

    sandbox: Child
    product: Child
    sandbox_url: str
    product_url: str
    keys: Keys
    accounts: Sequence[DemoAccount]
    folder: Path

    def check(self) -> None:
        """Raise Unavailable, with the end of its log, if one of them has ended."""
        self.sandbox.check()
        self.product.check()


class Running(Protocol):
    """What runs while a stage plays: the product, in one process tree or in many."""

    @property
    def product_url(self) -> str: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def accounts(self) -> Sequence[DemoAccount]: ...

    def check(self) -> None:
        """Raise Unavailable if something ended that should run."""


@contextmanager
def running(plan: Plan, *, keep_folder: bool) -> Iterator[Processes]:
    """Run sandbox and product while the block lasts; at first neither is ready."""
    keys, sandbox, product = Keys(), _free_address(), _free_address()
    with ExitStack() as cleanup:
        folder = Path(tempfile.mkdtemp(prefix="settled-demo-"))
        if not keep_folder:
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(FOLDER_MODE)
        accounts = make_accounts(folder, f"http://{sandbox}")
        file = folder / "settled.toml"
        text = configuration_of(plan, keys, accounts, sandbox=sandbox, product=product)
        write_owner_only(file, text, replace=False)

        def start(name: str, *arguments: str) -> Child:
            child = Child(name, [sys.executable, "-m", "service.cli.main", *arguments], folder)
            cleanup.callback(child.stop)
            return child

        processes = Processes(
            sandbox=start("sandbox", "sandbox", "--listen", sandbox),
            product=start("product", "up", "--config", str(file)),
            sandbox_url=f"http://{sandbox}",
            product_url=f"http://{product}",
            keys=keys,
            accounts=accounts,
            folder=folder,
        )
        cleanup.callback(_ignore_interrupts)
        yield processes


def configuration_of(
    plan: Plan, keys: Keys, accounts: Iterable[DemoAccount], *, sandbox: str, product: str
) -> str:
    """Return the text of the product's configuration; sandbox and product are HOST:PORT."""
    return CONFIGURATION.format(
        accounts="\n\n".join(account.as_toml() for account in accounts),
        keys=keys,
        poll_ms=round(plan.poll_seconds * 1000),
        sandbox=sandbox,
        product=product,
        retry=json.dumps(plan.retry),
    )


def _ignore_interrupts() -> None:
    """Let nothing cut the end short: a second Ctrl-C would leave processes and files behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _free_address() -> str:
    """Return a HOST:PORT where nobody listens now: each process is told the other's in advance."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        host, port = probe.getsockname()
        return f"{host}:{port}"
