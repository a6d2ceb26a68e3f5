"""`up`, `web`, `worker` and `beat`: the processes of the product."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from service.cli.configuration import config_option, load_settings

if TYPE_CHECKING:
    from service.settings import Settings
    from service.supervise import Part

# What the receiver of an `up` that was killed a moment ago needs to give its address up.
ADDRESS_SECONDS_MAX = 5.0

# What a worker needs to say that it lives, once PostgreSQL is back: it does so every 5 s.
GRACE_SECONDS = 15.0

PORT_MAX = 65_535

_metrics = click.option(
    "--metrics", help="HOST:PORT that tells Prometheus the counters of these processes."
)


@click.command()
@config_option
def up(config: Path | None) -> None:
    """Run everything in one terminal.

    Starts the receiver, API, workers and beat, and PostgreSQL and Redis where the configuration
    names none. Prints one line `ready http://HOST:PORT` once everything answers. Ctrl-C or
    SIGTERM finishes what is in hand.

    Example: settled up --config settled.toml
    """
    from service.erp import recipes_of
    from service.runtime import connect_accounts
    from service.telemetry import logs

    configuration = load_settings(config)
    connect_accounts(configuration)
    recipes_of(configuration)
    logs.configure(configuration.settled.log, role="up")
    sys.exit(run_up(configuration, Path(configuration.source)))


def run_up(configuration: "Settings", path: Path) -> int:
    """Supervise all processes of a configuration until told to stop; return the exit code."""
    from service.embedded import Postgres, Redis, Server, locked
    from service.supervise import Part, Supervisor
    from service.telemetry.metrics import FOLDER

    service = configuration.settled
    with ExitStack() as stack:
        stack.enter_context(locked(service.data_dir))
        servers: list[Server] = []
        if configuration.database.embedded:
            servers.append(Postgres(service.data_dir))
        if configuration.redis.embedded:
            servers.append(Redis(service.data_dir))
        port = service.port or _free_port(service.host)
        _await_address(configuration, port)
        environment = {**os.environ, FOLDER: str(_metrics_folder(service.data_dir))}
        parts = [
            *(Part(server.role, server) for server in servers),
            *_parts(configuration, path, port, environment),
        ]
        supervisor = Supervisor(
            parts,
            data_dir=service.data_dir,
            url=_url(service.host, port),
            ready=lambda: _is_ready(_url(service.host, port)),
            before_children=lambda: _prepare(configuration),
            stuck=_watchdog(configuration),
        )
        return supervisor.run()


def _parts(
    configuration: "Settings", path: Path, port: int, environment: dict[str, str]
) -> "list[Part]":
    from service.supervise import Part

    service = configuration.settled
    listen = f"{service.host}:{port}"
    verb = [sys.executable, "-m", "service.cli.main"]
    web = Part("web", [*verb, "web", "--config", str(path), "--listen", listen], environment)
    worker = Part("worker", [sys.executable, "-m", "workers.app", str(path)], environment)
    beat = Part("beat", [sys.executable, "-m", "workers.beat", str(path)], environment)
    return [beat, *[worker] * service.workers, *[web] * service.web_processes]


def _free_port(host: str) -> int:
    """Return a port nobody listens on now, for a configuration that leaves the choice to us."""
    from service.web.server import bind

    with bind(host, 0) as probe:
        port: int = probe.getsockname()[1]
        return port


def _await_address(configuration: "Settings", port: int) -> None:
    """Return once nobody listens on our address. Raises Misconfigured when somebody goes on to."""
    from service.errors import Misconfigured
    from service.web.server import bind

    deadline = time.monotonic() + ADDRESS_SECONDS_MAX
    while True:
        try:
            bind(configuration.settled.host, port).close()
        except Misconfigured as error:
            if time.monotonic() > deadline:
                raise Misconfigured(f"{configuration.source}: {error}") from error
            time.sleep(0.1)
        else:
            return


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _metrics_folder(data_dir: Path) -> Path:
    """Return an empty folder in which the processes of this machine add up their counters."""
    folder = data_dir / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink()
    return folder


def _prepare(configuration: "Settings") -> None:
    """Bring the schema up to date; an account paused before gets another chance."""
    from service.runtime import find_servers, introduce, open_runtime
    from service.storage.database import upgrade
    from service.storage.workers import forget_workers

    url = find_servers(configuration).postgres
    upgrade(url)
    forget_workers(url)

    async def make_rows() -> None:
        async with open_runtime(configuration, role="beat") as runtime:
            await introduce(runtime, end_pauses=True)

    asyncio.run(make_rows())


def _is_ready(url: str) -> bool:
    import httpx

    try:
        answer = httpx.get(f"{url}/readyz", timeout=2.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


def _watchdog(configuration: "Settings") -> Callable[[], list[int]]:
    """Return what asks for workers that are there but do not work.

    Nobody is stuck while PostgreSQL or Redis is away: then workers wait, as they must, and once
    PostgreSQL is back they have a moment to say that they live.
    """
    from service.errors import Unavailable
    from service.nudge import Bell
    from service.runtime import find_servers
    from service.storage.workers import stuck_workers

    answered_since: float | None = None

    def stuck() -> list[int]:
        nonlocal answered_since
        try:
            urls = find_servers(configuration)
            pids = stuck_workers(urls.postgres)
        except Unavailable:
            answered_since = None
            return []
        answered_since = answered_since or time.monotonic()
        if not pids or time.monotonic() - answered_since < GRACE_SECONDS:
            return []
        with closing(Bell(urls.redis)) as bell:
            return pids if bell.answers() else []

    return stuck


@click.command()
@config_option
@click.option("--listen", help="HOST:PORT instead of the configured one.")
def web(config: Path | None, listen: str | None) -> None:
    """Run the receiver, the API and the console.

    Example: settled web --config settled.toml
    """
    from service.runtime import open_runtime
    from service.telemetry import logs, traces
    from service.web.app import create_app
    from service.web.server import run

    configuration = load_settings(config)
    logs.configure(configuration.settled.log, role="web")
    traces.send_to(configuration.settled.traces, role="web")
    host, port = _host_and_port(listen or configuration.settled.listen, option="--listen")

    def opened() -> Any:
        return open_runtime(configuration, role="web")

    app = create_app(opened)
    run(
        app,
        host=host,
        port=port,
        share_port=configuration.settled.web_processes > 1,
        on_stopping=app.state.stopping.set,
    )


def _host_and_port(text: str, *, option: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > PORT_MAX:
        raise click.BadParameter("expected HOST:PORT", param_hint=option)
    return host.strip("[]"), int(port)


@click.command()
@config_option
@_metrics
@click.option("--processes", type=click.IntRange(1), help="Worker processes; one per core.")
def worker(config: Path | None, processes: int | None, metrics: str | None) -> None:
    """Run Celery workers, supervised: whatever dies is started again.

    Example: settled worker --processes 4 --metrics 0.0.0.0:9464
    """
    from service.errors import Unavailable
    from service.runtime import find_servers
    from service.storage.workers import forget_workers
    from service.supervise import Part
    from service.telemetry import logs

    configuration = load_settings(config)
    logs.configure(configuration.settled.log, role="worker")
    count = processes or configuration.settled.workers
    command = [sys.executable, "-m", "workers.app", configuration.source]

    def forget_earlier_ones() -> None:
        with suppress(Unavailable):
            forget_workers(find_servers(configuration).postgres)

    with _counted(metrics) as environment:
        part = Part("worker", command, environment)
        _supervise_alone(configuration, [part] * count, before=forget_earlier_ones)


@click.command()
@config_option
@_metrics
def beat(config: Path | None, metrics: str | None) -> None:
    """Run one beat, supervised; any number of them may run.

    Example: settled beat --metrics 0.0.0.0:9465
    """
    from service.supervise import Part
    from service.telemetry import logs

    configuration = load_settings(config)
    logs.configure(configuration.settled.log, role="beat")
    command = [sys.executable, "-m", "workers.beat", configuration.source]
    with _counted(metrics) as environment:
        _supervise_alone(configuration, [Part("beat", command, environment)])


@contextmanager
def _counted(metrics: str | None) -> Iterator[dict[str, str]]:
    """Lend the environment of processes whose counters are told at HOST:PORT, if one is given.

    No receiver knows the counters of another machine, so whoever supervises there tells them.
    """
    from service.errors import Misconfigured
    from service.telemetry.metrics import FOLDER, serve

    if metrics is None:
        yield dict(os.environ)
        return
    host, port = _host_and_port(metrics, option="--metrics")
    with TemporaryDirectory(prefix="settled-metrics-") as folder:
        try:
            serve(folder, host=host, port=port)
        except OSError as error:
            raise Misconfigured(f"--metrics {metrics}: {error.strerror}") from error
        yield {**os.environ, FOLDER: folder}


def _supervise_alone(
    configuration: "Settings",
    parts: "Sequence[Part]",
    *,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Keep processes of one role alive, on a machine that runs nothing else of ours."""
    from service.supervise import Supervisor

    supervisor = Supervisor(
        parts,
        data_dir=None,
        before_children=before,
        stuck=_watchdog(configuration),
    )
    sys.exit(supervisor.run())
