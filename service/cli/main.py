"""The entry point of `settled`: finds the verb, and turns errors into exit codes.

A verb's module is imported when the verb is called, so that `settled --help` needs none of
them. Verbs raise; here alone an error becomes a line on stderr and an exit code.
"""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import TracebackType
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from service.cli.exits import INTERRUPTED, MEANINGS, NotConfirmed, ProblemFound, exit_code_of
from service.errors import SettledError


class Verb(NamedTuple):
    """Where a verb is, as "module:attribute" below this package, and what `--help` says of it."""

    target: str
    help: str


VERBS = {
    "demo": Verb("demo:demo", "Play the whole story on this machine, without any account."),
    "init": Verb("configuration:init", "Write a commented configuration file."),
    "doctor": Verb("doctor:doctor", "Check everything, and say what to mend."),
    "status": Verb("status:status", "Show how things stand, on one screen."),
    "up": Verb("processes:up", "Start everything in one terminal."),
    "web": Verb("processes:web", "Serve webhooks, API and console."),
    "worker": Verb("processes:worker", "Read requests and deliver notifications."),
    "beat": Verb("processes:beat", "Ring for what is due, and sweep."),
    "db": Verb("database:db", "Migrate the database, or show how far it is."),
    "orders": Verb("orders:orders", "Look at orders."),
    "requests": Verb("requests:requests", "Look at payment requests, or read one again."),
    "accounts": Verb("accounts:accounts", "Look at accounts, or check them live."),
    "events": Verb("events:events", "Look at events, or process one again."),
    "deliveries": Verb("deliveries:deliveries", "Look at deliveries, or send one again."),
    "endpoints": Verb("endpoints:endpoints", "Look at endpoints; pause, resume or try one."),
    "recover": Verb("recover:recover", "Send a window of notifications to an endpoint again."),
    "interventions": Verb("interventions:interventions", "Look at what persons did, and why."),
    "reconcile": Verb(
        "reconcile:reconcile", "Compare many requests with their providers, and repair."
    ),
    "listen": Verb("listen:listen", "Follow what happens, as it happens."),
    "explain": Verb("explain:explain", "Tell what a provider's status word means."),
    "evidence": Verb("evidence:evidence", "Write a request's history as a pack, or check one."),
    "verify": Verb("verify:verify", "Check a notification's signature, offline."),
    "sandbox": Verb("sandbox:sandbox", "Serve fake providers and a fake ERP."),
    "trigger": Verb("sandbox:trigger", "Play a story in the sandbox."),
    "completion": Verb("completion:completion", "Print what completes words in a shell."),
}

EPILOG = "\n\n".join(
    (
        "Example: settled demo --orders 40",
        "\b\nExit codes of every verb:\n"
        + "\n".join(f"  {str(code).ljust(5)}{meaning}" for code, meaning in MEANINGS.items()),
        "Data goes to stdout, talk and progress to stderr. NO_COLOR=1 turns colours off.",
    )
)


class VerbGroup(click.Group):
    """Knows the verbs by name and imports one only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name].target.partition(":")
        command: click.Command = getattr(import_module(f"service.cli.{module}"), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the verbs without importing any, since somebody waits at every key."""
        verbs = [
            CompletionItem(name, help=verb.help)
            for name, verb in VERBS.items()
            if name.startswith(incomplete)
        ]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="settled")
def settled() -> None:
    """Read the truth from payment providers and tell the ERP."""


def main() -> None:
    """Run the command line of this process and exit."""
    sys.excepthook = report_unexpected
    exit_code = run(sys.argv[1:])
    if exit_code == INTERRUPTED:
        # From here on a second Ctrl-C would end the interpreter in its last steps, not with 130.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Here, where a full disk is reported like any other error; at the very end Python would only
    # say 120.
    sys.stdout.flush()
    sys.exit(exit_code)


def run(arguments: Sequence[str]) -> int:
    """Run a verb and return the exit code; what is not ours to explain goes through."""
    try:
        result = settled.main(list(arguments), prog_name="settled", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except (SettledError, ProblemFound, NotConfirmed) as error:
        click.echo(f"settled: {error}", err=True)
        return exit_code_of(error)
    return result if isinstance(result, int) else 0


def report_unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Say in one line what went wrong; the interpreter then exits with 1."""
    if isinstance(error, OSError):
        # What could not be written stays in the buffer, and would fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if os.environ.get("SETTLED_DEBUG") == "1":
        sys.__excepthook__(kind, error, trace)
        return
    first_line = str(error).partition("\n")[0]
    click.echo(f"settled: unexpected {kind.__name__}: {first_line}", err=True)
    click.echo("SETTLED_DEBUG=1 shows where", err=True)


if __name__ == "__main__":
    main()
