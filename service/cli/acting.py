"""What the verbs by which a person acts share: who acts, what a dry run says, who is rung."""

import getpass
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from service.cli.configuration import load_settings
from service.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

REASON_CHARACTERS_MAX = 200


def reason_option(verb: F) -> F:
    """Give a verb the option --reason, which arrives as reason: str | None."""
    option = click.option(
        "--reason",
        callback=check_reason,
        help="Why; it is kept with who did it and when.",
    )
    return option(verb)


def check_reason(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    """Return a reason as it may be kept. Raises BadParameter."""
    if text is not None and not (text.isprintable() and 0 < len(text) <= REASON_CHARACTERS_MAX):
        raise click.BadParameter(f"expected 1 to {REASON_CHARACTERS_MAX} printable characters")
    return text


def load_to_act(config: Path | None) -> Settings:
    """Read the configuration, say which it is, and log errors only: what is done is shown."""
    from service.telemetry import logs

    configuration = load_settings(config)
    logs.configure(configuration.settled.log, role="command", level=logging.ERROR)
    return configuration


def who() -> str:
    """Return who acts, as it is written down."""
    try:
        return f"command:{getpass.getuser()}"
    except (OSError, KeyError):
        return "command"  # A user without a name, as containers have.


@contextmanager
def rung(configuration: Settings, task: str) -> Iterator[Callable[[], None]]:
    """Lend what rings the workers for a task.

    Blocks for a second at most. Unheard, it is beat's turn: what is due stays due.
    """
    from service.nudge import Bell
    from service.runtime import find_servers

    bell = Bell(find_servers(configuration).redis)

    def ring() -> None:
        bell.ring(task)

    try:
        yield ring
    finally:
        bell.close()


def say_dry(text: str) -> None:
    """Say on stderr what would be done."""
    click.echo(f"{text}; nothing was changed or sent", err=True)
