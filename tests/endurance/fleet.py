"""A fleet whose processes reach everything over links of ours, and may have a clock of ours."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from service.cli.demo_accounts import make_accounts
from service.cli.demo_plan import Plan
from service.cli.demo_processes import FOLDER_MODE, Keys
from tests.bench.processes import free_port
from tests.endurance.proxy import Link, tcp, unix
from tests.endurance.servers import Disk, Servers, small_disk
from tests.scale.fleet import Fleet, below

LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
DATABASE = "endurance"

# Stories take some seconds, so that many are under way whenever something strikes.
PACE = {"min_ms": 100, "max_ms": 1000}

# A log that is longer is emptied once it has been read.
LOG_BYTES_MAX = 16 * 1024 * 1024

ALARM = re.compile(r'"level": ?"(?:error|critical)"')
EVENT = re.compile(r'"event": ?"([^"]+)"')


@dataclass
class HarassedFleet(Fleet):
    """deaths counts processes that ended although nobody killed them; they are started again."""

    links: Mapping[str, Link] = field(default_factory=dict)
    deaths: int = 0
    _clocks: set[str] = field(default_factory=set)

    @property
    def erp(self) -> str:
        return f"127.0.0.1:{self.links['erp'].port}"

    def config_of(self, verb: str) -> Path:
        return self.folder / f"{verb}.toml"

    def configure(self, database: str) -> str:
        """Give receivers their link to PostgreSQL, workers theirs to Redis, beats neither."""
        url = super().configure(database)
        linked = f"postgresql://settled@127.0.0.1:{self.links['postgres'].port}/{database}"
        redis = f"redis://127.0.0.1:{self.links['redis'].port}"
        self.config_of("web").write_text(self.text_for(linked, self.redis))
        self.config_of("worker").write_text(self.text_for(url, redis))
        self.config_of("beat").write_text(self.text_for(url, self.redis))
        return url

    def environment_of(self, name: str) -> Mapping[str, str] | None:
        library = clock_library()
        if name not in self._clocks or library is None:
            return None
        return {
            **os.environ,
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._clock_of(name)),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set_clock(self, name: str, offset: str) -> None:
        """Set the wall clock off by so much: of one that runs with a clock, or from its start."""
        self._clocks.add(name)
        self._clock_of(name).write_text(offset)

    def forget_clock(self, name: str) -> None:
        """Have a process start with the true clock the next time."""
        self._clocks.discard(name)

    def check(self) -> None:
        """Start again what ended without having been killed, as an init system does."""
        for name in self.names:
            process = self.running.get(name)
            if process is not None and process.poll() is not None:
                self.deaths += 1
                self.running.pop(name)
                self.start(name)

    def pids(self, verb: str) -> list[int]:
        """Return the processes that do a verb's work: of those supervised, the lowest."""
        found = [self.running[name].pid for name in self.names if name.startswith(f"{verb}-")]
        return found if verb == "web" else [pid for each in found for pid in below(each)]

    def _clock_of(self, name: str) -> Path:
        return self.folder / f"{name}.clock"


class Logs:
    """What the processes have said so far that somebody should know; keeps their files short."""

    def __init__(self, folder: Path) -> None:
        self.alarms: Counter[str] = Counter()
        self.exits = 0
        self.stuck = 0
        self._folder = folder
        self._read: Counter[Path] = Counter()

    def read_on(self) -> None:
        """Read what is new, and empty what has grown long."""
        for path in self._folder.glob("*-[0-9].log"):
            with path.open("r+", errors="replace") as file:
                file.seek(self._read[path])
                for line in file:
                    self._note(line)
                self._read[path] = file.tell() if file.seekable() else 0
                if self._read[path] > LOG_BYTES_MAX:
                    file.truncate(0)
                    self._read[path] = 0

    def _note(self, line: str) -> None:
        self.exits += "process.exited" in line
        self.stuck += "worker.stuck" in line
        self.alarms["traceback"] += line.startswith("Traceback")
        if ALARM.search(line) and (event := EVENT.search(line)):
            self.alarms[event[1]] += 1


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything that runs during an endurance run."""

    fleet: HarassedFleet
    servers: Servers
    disk: Disk | None
    logs: Logs


@contextmanager
def prepared(
    plan: Plan, kinds: Mapping[str, int], *, wants_disk: bool, logs: Path | None
) -> Iterator[Ground]:
    """Run servers and sandbox while the block lasts; links are not open, the product not started.

    Without the right to mount, or where nobody wants it, there is no disk to fill. What the
    processes said at last is left in a folder, where one is given.
    """
    with TemporaryDirectory(prefix="settled-endurance-") as name, ExitStack() as cleanup:
        folder = Path(name)
        if logs is not None:
            cleanup.callback(_copy_logs, folder, logs)
        folder.chmod(FOLDER_MODE)  # the servers run as another user
        if not wants_disk:
            with _running(plan, kinds, folder, None) as ground:
                yield ground
            return
        with (
            small_disk(folder / "disk.image", folder / "data") as disk,
            _running(plan, kinds, folder, disk) as ground,
        ):
            yield ground


def _copy_logs(folder: Path, logs: Path) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.log"):
        shutil.copy(path, logs)


@contextmanager
def _running(
    plan: Plan, kinds: Mapping[str, int], folder: Path, disk: Disk | None
) -> Iterator[Ground]:
    servers = Servers(folder / "data")
    sandbox = free_port()
    try:
        servers.start()
        links = _links(servers, sandbox, seed=plan.seed)
        fleet = HarassedFleet(
            folder=folder,
            keys=Keys(),
            accounts=[
                replace(account, settings={**account.settings, "pace": PACE})
                for account in make_accounts(folder, f"http://127.0.0.1:{links['provider'].port}")
            ],
            sandbox_url=f"http://127.0.0.1:{sandbox}",
            front_port=free_port(),
            receivers=[f"http://127.0.0.1:{free_port()}" for _ in range(kinds["web"])],
            postgres=servers.postgres,
            redis=servers.redis,
            plan=plan,
            kinds=kinds,
            links=links,
        )
        fleet.launch("sandbox", "sandbox", "--listen", f"127.0.0.1:{sandbox}")
        try:
            yield Ground(fleet, servers, disk, Logs(folder))
        finally:
            fleet.close()
    finally:
        servers.close()


def _links(servers: Servers, sandbox: int, *, seed: int) -> dict[str, Link]:
    ways = {
        "provider": tcp(sandbox),
        "erp": tcp(sandbox),
        "postgres": unix(str(servers.sockets / ".s.PGSQL.5432")),
        "redis": unix(str(servers.sockets / "redis.sock")),
    }
    return {name: Link(name, free_port(), way, seed=seed) for name, way in ways.items()}


def clock_library() -> str | None:
    """Return where libfaketime is, which Debian has as a package; None where it is not."""
    for folder in LIBRARIES:
        for found in sorted(Path(folder).glob("**/faketime/libfaketimeMT.so.1")):
            return str(found)
    return None
