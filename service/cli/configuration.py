"""`settled init`, and the option that tells every other verb where the configuration is."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from service.cli.example import EXAMPLE
from service.cli.exits import NotConfirmed
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
    """Read the configuration that --config names. Raises Misconfigured."""
    return load(config, os.environ)


def say_where(configuration: Settings) -> None:
    """Say on stderr which configuration, database and mode this is."""
    database = "embedded" if configuration.database.embedded else "configured"
    mode = configuration.settled.mode.upper()
    click.echo(f"settled {mode}: {configuration.source}, database {database}", err=True)


@click.command()
@click.argument("path", default="settled.toml", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is already there.")
def init(path: Path, force: bool) -> None:
    """Write a commented configuration to PATH (settled.toml); it starts as it is.

    Only its owner can read the file, since secrets may be written into it.
    """
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
