"""`settled listen`: what happens, as it happens."""

import asyncio
import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.cli.configuration import config_option, load_settings
from service.cli.database import with_pool
from service.cli.output import GAP, Json, as_text, show_object
from service.domain.notification import time_text
from service.errors import Unavailable
from service.settings import Settings

if TYPE_CHECKING:
    from service.storage.database import Pool

LOOK_SECONDS = 0.5
HEARTBEAT_SECONDS = 15

WHAT = ("intervention", "event", "transition", "notification", "attempt")


@click.command()
@config_option
@click.option(
    "--what", multiple=True, type=click.Choice(WHAT), help="Only this; may be given several times."
)
@click.option(
    "--heartbeat",
    "heartbeat_seconds",
    type=click.IntRange(1),
    default=HEARTBEAT_SECONDS,
    show_default=True,
    help="Seconds of silence before a line that says we still listen.",
)
@click.option("--limit", type=click.IntRange(1), help="End after so many; default: never.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object per line.")
def listen(
    config: Path | None,
    what: tuple[str, ...],
    heartbeat_seconds: int,
    limit: int | None,
    as_json: bool,
) -> None:
    """Follow live what happens from now on: events, transitions, notifications, attempts.

    And what persons do: a replay, a resend, a recovery, and the attempts that follow. A line of
    heartbeat says in between that we still listen. Ctrl-C ends it.

    Example: settled listen --what transition --what attempt --json
    """
    configuration = load_settings(config)
    listener = Listener(heartbeat_seconds, limit, as_json=as_json)
    with_pool(configuration, lambda pool: listener.run(pool, configuration, what or WHAT))
    if not listener.is_full:
        raise click.Abort


class Listener:
    """Shows what happens until it has shown limit entries, or a signal comes."""

    def __init__(self, heartbeat_seconds: float, limit: int | None, *, as_json: bool) -> None:
        self._heartbeat_seconds = heartbeat_seconds
        self._limit = limit
        self._as_json = as_json
        self._shown = 0
        self._said_at = time.monotonic()

    @property
    def is_full(self) -> bool:
        return self._limit is not None and self._shown >= self._limit

    async def run(self, pool: "Pool", configuration: Settings, what: tuple[str, ...]) -> None:
        """Look for news twice a second. PostgreSQL being away is told of, and waited for."""
        from service.storage.views.live import Live

        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        timeouts = [endpoint.timeout.total_seconds() for endpoint in configuration.endpoints]
        live = Live(pool, what, attempt_seconds=max(timeouts, default=0.0))
        await live.begin()
        click.echo("listening", err=True)
        while not (self.is_full or stopping.is_set()):
            try:
                self._show(await live.news())
            except Unavailable as error:
                click.echo(f"waiting for the database: {error}", err=True)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await stopping.wait()
            except TimeoutError:
                continue

    def _show(self, news: Sequence[Json]) -> None:
        for entry in news:
            if self.is_full:
                return
            self._say(entry)
            self._shown += 1
        if time.monotonic() - self._said_at >= self._heartbeat_seconds:
            self._say({"at": time_text(datetime.now(UTC)), "what": "heartbeat"})

    def _say(self, entry: Json) -> None:
        self._said_at = time.monotonic()
        if self._as_json:
            show_object(entry)
        else:
            click.echo(in_words(entry))


def in_words(entry: Json) -> str:
    """Return an entry as one line: when, what, about which order, and what there is to say."""
    about = entry.get("reference") or entry.get("subject_id") or entry.get("provider_id")
    match entry["what"]:
        case "heartbeat":
            return f"{entry['at']}{GAP}heartbeat"
        case "event":
            said = f"{entry['account']} {entry['verdict']} {entry['reason'] or ''}"
        case "transition":
            said = f"{as_text(entry['before'])} to {entry['after']}, by {entry['observed_by']}"
        case "notification":
            said = f"{entry['type']} {entry['sequence']}"
        case "attempt":
            said = (
                f"{entry['type']} {entry['sequence']} to {entry['endpoint']}, try"
                f" {entry['number']}: {entry['outcome']} in {entry['duration_ms']} ms"
            )
        case _:
            about = entry["about"] or entry["endpoint"]
            said = f"{entry['did']} by {entry['who']}: {as_text(entry['reason'])}"
    columns = (entry["at"], entry["what"].ljust(12), as_text(about).ljust(14), as_text(said))
    return GAP.join(columns).rstrip()
