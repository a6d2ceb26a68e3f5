"""`settled events`: what providers called us about; look at them, or process one again."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.cli.acting import load_to_act, reason_option, rung, say_dry, who
from service.cli.completion import complete_accounts
from service.cli.configuration import config_option, load_settings
from service.cli.database import with_pool
from service.cli.exits import ProblemFound
from service.cli.listing import limit_option, lines_option, show_page, since_in
from service.cli.output import Json, show_fields, show_object
from service.domain.event import EventVerdict
from service.errors import Conflict, NotFound, Unavailable

if TYPE_CHECKING:
    from service.storage.database import Pool

WAIT_SECONDS = 15
WAIT_SECONDS_MAX = 300

COLUMNS = (
    *("id", "account", "kind", "provider_id", "received_at", "verdict", "reason", "request_id"),
)


@click.group()
def events() -> None:
    """Look at events, or process one again.

    Example: settled events list --verdict parked
    """


@events.command("list")
@config_option
@click.option("--account", help="Only events of this account.", shell_complete=complete_accounts)
@click.option("--verdict", type=click.Choice([str(verdict) for verdict in EventVerdict]))
@click.option("--provider-id", help="Only about this identifier at the provider.")
@click.option("--since", help="Received since then: so long ago, or an RFC 3339 time.")
@limit_option
@lines_option
def list_all(
    config: Path | None,
    account: str | None,
    verdict: str | None,
    provider_id: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List events, the newest first.

    Example: settled events list --account ginger-nl --since 1h
    """
    from service.storage.views.events import EventFilter, list_events

    chosen = EventFilter(
        account=account,
        verdict=verdict,
        provider_id=provider_id,
        since=since_in(since),
    )
    configuration = load_settings(config)
    page = with_pool(configuration, lambda pool: list_events(pool, chosen, after=None, limit=limit))
    show_page(page, COLUMNS, limit=limit, as_json=as_json)


@events.command()
@config_option
@click.argument("event_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def show(config: Path | None, event_id: str, as_json: bool) -> None:
    """Show the event with our id ID (evt_...); exit 5 if there is none.

    Example: settled events show evt_01m9x0c5n8qk4v7t2w6y3z1a0b
    """
    configuration = load_settings(config)
    show_event(with_pool(configuration, lambda pool: find(pool, event_id)), as_json=as_json)


@events.command()
@config_option
@click.argument("event_id", metavar="ID")
@reason_option
@click.option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(0, WAIT_SECONDS_MAX),
    default=WAIT_SECONDS,
    show_default=True,
    help="Seconds to wait for the read.",
)
@click.option("--dry-run", is_flag=True, help="Show the event; read nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def replay(
    config: Path | None,
    event_id: str,
    reason: str | None,
    wait_seconds: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Process the event ID again: a worker reads now what it names at its provider.

    What the event said is not looked at, so an old one does no harm, and a parked one is read as
    well. Exit 4 when no read has finished in time (it stays due), 6 for an event about no
    request, 5 if there is no such event.

    Example: settled events replay evt_01m9x0c5n8qk4v7t2w6y3z1a0b
    """
    from service.flow import intervene
    from service.nudge import SYNC
    from service.runtime import connect_accounts

    configuration = load_to_act(config)
    accounts = connect_accounts(configuration)
    with rung(configuration, SYNC) as wake:

        async def replay_and_find(pool: "Pool") -> tuple[bool, Json]:
            finished = dry_run or await intervene.replay(
                pool,
                event_id=event_id,
                accounts=accounts,
                wake=wake,
                wait_seconds=wait_seconds,
                who=who(),
                reason=reason,
            )
            return finished, await find(pool, event_id)

        try:
            finished, event = with_pool(configuration, replay_and_find)
        except Conflict as error:
            raise ProblemFound(str(error)) from error
    if dry_run:
        say_dry(f"{event['provider_id'] or 'nothing'} would be read at {event['account']}")
    show_event(event, as_json=as_json)
    if not finished:
        raise Unavailable(
            f"no read for {event_id} finished within {wait_seconds} s; it stays due."
            " Is a worker running, and does the provider answer?"
        )


async def find(pool: "Pool", event_id: str) -> Json:
    """Return the event with this id. Raises NotFound."""
    from service.storage.views.events import find_event

    found = await find_event(pool, event_id)
    if found is None:
        raise NotFound(f"no event {event_id!r}, or it is older than what is kept")
    return found


def show_event(event: Json, *, as_json: bool) -> None:
    """Print an event: for a program, or a field on each line for a person."""
    if as_json:
        show_object(event)
    else:
        show_fields(event)
