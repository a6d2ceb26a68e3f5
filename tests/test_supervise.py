"""A supervisor in its own process, seen from outside: its children, its file, its exit code."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from service import embedded
from tests.test_embedded import REPOSITORY, processes_below, wait_until

# Ready when each command is up; a worker is stuck when it is stopped (state T), as by SIGSTOP.
SUPERVISOR = """
import json, sys
from pathlib import Path
import psycopg, structlog
from service import embedded
from service.supervise import Part, Supervisor

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
data_dir, commands, servers = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
parts = [Part(role, [sys.executable, "-c", text, str(data_dir)]) for role, text in commands]
classes = {"postgres": embedded.Postgres, "redis": embedded.Redis}
parts += [Part(role, classes[role](data_dir)) for role in servers]

def migrate():
    if servers:
        with psycopg.connect(embedded.urls(data_dir)["postgres"]) as connection:
            connection.execute("create table migrated (id int)")

def ready():
    return len(list(data_dir.glob("up-*"))) >= len(commands)

def stuck():
    listed = json.loads((data_dir / "processes.json").read_text())
    stats = {entry["pid"]: Path(f"/proc/{entry['pid']}/stat").read_text() for entry in listed}
    return [pid for pid, stat in stats.items() if stat.rpartition(") ")[2].startswith("T")]

with embedded.locked(data_dir):
    supervisor = Supervisor(parts, data_dir=data_dir, url="http://127.0.0.1:8080",
                            before_children=migrate, ready=ready, stuck=stuck)
    sys.exit(supervisor.run())
"""

CHILD = """
import os, signal, sys, time
from pathlib import Path
here = Path(sys.argv[1])
def up(): (here / f"up-{os.getpid()}").touch()
def note(file, line):
    with (here / file).open("a") as lines: lines.write(f"{line}\\n")
"""
SLEEP = CHILD + "up(); time.sleep(600)"
TALK = CHILD + "print('talk', flush=True); up(); time.sleep(600)"
IGNORE_SIGTERM = CHILD + "signal.signal(signal.SIGTERM, signal.SIG_IGN); up(); time.sleep(600)"
FAIL = CHILD + "up(); note('tries', time.monotonic()); sys.exit(3)"
NOTE_SIGTERM = (
    CHILD
    + """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
up()
signal.sigwait({signal.SIGTERM})
note("ended", ROLE)
"""
)
COUNT_MIGRATED = (
    CHILD
    + """
import psycopg
from service import embedded
with psycopg.connect(embedded.urls(here)["postgres"]) as connection:
    note("found", connection.execute("select count(*) from migrated").fetchone()[0])
