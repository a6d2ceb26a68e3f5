"""`settled recover`: send a window of notifications to one endpoint again, planned first."""

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.cli.acting import load_to_act, reason_option, rung, say_dry, who
from service.cli.completion import complete_endpoints
from service.cli.configuration import config_option
from service.cli.database import with_pool
from service.cli.endpoints import named
from service.cli.exits import NotConfirmed, ProblemFound
from service.cli.output import Json, as_text, show_fields, show_object
from service.cli.reconcile import moment_in
from service.settings import Endpoint, Settings

if TYPE_CHECKING:
    from service.cli.recover_progress import Show
    from service.flow.recover import Plan
    from service.storage.database import Pool
    from service.storage.recoveries import Window

LOOK_SECONDS = 0.5


@click.command()
@config_option
@click.option(
    "--endpoint",
    "name",
    required=True,
    help="Where to send them.",
    shell_complete=complete_endpoints,
)
@click.option(
    "--since", required=True, help="Where the window begins: so long ago, or an RFC 3339 time."
)
@click.option("--until", help="Where it ends: so long ago, or an RFC 3339 time; default: now.")
@reason_option
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
@click.option("--yes", is_flag=True, help="Send without being asked.")
def recover(
    config: Path | None,
    name: str,
    since: str,
    until: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
    yes: bool,
) -> None:
    """Send the notifications of a window to one endpoint again, each once, in order per request.

    Counts them first, by type and by what became of them, and asks. They go out by the endpoint's
    lane, at its rate; what still waits goes out anyway. An endpoint that is new gets what it never
    had. Workers and beat have to be running.

    Ctrl-C stops it, and within a day the same command goes on where it stopped. Without a
    terminal it takes --yes, else exit 7. Exit 6 when some were turned down again.

    Example: settled recover --endpoint erp --since 2d --until 3h --dry-run
    """
    window = asked(since, until, now=datetime.now(UTC))
    configuration = load_to_act(config)
    endpoint = named(configuration, name)
    planned = with_pool(configuration, lambda pool: plan_it(pool, endpoint, window))
    click.echo(in_words(planned), err=True)
    if dry_run or not planned.planned:
        say_dry(f"{planned.planned} would go out" if dry_run else "there is nothing to send")
        show(planned.as_json(), as_json=as_json)
        return
    confirm(configuration, planned, yes=yes)
    ended = run_it(configuration, endpoint, window, reason)
    show(ended, as_json=as_json)
    refuse(ended)


def asked(since: str, until: str | None, *, now: datetime) -> "Window":
    """Return the window that the options name. Raises BadParameter."""
    from service.storage.recoveries import Window

    begins, first = moment_in(since, option="--since", now=now)
    ends, last = moment_in(until, option="--until", now=now) if until else (now, "now")
    if begins >= min(ends, now):
        raise click.BadParameter("expected a time before --until", param_hint="--since")
    return Window(f"{first} to {last}", begins, min(ends, now))


async def plan_it(pool: "Pool", endpoint: Endpoint, window: "Window") -> "Plan":
    from service.flow.recover import plan

    return await plan(pool, endpoint, window)


def in_words(planned: "Plan") -> str:
    """Return a plan as a line, and one for each type."""
    counts = ", ".join(f"{count} {name}" for name, count in sorted(planned.by_state.items()))
    takes = f"about {planned.seconds:.0f} s at the rate of {planned.endpoint}"
    lane = "" if planned.lane in ("open", "draining") else f"; its lane is {planned.lane}"
    first = f"{planned.planned} notifications ({counts or 'none'}), {takes}{lane}"
    return "\n".join([first, *(f"  {n} {kind}" for kind, n in sorted(planned.by_type.items()))])


def confirm(configuration: Settings, planned: "Plan", *, yes: bool) -> None:
    """Have a person confirm what goes out. Raises NotConfirmed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed("look with --dry-run first, then give --yes")
    live = "LIVE " if configuration.settled.live else ""
    if not click.confirm(f"Send them to the {live}endpoint {planned.endpoint} again?", err=True):
        raise NotConfirmed("nothing was sent")


def run_it(
    configuration: Settings, endpoint: Endpoint, window: "Window", reason: str | None
) -> Json:
    """Begin a recovery, or go on with it, and show its progress to the end; return how it stands.

    Raises Abort, with the recovery stopped, when a signal comes.
    """
    from service.cli.recover_progress import shown_progress
    from service.flow.recover import begin, stop
    from service.nudge import DELIVER

    stopping = asyncio.Event()

    async def run(pool: "Pool") -> Json:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        begun = await begin(pool, endpoint, window, who=who(), reason=reason)
        wake()
        with shown_progress(gone_on_with=begun.queued > 0) as progress:
            ended = await watch(pool, begun.id, stopping, progress)
        if ended["state"] == "running":
            await stop(pool, begun.id, who=who(), reason="interrupted")
        return ended

    with rung(configuration, DELIVER) as wake:
        ended = with_pool(configuration, run)
    if stopping.is_set() and ended["state"] != "finished":
        click.echo("interrupted; the same command goes on from here", err=True)
        raise click.Abort
    return ended


async def watch(pool: "Pool", recovery_id: str, stopping: asyncio.Event, moved: "Show") -> Json:
    """Show how far a recovery is until it ends or stopping is set; return how it stands."""
    from service.storage.views.recoveries import find_recovery

    while True:
        recovery = await find_recovery(pool, recovery_id)
        assert recovery is not None, "rows of recoveries stay"
        moved(recovery)
        if recovery["state"] != "running" or stopping.is_set():
            return recovery
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await stopping.wait()
        except TimeoutError:
            continue


def refuse(ended: Json) -> None:
    """Raise ProblemFound where a recovery did not bring everything over."""
    if ended["state"] == "stopped":
        raise ProblemFound("somebody stopped it; the same command goes on from here")
    if ended["dead"]:
        raise ProblemFound(
            f"{ended['dead']} were turned down again;"
            f" see: settled deliveries list --endpoint {ended['endpoint']} --state dead"
        )


def show(item: Json, *, as_json: bool) -> None:
    if as_json:
        show_object(item)
    else:
        show_fields({name: as_text(value) for name, value in item.items()})
