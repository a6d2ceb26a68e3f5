"""`settled completion`: the shell's part of completing words, and the names that we complete."""

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

# The variable by which a shell asks, as click derives it from the name of the command.
ASKING = "_SETTLED_COMPLETE"

SHELLS = ("bash", "zsh", "fish")

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes verbs, options and names in SHELL.

    Names of accounts and endpoints come from the configuration that the verb would read. Ids are
    not completed: there are too many.

    \b
    bash  eval "$(settled completion bash)" in ~/.bashrc
    zsh   eval "$(settled completion zsh)" in ~/.zshrc
    fish  settled completion fish > ~/.config/fish/completions/settled.fish

    Example: settled completion bash
    """
    script = get_completion_class(shell)
    assert script is not None, "click has all three"
    click.echo(script(context.find_root().command, {}, "settled", ASKING).source())


def names_of(table: str) -> Complete:
    """Return what completes a parameter with the names in a table of the configuration."""

    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        names = names_in(context.params.get("config"), table)
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

    return complete


def names_in(config: Path | None, table: str) -> list[str]:
    """Return the names that stand in a file's tables, and none of a file that cannot be read.

    Nothing else of it is judged: its secrets may be missing in the shell that asks, and a mistake
    is told by the verb.
    """
    file = config or Path(os.environ.get("SETTLED_CONFIG") or "settled.toml")
    try:
        content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    sections = content.get(table)
    if not isinstance(sections, list):
        return []
    names = [section.get("name") for section in sections if isinstance(section, dict)]
    return [name for name in names if isinstance(name, str)]


complete_accounts = names_of("account")
complete_endpoints = names_of("endpoint")
