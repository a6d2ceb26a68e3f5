"""`settled db` migrates the database or tells how far it is; here other verbs borrow it, too."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from service.cli.configuration import config_option, load_settings
from service.cli.exits import ProblemFound
from service.cli.output import show_object
from service.settings import Settings

if TYPE_CHECKING:
    from service.storage.database import Pool

T = TypeVar("T")

CONNECTIONS_MAX = 2


@click.group()
def db() -> None:
    """Migrate the database, or show how far it is.

    Example: settled db status
    """


@db.command()
@config_option
@click.option("--dry-run", is_flag=True, help="Show what would be applied; apply nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def upgrade(config: Path | None, dry_run: bool, as_json: bool) -> None:
    """Apply the migrations that are missing; safe to run twice, also at once.

    Example: settled db upgrade --config settled.toml
    """
    from service.storage import database

    configuration = load_settings(config)
    url = postgres_url(configuration)
    if dry_run:
        show_pending(database.pending(url), as_json=as_json)
        return
    applied = database.upgrade(url)
    if as_json:
        show_object({"applied": applied})
        return
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("up to date")


@db.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def status(config: Path | None, as_json: bool) -> None:
    """Tell which migrations are missing; exit 6 if any is.

    Example: settled db status --json
    """
    from service.storage import database

    configuration = load_settings(config)
    missing = database.pending(postgres_url(configuration))
    show_pending(missing, as_json=as_json)
    refuse_pending(missing)


def show_pending(missing: list[str], *, as_json: bool) -> None:
    if as_json:
        show_object({"current": not missing, "pending": missing})
    else:
        click.echo("\n".join(f"pending {name}" for name in missing) or "up to date")


def with_pool(configuration: Settings, ask: Callable[["Pool"], Awaitable[T]]) -> T:
    """Return what ask finds out with a pool of the configured database, open for that long.

    Raises Unavailable when PostgreSQL is away, ProblemFound when it is not migrated.
    """
    from service.storage.database import pending, pool_of

    url = postgres_url(configuration)
    refuse_pending(pending(url))

    async def answer() -> T:
        opened = pool_of(url, application="command", connections_max=CONNECTIONS_MAX)
        async with opened as pool:
            return await ask(pool)

    return asyncio.run(answer())


def postgres_url(configuration: Settings) -> str:
    """Return where PostgreSQL is: configured, or embedded and started by `settled up`.

    A configured one is found although embedded Redis is not running. Raises Unavailable.
    """
    if configuration.database.url is not None:
        return configuration.database.url.reveal()
    from service.runtime import find_servers

    return find_servers(configuration).postgres


def refuse_pending(missing: list[str]) -> None:
    """Raise ProblemFound when migrations are missing."""
    if missing:
        raise ProblemFound(
            f"the database lacks {', '.join(missing)}; `settled db upgrade` applies what is missing"
        )
