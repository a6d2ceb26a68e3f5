"""`settled init`, and the option that tells every other verb where the configuration is."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from service.cli.example import EXAMPLE
from service.cli.exits import NotConfirmed
from service.cli.output import as_text
from service.errors import Misconfigured
from service.settings import Settings, load

F = TypeVar("F", bound=Callable[..., Any])

OWNER_ONLY = 0o600


def config_option(verb: F) -> F:
    """Give a verb the option --config, which arrives as config: Path | None."""
    option = click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Configuration file; else $SETTLED_CONFIG, else ./settled.toml.",
    )
    return option(verb)


def load_settings(config: Path | None) -> Settings:
    """Read the configuration that --config names, and say on stderr which it is.

    Also which database and which mode, so that nobody acts on another than they think. Raises
    Misconfigured.
    """
    configuration = load(config, os.environ)
    mode = configuration.settled.mode.upper()
    database = database_of(configuration)
    click.echo(f"settled {mode}: {configuration.source}, database {database}", err=True)
    return configuration


def database_of(configuration: Settings) -> str:
    """Return which database it is, without user or password. Raises Misconfigured."""
    if configuration.database.url is None:
        return f"embedded in {configuration.settled.data_dir}"
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(configuration.database.url.reveal())
    except ProgrammingError:
        # What it complains of may hold the password.
        raise Misconfigured(
            f"{configuration.source}: database.url: expected a URL such as"
            " postgresql://USER:PASSWORD@HOST:PORT/NAME, its parts percent-encoded"
        ) from None
    host, port = parts.get("host") or "this machine", parts.get("port")
    return as_text(f"{parts.get('dbname') or 'default'} at {host}{f':{port}' if port else ''}")


@click.command()
@click.argument("path", default="settled.toml", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is already there.")
@click.option("--dry-run", is_flag=True, help="Print what would be written; write nothing.")
def init(path: Path, force: bool, dry_run: bool) -> None:
    """Write a commented configuration to PATH (settled.toml); it starts as it is.

    Only its owner can read the file, since secrets may be written into it. Without --force a
    file that is there is kept, and the exit code is 7.

    Example: settled init settled.toml
    """
    if dry_run:
        click.echo(EXAMPLE, nl=False)
        return
    try:
        write_owner_only(path, EXAMPLE, replace=force)
    except FileExistsError:
        raise NotConfirmed(f"{path} is there already; --force replaces it") from None
    except OSError as error:
        raise click.FileError(str(path), hint=error.strerror) from error
    click.echo(f"Wrote {path}. Start with: settled up --config {path}", err=True)


def write_owner_only(path: Path, text: str, *, replace: bool) -> None:
    """Write text to a new file, or over an old one with replace. Raises OSError."""
    how = os.O_TRUNC if replace else os.O_EXCL
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, OWNER_ONLY)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, OWNER_ONLY)
        file.write(text)