up()
time.sleep(600)
"""
)


def test_one_line_on_stdout_says_that_it_is_ready(tmp_path: Path) -> None:
    with supervised(tmp_path, ("worker", TALK)) as supervisor:
        supervisor.terminate()

        assert supervisor.communicate(timeout=10)[0] == b""


def test_a_killed_part_comes_back_and_the_file_says_so(tmp_path: Path) -> None:
    with supervised(tmp_path, ("worker", SLEEP), ("beat", SLEEP)):
        before = pids(tmp_path)
        os.kill(before["worker"], signal.SIGKILL)

        after = another(tmp_path, "worker", before["worker"])

        assert after["beat"] == before["beat"]
        assert all(Path(f"/proc/{pid}").exists() for pid in after.values())


def test_a_part_that_always_fails_is_tried_again_more_and_more_slowly(tmp_path: Path) -> None:
    with supervised(tmp_path, ("worker", FAIL)):
        wait_until(lambda: len(tries(tmp_path)) >= 3)

    first, second, third = tries(tmp_path)[:3]
    assert 1 <= second - first < 2 <= third - second < 3


def test_sigterm_ends_web_first_then_beat_then_workers(tmp_path: Path) -> None:
    parts = [(role, f"ROLE = '{role}'\n{NOTE_SIGTERM}") for role in ("worker", "beat", "web")]
    with supervised(tmp_path, *parts) as supervisor:
        supervisor.terminate()

        assert supervisor.wait(10) == 0
    assert (tmp_path / "ended").read_text().split() == ["web", "beat", "worker"]
    assert not processes_below(tmp_path)
    assert not (tmp_path / "processes.json").exists()


def test_a_second_signal_kills_what_would_not_end(tmp_path: Path) -> None:
    parts = [("web", IGNORE_SIGTERM), ("worker", IGNORE_SIGTERM)]
    with supervised(tmp_path, *parts) as supervisor:
        supervisor.send_signal(signal.SIGINT)
        supervisor.send_signal(signal.SIGTERM)

        assert supervisor.wait(8) == 0
    assert not processes_below(tmp_path)


def test_a_worker_that_makes_no_progress_is_replaced(tmp_path: Path) -> None:
    with supervised(tmp_path, ("worker", SLEEP)):
        before = pids(tmp_path)["worker"]
        os.kill(before, signal.SIGSTOP)

        another(tmp_path, "worker", before)

        assert not Path(f"/proc/{before}").exists()


def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    parts = [("worker", SLEEP), ("web", SLEEP)]
    with supervised(tmp_path, *parts, servers=["redis", "postgres"]) as supervisor:
        supervisor.kill()
        supervisor.wait()

        wait_until(lambda: not processes_below(tmp_path))


def test_embedded_servers_come_back_where_they_were(tmp_path: Path) -> None:
    with supervised(tmp_path, ("web", SLEEP), servers=["redis", "postgres"]):
        urls, before = embedded.urls(tmp_path), pids(tmp_path)
        os.kill(before["postgres"], signal.SIGKILL)
        os.kill(before["redis"], signal.SIGKILL)

        another(tmp_path, "postgres", before["postgres"])
        after = another(tmp_path, "redis", before["redis"])

        assert after["web"] == before["web"]
        assert embedded.urls(tmp_path) == urls
        wait_until(lambda: answers(urls["postgres"]))


def test_children_start_after_the_servers_answer_and_the_caller_is_done(tmp_path: Path) -> None:
    with supervised(tmp_path, ("web", COUNT_MIGRATED), servers=["postgres"]):
        assert (tmp_path / "found").read_text() == "0\n"


def test_a_start_that_fails_leaves_no_child(tmp_path: Path) -> None:
    no_postgres_to_migrate = ["redis"]
    with start(tmp_path, ("web", SLEEP), servers=no_postgres_to_migrate) as supervisor:
        assert supervisor.wait(20) == 1

    assert not processes_below(tmp_path)
    assert not (tmp_path / "processes.json").exists()


def test_sigterm_in_the_middle_of_a_start_ends_it(tmp_path: Path) -> None:
    with start(tmp_path, ("web", SLEEP), servers=["postgres"]) as supervisor:
        wait_until((tmp_path / "processes.json").exists)
        supervisor.terminate()

        assert supervisor.wait(20) == 0
    assert not list(tmp_path.glob("up-*"))
    assert not processes_below(tmp_path)


@contextmanager
def supervised(
    data_dir: Path, *commands: tuple[str, str], servers: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a supervisor for the block; it has said that it is ready."""
    supervisor = start(data_dir, *commands, servers=servers)
    try:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"ready http://127.0.0.1:8080\n"
        yield supervisor
    finally:
        supervisor.terminate()
        supervisor.communicate(timeout=20)
        embedded.forget(data_dir)


def start(
    data_dir: Path, *commands: tuple[str, str], servers: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-c", SUPERVISOR),
            *(str(data_dir), json.dumps(commands), json.dumps(servers)),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )


def pids(data_dir: Path) -> dict[str, int]:
    listed = json.loads((data_dir / "processes.json").read_text())
    return {entry["role"]: entry["pid"] for entry in listed}


def another(data_dir: Path, role: str, before: int) -> dict[str, int]:
    """Wait until a part has another process; return all of them."""
    wait_until(lambda: pids(data_dir).get(role, before) != before)
    return pids(data_dir)


def tries(data_dir: Path) -> list[float]:
    return [float(line) for line in (data_dir / "tries").read_text().split()]


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
