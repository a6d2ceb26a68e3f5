"""A Tryton server of our own, and a look into its books that does not go through settled."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.test_embedded import REPOSITORY
from tests.test_up import free_port, wait_until
from tests.tryton.seed import DATABASE, USER

PASSWORD = "known-to-settled-alone"
ADMIN_PASSWORD = "known-to-the-bookkeeper"
SLOWEST_SECONDS = 300


class Books:
    """What a bookkeeper sees, as administrator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(
            base_url=url,
            auth=("admin", ADMIN_PASSWORD),
            timeout=30,
            headers={"accept-encoding": ""},
        )

    def state(self, reference: str) -> str:
        """Return the state of the one payment with this reference."""
        [payment] = self._read("account.payment", [["reference", "=", reference]], ["state"])
        return str(payment["state"])

    def presses(self, reference: str) -> list[str]:
        """Return what Tryton's own log says that settled did to a payment, in order."""
        [payment] = self._read("account.payment", [["reference", "=", reference]], [])
        of_payment = [["resource", "=", f"account.payment,{payment['id']}"]]
        by_settled = [["event", "=", "transition"], ["user.login", "=", USER]]
        logged = self._read("ir.model.log", [*of_payment, *by_settled], ["target"])
        return [entry["target"] for entry in logged]

    def is_up(self) -> bool:
        try:
            return self._call("model.res.user.search_count", [[], {}]).is_success
        except httpx.HTTPError:
            return False

    def close(self) -> None:
        self._client.close()

    def _read(self, model: str, domain: list[Any], fields: list[str]) -> list[dict[str, Any]]:
        """Return what fits, in the order in which it was made."""
        parameters = [domain, 0, 100, [["id", "ASC"]], fields, {}]
        answer = self._call(f"model.{model}.search_read", parameters).json()
        found: list[dict[str, Any]] = answer["result"]
        return found

    def _call(self, method: str, parameters: list[Any]) -> httpx.Response:
        call = {"id": 1, "method": method, "params": parameters}
        return self._client.post(f"/{DATABASE}/rpc/", json=call)


@contextmanager
def kept(folder: Path, payments: Mapping[str, str]) -> Iterator[Books]:
    """Make books with these payments in processing, and run their server."""
    port = free_port()
    configuration = folder / "trytond.conf"
    configuration.write_text(
        f"[database]\nuri = sqlite://\npath = {folder}\n[web]\nlisten = 127.0.0.1:{port}\n"
    )
    (folder / f"{DATABASE}.sqlite").touch()
    (folder / "password").write_text(ADMIN_PASSWORD)
    environ = {**os.environ, "TRYTONPASSFILE": str(folder / "password")}
    scripts = Path(sys.executable).parent
    admin = [scripts / "trytond-admin", "-c", configuration, "-d", DATABASE]
    modules = ["-u", "account_payment", "--activate-dependencies"]
    _run([*admin, *modules, "--email", "books@example.com", "-p"], environ)
    wanted = [f"{reference}={amount}" for reference, amount in payments.items()]
    _run([sys.executable, "-m", "tests.tryton.seed", configuration, PASSWORD, *wanted], environ)
    with (folder / "trytond.log").open("wb") as log:
        server = subprocess.Popen(
            [scripts / "trytond", "-c", configuration, "-d", DATABASE], stderr=log, env=environ
        )
        books = Books(f"http://127.0.0.1:{port}")
        try:
            wait_until(books.is_up)
            yield books
        finally:
            books.close()
            server.terminate()
            server.wait(timeout=30)


def _run(command: list[Any], environ: Mapping[str, str]) -> None:
    subprocess.run(
        [str(word) for word in command],
        cwd=REPOSITORY,
        env=environ,
        check=True,
        timeout=SLOWEST_SECONDS,
        stdout=subprocess.DEVNULL,
    )


def wait_for(books: Books, reference: str, state: str) -> float:
    """Wait until a payment has this state; return after how many seconds."""
    started = time.monotonic()
    wait_until(lambda: books.state(reference) == state)
    return time.monotonic() - started
