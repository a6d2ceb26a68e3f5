"""`settled reconcile`: compare the requests of a window with their providers, and repair."""

import asyncio
import logging
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.cli.completion import complete_accounts
from service.cli.configuration import config_option, load_settings
from service.cli.database import postgres_url, refuse_pending
from service.cli.exits import NotConfirmed, ProblemFound
from service.cli.output import show_table
from service.errors import NotFound, Unavailable
from service.settings import Expected, Settings

if TYPE_CHECKING:
    from service.cli.drift import Teller
    from service.fetch import ConnectedAccount
    from service.flow.look import SyncParts
    from service.storage.reconciles import Ask, Run


@dataclass(slots=True)
class Outcome:
    """What all accounts came to, and what stood in the way of some."""

    runs: list["Run"] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)


@click.command()
@config_option
@click.option(
    "--account",
    help="Only requests of this account.",
    shell_complete=complete_accounts,
)
@click.option(
    "--since",
    default="7d",
    show_default=True,
    help="Where the window begins: so long ago, or an RFC 3339 time.",
)
@click.option("--until", help="Where it ends: so long ago, or an RFC 3339 time; default: now.")
@click.option("--dry-run", is_flag=True, help="Read and compare; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object per drift.")
@click.option("--yes", is_flag=True, help="Repair without being asked, also in live mode.")
def reconcile(
    config: Path | None,
    account: str | None,
    since: str,
    until: str | None,
    dry_run: bool,
    as_json: bool,
    yes: bool,
) -> None:
    """Read the requests of a window at their providers, print drift, and repair it.

    Compares what was made or changed in the window, and what the provider's list shows there.
    Stays within each account's call budget. Exit 6 if drift was found, 0 if none. After Ctrl-C
    the same command goes on where it stopped, for a day.

    Example: settled reconcile --account ginger-nl --since 7d --dry-run
    """
    from service.runtime import connect_accounts
    from service.storage.database import pending
    from service.telemetry import logs

    window = asked(since, until, dry_run=dry_run, now=datetime.now(UTC))
    configuration = load_settings(config)
    known = connect_accounts(configuration)
    if account is not None and account not in known:
        there_are = ", ".join(known) or "none"
        raise NotFound(f"no account {account!r} in {configuration.source}; there are: {there_are}")
    confirm(configuration, dry_run=dry_run, yes=yes)
    refuse_pending(pending(postgres_url(configuration)))
    logs.configure(configuration.settled.log, role="command", level=logging.ERROR)
    chosen = [account] if account is not None else list(known)
    refuse(run_all(configuration, chosen, window, as_json=as_json), dry_run=dry_run)


def asked(since: str, until: str | None, *, dry_run: bool, now: datetime) -> "Ask":
    """Return the window that the options name. Raises BadParameter.

    The same lengths of time name the same window, whenever they are given.
    """
    from service.storage.reconciles import Ask

    begins, first = moment_in(since, option="--since", now=now)
    ends, last = moment_in(until, option="--until", now=now) if until else (now, "now")
    if begins >= ends:
        raise click.BadParameter("expected a time before --until", param_hint="--since")
    return Ask(f"{first} to {last}", begins, ends, dry_run)


def moment_in(text: str, *, option: str, now: datetime) -> tuple[datetime, str]:
    """Return the time that an option names, and its name. Raises BadParameter."""
    from service.flow import window

    try:
        return window.moment_in(text, now=now)
    except Expected as error:
        raise click.BadParameter(f"expected {error}", param_hint=option) from None


def confirm(configuration: Settings, *, dry_run: bool, yes: bool) -> None:
    """Have a repair in live mode confirmed. Raises NotConfirmed."""
    if dry_run or yes or not configuration.settled.live:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed("this repairs LIVE requests; look with --dry-run first, then give --yes")
    if not click.confirm("Repair LIVE requests that drifted?", err=True):
        raise NotConfirmed("nothing was read or changed")


def run_all(
    configuration: Settings, names: Sequence[str], window: "Ask", *, as_json: bool
) -> Outcome:
    """Reconcile accounts one after the other, showing drift and progress. Raises Abort."""
    from service.cli.drift import COLUMNS, Teller
    from service.cli.reconcile_progress import shown_progress
    from service.runtime import introduce, open_runtime, sync_parts

    rows: list[list[str]] = []
    stopping = asyncio.Event()

    async def run() -> Outcome:
        stop_on_signals(stopping)
        async with open_runtime(configuration, role="command") as runtime:
            await introduce(runtime)
            parts = sync_parts(runtime, stopping=stopping, outbox_filled=runtime.wake_deliveries)
            accounts = [runtime.accounts[name] for name in names]
            with shown_progress() as show:
                listener = Teller(show, rows, as_json=as_json)
                return await reconcile_each(accounts, window, parts, listener)

    try:
        outcome = asyncio.run(run())
    except asyncio.CancelledError:
        outcome = None
    if not as_json and rows:
        show_table(COLUMNS, rows)
    if outcome is None or stopping.is_set():
        click.echo("interrupted; the same command goes on from here", err=True)
        raise click.Abort
    return outcome


def stop_on_signals(stopping: asyncio.Event) -> None:
    """Have Ctrl-C and SIGTERM end the running task.

    The event is for Python 3.11, where a cancellation can get lost in a wait for a connection.
    """
    task = asyncio.current_task()
    assert task is not None, "called from the main task"

    def stop() -> None:
        stopping.set()
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def reconcile_each(
    accounts: Sequence["ConnectedAccount"], window: "Ask", parts: "SyncParts", listener: "Teller"
) -> Outcome:
    from service.flow.reconcile import reconcile as reconcile_one

    outcome = Outcome()
    for account in accounts:
        try:
            run = await reconcile_one(account, window, parts=parts, listener=listener)
        except Unavailable as error:
            outcome.obstacles.append(str(error))
            if listener.last is not None and listener.last.account == account.name:
                outcome.runs.append(listener.last)
            continue
        if run is None:
            outcome.obstacles.append(f"{account.name}: another reconcile is under way")
        else:
            outcome.runs.append(run)
    return outcome


def refuse(outcome: Outcome, *, dry_run: bool) -> None:
    """Raise ProblemFound when drift was found, else Unavailable when not all could be compared."""
    drift: Counter[str] = sum((Counter(run.drift) for run in outcome.runs), Counter())
    unread = sum(run.unread for run in outcome.runs)
    unfinished = list(outcome.obstacles)
    if unread:
        unfinished.append(f"{unread} could not be read")
    left = f"; not complete: {', '.join(unfinished)}" if unfinished else ""
    if drift:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(drift.items()))
        done = "nothing was changed" if dry_run else "repaired, or due where marked so"
        raise ProblemFound(f"drift was found: {counts}; {done}{left}")
    if unfinished:
        raise Unavailable(f"no drift so far{left}")
    compared = sum(run.compared for run in outcome.runs)
    click.echo(f"no drift in {compared} requests", err=True)
