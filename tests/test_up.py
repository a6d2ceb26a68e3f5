"""`settled up` as its users meet it: real processes, killed in every way, losing nothing.

One service runs for most of the file. Whatever a test does to it, it goes on working.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

import httpx
import psycopg
import pytest
import redis

from service import embedded
from tests.test_embedded import REPOSITORY

SECRET = "whsec_MjuU8KQC0f+9fytytL35b3DazSvuahT3RP/qfidEg6Q="
PROJECT_ID = "405d8375-3514-403b-8c43-83ae74cfe0e9"
PORTS = range(18200, 18300)
ROLES = ["beat", "postgres", "redis", "web", "worker"]

START_SECONDS = 60
SETTLE_SECONDS = 90
STOP_SECONDS = 45

_numbers = count(1)


def wait_until(condition: Callable[[], bool], *, seconds: float = SETTLE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def free_port() -> int:
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("every port of ours is taken")


class Sandbox:
    """The provider and the ERP, in a process of their own."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=60)
        self.post("/sandbox/erp/secrets", {"secrets": [SECRET]})

    def post(self, path: str, body: object) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str, **query: object) -> Any:
        return self.client.get(path, params={name: str(query[name]) for name in query}).json()


class Up:
    """One configuration and the `settled up` that runs it."""

    def __init__(self, folder: Path, sandbox: Sandbox, **tables: object) -> None:
        self.sandbox = sandbox
        self.data_dir = folder / "data"
        self.config = folder / "settled.toml"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.account = f"ginger-{next(_numbers)}"
        self.key = f"{next(_numbers):032d}"
        self.lines: list[str] = []
        self.config.write_text(self._configuration(**tables))
        self._log = (folder / "stderr").open("ab")
        self._open_account()

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        self.process = run(["up", "--config", str(self.config)], stderr=self._log)
        assert self.process.stdout is not None
        with Patience(self.process):
            self.lines.append(self.process.stdout.readline())
        assert self.lines[-1] == f"ready {self.url}\n"

    def stop(self) -> int:
        """Ask it to end; return its exit code. What else it printed is kept in lines."""
        self.process.terminate()
        rest, _ = self.process.communicate(timeout=STOP_SECONDS)
        self.lines += rest.splitlines()
        return self.process.returncode

    def close(self) -> None:
        self._log.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        embedded.forget(self.data_dir)

    def processes(self) -> list[tuple[str, int]]:
        listed = json.loads((self.data_dir / "processes.json").read_text())
        return sorted((entry["role"], entry["pid"]) for entry in listed)

    def pids(self, role: str) -> set[int]:
        return {pid for each, pid in self.processes() if each == role}

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, path: str, **query: str) -> Any:
        headers = {"authorization": "Bearer key-of-an-operator"}
        return httpx.get(self.url + path, params=query, headers=headers, timeout=30).json()

    def play(self, story: str, number: int, *, pause_ms: int = 200) -> None:
        """Have payers act on new orders, with a webhook for each change."""
        plan = {
            "reference": f"{self.account}-{next(_numbers)}",
            "story": story,
            "count": number,
            "pace": {"min_ms": pause_ms // 2, "max_ms": pause_ms},
        }
        self.sandbox.post(f"/sandbox/accounts/{self.account}/requests", plan)

    def is_settled(self) -> bool:
        """Whether our states are the sandbox's and the ERP got every number of every request."""
        truth = self.sandbox.get("/sandbox/truth", account=self.account)
        known = {each["provider_id"]: each for each in self.requests()}
        told = self.told()
        return all(
            (request := known.get(expected["provider_id"])) is not None
            and request["status"] == expected["status"]
            and request["received"]["minor"] == expected["received"]
            and request["refunded"]["minor"] == expected["refunded"]
            and set(told[request["id"]]) == set(range(1, request["sequence"] + 1))
            for expected in truth
        )

    def requests(self) -> list[Any]:
        """Return all requests of our account; none while the API does not answer."""
        found: list[Any] = []
        query = {"account": self.account, "limit": "100"}
        try:
            while True:
                page = self.get("/v1/requests", **query)
                found += page["data"]
                if not page["next"]:
                    return found
                query["cursor"] = page["next"]
        except (httpx.HTTPError, json.JSONDecodeError, KeyError):
            return []

    def told(self) -> dict[str, dict[int, set[str]]]:
        """Return the ids under which each sequence of each request arrived at the ERP."""
        ids: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        after = 0
        while page := self.sandbox.get("/sandbox/erp/notifications", after=after):
            after += len(page)
            for notification in page:
                assert notification["signature_valid"]
                data = notification["body"]["data"]
                if data.get("account") == self.account:
                    ids[data["request_id"]][data["sequence"]].add(notification["id"])
        return ids

    def settles(self) -> None:
        """Wait for the truth; then each notification arrived under one id."""
        wait_until(lambda: self.sandbox.get("/sandbox/stats")["playing"] == 0)
        wait_until(self.is_settled)
        assert all(len(ids) == 1 for of in self.told().values() for ids in of.values())

    def accepted(self) -> int:
        """Return how many webhooks we answered with 204, as the one who sent them counts."""
        return int(self.sandbox.get("/sandbox/stats")["webhooks"]["accepted"])

    def _open_account(self) -> None:
        self.sandbox.post(
            "/sandbox/accounts",
            {
                "name": self.account,
                "api_key": self.key,
                "project_id": PROJECT_ID,
                "webhook_url": f"{self.url}/webhooks/{self.account}",
                "time_scale": 1 / 120,
            },
        )

    def _configuration(self, **tables: object) -> str:
        sandbox = str(self.sandbox.client.base_url).rstrip("/")
        more = "\n".join(f"{name} = {json.dumps(value)}" for name, value in tables.items())
        return f"""
            {more}
            [settled]
            listen = "127.0.0.1:{self.port}"
            data_dir = {json.dumps(str(self.data_dir))}
            api_keys = [{{ name = "ops", key = "key-of-an-operator", role = "operator" }}]
            [polling]
            open = "2s"
            processing = "2s"
            paid = "2s"
            sweep = "5s"
            [[account]]
            name = "{self.account}"
            provider = "ginger"
            api_base = "{sandbox}"
            api_key = "{self.key}"
            project_ids = ["{PROJECT_ID}"]
            limit = "1000/s"
            [[endpoint]]
            name = "erp"
            url = "{sandbox}/erp/hooks"
            secrets = ["{SECRET}"]
            allow_private = true
            rate = "1000/s"
            """


class Patience:
    """Kills a process that does not say within a minute what is waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, lambda *_: self._process.kill())
        signal.alarm(START_SECONDS)

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)


def run(arguments: list[str], *, stderr: IO[bytes] | int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "service.cli.main", *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def refused(up: Up) -> tuple[int, str]:
    """Start it, expecting that it does not start; return its exit code and what it said."""
    process = run(["up", "--config", str(up.config)], stderr=subprocess.PIPE)
    _, said = process.communicate(timeout=START_SECONDS)
    return process.returncode, said


def descendants(parent: int) -> set[int]:
    """Return the processes below one, as the kernel knows them."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = {parent}
    while more := {pid for pid, above in parents.items() if above in found} - found:
        found |= more
    return found - {parent}


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    process = run(["sandbox", "--listen", "127.0.0.1:0"], stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    sandbox = Sandbox(process.stdout.readline().split()[1])
    yield sandbox
    sandbox.client.close()
    process.terminate()
    process.communicate(timeout=10)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[Up]:
    """A service with embedded servers, below a folder that is closed to others."""
    folder = tmp_path_factory.mktemp("up")
    folder.chmod(0o700)
    up = Up(folder, sandbox)
    up.start()
    yield up
    up.stop()
    up.close()


def test_it_says_where_it_is_ready_and_works_below_a_closed_folder(up: Up) -> None:
    assert up.is_ready()
    assert up.data_dir.parent.stat().st_mode & 0o777 == 0o700
    up.play("paid", 5)
    up.settles()


def test_the_list_of_processes_is_true(up: Up) -> None:
    listed = up.processes()

    assert [role for role, _ in listed] == sorted([*ROLES, "worker"])
    assert {pid for _, pid in listed} <= descendants(up.process.pid)


def test_a_second_one_on_the_same_data_directory_is_refused_and_the_first_goes_on(up: Up) -> None:
    exit_code, said = refused(up)

    assert exit_code == 3
    assert f"{up.data_dir} is in use by process {up.process.pid}" in said
    assert up.is_ready()


def test_an_address_that_somebody_else_has_is_refused(
    up: Up, sandbox: Sandbox, tmp_path: Path
) -> None:
    text = up.config.read_text().replace(str(up.data_dir), str(tmp_path / "data"))
    other = tmp_path / "settled.toml"
    other.write_text(text)
    process = run(["up", "--config", str(other)], stderr=subprocess.PIPE)
    _, said = process.communicate(timeout=START_SECONDS)

    assert process.returncode == 3
    assert f"{other}: settled.listen" in said


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_part_comes_back_and_nothing_is_lost(up: Up, role: str) -> None:
    up.play("refund", 10)
    before = up.pids(role)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)

    wait_until(lambda: len(up.pids(role)) == len(before) and victim not in up.pids(role))
    up.settles()


def test_a_redis_that_forgets_everything_again_and_again_costs_only_time(up: Up) -> None:
    up.play("refund", 20)
    forgetful = redis.Redis.from_url(embedded.urls(up.data_dir)["redis"])
    while up.sandbox.get("/sandbox/stats")["playing"]:
        forgetful.flushall()
    forgetful.close()

    up.settles()


def test_stopped_workers_are_noticed_and_replaced(up: Up) -> None:
    stopped = up.pids("worker")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    up.play("paid", 5)

    wait_until(lambda: len(up.pids("worker") - stopped) == len(stopped), seconds=60)
    up.settles()


def test_everything_killed_at_once_in_the_middle_of_traffic_loses_nothing(up: Up) -> None:
    stored, accepted = stored_events(up), up.accepted()
    up.play("refund", 40, pause_ms=600)
    wait_until(lambda: up.accepted() >= accepted + 20)
    kill_everything(up)
    accepted = up.accepted() - accepted
    up.start()

    assert stored_events(up) - stored >= accepted
    up.settles()


def kill_everything(up: Up) -> None:
    """Kill all processes, the supervisor first: it must not bring one back."""
    for pid in [up.process.pid, *sorted(descendants(up.process.pid))]:
        with suppress(ProcessLookupError):  # A server's children end with it.
            os.kill(pid, signal.SIGKILL)
    up.process.communicate()


def stored_events(up: Up) -> int:
    with psycopg.connect(embedded.urls(up.data_dir)["postgres"]) as connection:
        row = connection.execute("select count(*) from events").fetchone()
    assert row is not None
    return int(row[0])


def test_it_works_on_ones_own_servers_and_ends_in_order(
    sandbox: Sandbox, servers: embedded.Urls, database_url: str, tmp_path: Path
) -> None:
    own = {"database.url": database_url, "redis.url": servers.redis}
    up = Up(tmp_path, sandbox, **own)
    up.start()
    assert [role for role, _ in up.processes()] == ["beat", "web", "worker", "worker"]
    up.play("paid", 5)
    up.settles()
    up.play("refund", 10)
    below = descendants(up.process.pid)
    with waiting_for_news(up) as line:
        assert up.stop() == 0
        assert line.recv(12) == b"HTTP/1.1 200"
    assert up.lines == [f"ready {up.url}\n"]
    assert not any(exists(pid) for pid in below)
    assert not (up.data_dir / "processes.json").exists()
    up.close()


def waiting_for_news(up: Up) -> socket.socket:
    """Ask for changes far ahead, with patience; return the connection once the call is in."""
    line = socket.create_connection(("127.0.0.1", up.port), timeout=STOP_SECONDS)
    line.sendall(
        b"GET /v1/changes?after=f999999999&wait=30 HTTP/1.1\r\nHost: settled\r\n"
        b"Authorization: Bearer key-of-an-operator\r\n\r\n"
    )
    assert up.is_ready()  # answered after that call was taken in
    return line


@pytest.mark.parametrize(
    ("text", "key", "exit_code"),
    [
        ("[settled]\nlisten = 'nowhere'", "settled.listen", 3),
        ("[settled]\nlisten_on = '127.0.0.1:0'", "settled.listen_on", 3),
        ("[[endpoint]]\nname = 'erp'\nurl = 'https://erp.example.com'", "endpoint[0].secrets", 3),
        ("[[account]]\nname = 'a'\nprovider = 'nobody'", "account[0].provider", 3),
        ("[database]\nurl = 'postgresql://127.0.0.1:1/none'", "PostgreSQL", 4),
    ],
)
def test_what_is_wrong_with_the_configuration_is_said_by_file_and_key(
    tmp_path: Path, text: str, key: str, exit_code: int
) -> None:
    config = tmp_path / "settled.toml"
    config.write_text(text if "[settled]" in text else text + "\n[settled]\nlisten='127.0.0.1:0'\n")
    process = run(["up", "--config", str(config)], stderr=subprocess.PIPE)
    out, said = process.communicate(timeout=START_SECONDS)

    assert (process.returncode, out) == (exit_code, "")
    assert key in said
    assert exit_code != 3 or str(config) in said
