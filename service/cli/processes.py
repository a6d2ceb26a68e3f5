"""`up`, `web`, `worker` and `beat`: the processes of the product."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.cli.configuration import say_where

if TYPE_CHECKING:
    from service.settings import Settings
    from service.supervise import Part

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file; else $SETTLED_CONFIG, else ./settled.toml.",
)


@click.command()
@_config
def up(config: Path | None) -> None:
    """Run everything in one terminal.

    Starts the receiver, API, workers and beat, and PostgreSQL and Redis where the configuration
    names none. Prints one line `ready http://HOST:PORT` once everything answers. Ctrl-C or
    SIGTERM finishes what is in hand.

    Example: settled up --config settled.toml
    """
    from service import settings
    from service.runtime import connect_accounts
    from service.telemetry import logs

    configuration = settings.load(config, os.environ)
    connect_accounts(configuration)
    logs.configure(configuration.settled.log, role="up")
    say_where(configuration)
    sys.exit(run_up(configuration, Path(configuration.source)))


def run_up(configuration: "Settings", path: Path) -> int:
    """Supervise all processes of a configuration until told to stop; return the exit code."""
    from service.embedded import Postgres, Redis, Server, locked
    from service.supervise import Part, Supervisor

    service = configuration.settled
    with ExitStack() as stack:
        stack.enter_context(locked(service.data_dir))
        servers: list[Server] = []
        if configuration.database.embedded:
            servers.append(Postgres(service.data_dir))
        if configuration.redis.embedded:
            servers.append(Redis(service.data_dir))
        port = service.port or _free_port(service.host)
        environment = dict(os.environ) | {
            "PROMETHEUS_MULTIPROC_DIR": str(_metrics_folder(service.data_dir))
        }
        parts = [
            *(Part(server.role, server) for server in servers),
            *_parts(configuration, path, port, environment),
        ]
        supervisor = Supervisor(
            parts,
            data_dir=service.data_dir,
            url=f"http://{service.host}:{port}",
            ready=lambda: _is_ready(service.host, port),
            before_children=lambda: _prepare(configuration),
            stuck=_watchdog(configuration),
        )
        return supervisor.run()


def _parts(
    configuration: "Settings", path: Path, port: int, environment: dict[str, str]
) -> "list[Part]":
    from service.supervise import Part

    settled = [sys.executable, "-m", "service.cli.main"]
    workers = configuration.settled.workers
    listen = f"{configuration.settled.host}:{port}"
    return [
        Part("beat", [sys.executable, "-m", "workers.beat", str(path)], environment),
        *(
            Part("worker", [sys.executable, "-m", "workers.app", str(path)], environment)
            for _ in range(workers)
        ),
        Part("web", [*settled, "web", "--config", str(path), "--listen", listen], environment),
    ]


def _free_port(host: str) -> int:
    """Return a port nobody listens on now, for a configuration that leaves the choice to us."""
    import socket

    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


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

    upgrade(find_servers(configuration).postgres)

    async def make_rows() -> None:
        async with open_runtime(configuration, role="beat") as runtime:
            await introduce(runtime, end_pauses=True)

    asyncio.run(make_rows())


def _is_ready(host: str, port: int) -> bool:
    import httpx

    try:
        answer = httpx.get(f"http://{host}:{port}/readyz", timeout=2.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


def _watchdog(configuration: "Settings") -> Callable[[], list[int]]:
    from service.errors import Unavailable
    from service.runtime import find_servers
    from service.storage.workers import stuck_workers

    def stuck() -> list[int]:
        try:
            return stuck_workers(find_servers(configuration).postgres)
        except Unavailable:
            return []

    return stuck


@click.command()
@_config
@click.option("--listen", help="HOST:PORT instead of the configured one.")
def web(config: Path | None, listen: str | None) -> None:
    """Run the receiver, the API and the console.

    Example: settled web --config settled.toml
    """
    from service import settings
    from service.runtime import open_runtime
    from service.telemetry import logs
    from service.web.app import create_app
    from service.web.server import run

    configuration = settings.load(config, os.environ)
    logs.configure(configuration.settled.log, role="web")
    host, _, port = (listen or configuration.settled.listen).rpartition(":")

    def opened() -> Any:
        return open_runtime(configuration, role="web")

    run(create_app(opened), host=host.strip("[]"), port=int(port))


@click.command()
@_config
@click.option("--processes", type=click.IntRange(1), help="Worker processes; one per core.")
def worker(config: Path | None, processes: int | None) -> None:
    """Run Celery workers, supervised: whatever dies is started again.

    Example: settled worker --processes 4
    """
    from service import settings
    from service.telemetry import logs

    configuration = settings.load(config, os.environ)
    logs.configure(configuration.settled.log, role="worker")
    count = processes or configuration.settled.workers
    command = [sys.executable, "-m", "workers.app", configuration.source]
    _supervise_alone(configuration, "worker", command, count)


@click.command()
@_config
def beat(config: Path | None) -> None:
    """Run one beat, supervised; any number of them may run.

    Example: settled beat
    """
    from service import settings
    from service.telemetry import logs

    configuration = settings.load(config, os.environ)
    logs.configure(configuration.settled.log, role="beat")
    command = [sys.executable, "-m", "workers.beat", configuration.source]
    _supervise_alone(configuration, "beat", command, 1)


def _supervise_alone(configuration: "Settings", role: Any, command: list[str], count: int) -> None:
    """Keep processes of one role alive, on a machine that runs nothing else of ours."""
    from service.supervise import Part, Supervisor

    supervisor = Supervisor(
        [Part(role, command) for _ in range(count)],
        data_dir=None,
        stuck=_watchdog(configuration),
    )
    sys.exit(supervisor.run())
