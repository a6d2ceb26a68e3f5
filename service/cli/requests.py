"""`settled requests`: what payers were asked with; look at them, or have one read now."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.cli.acting import reason_option, rung, say_dry, who
from service.cli.completion import complete_accounts
from service.cli.configuration import config_option, load_settings
from service.cli.database import with_pool
from service.cli.decisions import show_decisions
from service.cli.listing import limit_option, lines_option, show_page
from service.cli.output import Json, show_fields, show_object
from service.cli.verify import parse_time
from service.domain.status import Status
from service.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from service.storage.database import Pool

# How long `sync` waits for its read by default: as long as the API does.
WAIT_SECONDS = 15
WAIT_SECONDS_MAX = 300

COLUMNS = ("id", "account", "reference", "provider_id", "status", "received", "attention")


@click.group()
def requests() -> None:
    """Look at payment requests, or read one again.

    Example: settled requests list --attention
    """


@requests.command("list")
@config_option
@click.option("--status", type=click.Choice([str(status) for status in Status]))
@click.option(
    "--account",
    help="Only requests of this account.",
    shell_complete=complete_accounts,
)
@click.option("--attention", is_flag=True, help="Only those that ask for a person.")
@limit_option
@lines_option
def list_all(
    config: Path | None,
    status: str | None,
    account: str | None,
    attention: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List requests, the one that changed last first.

    Example: settled requests list --account ginger-nl --status open
    """
    from service.storage.views.requests import RequestFilter, list_requests

    configuration = load_settings(config)
    chosen = RequestFilter(status=status, account=account, attention=attention or None)
    page = with_pool(
        configuration, lambda pool: list_requests(pool, chosen, after=None, limit=limit)
    )
    show_page(page, COLUMNS, limit=limit, as_json=as_json)


@requests.command()
@config_option
@click.argument("request_id", metavar="ID")
@click.option("--at", "at_text", metavar="TIME", help="As we knew it at TIME, RFC 3339.")
@click.option("--as-of", "as_of_text", metavar="TIME", help="As things stood at TIME.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def show(
    config: Path | None,
    request_id: str,
    at_text: str | None,
    as_of_text: str | None,
    as_json: bool,
) -> None:
    """Show the request with our id ID (prq_...); exit 5 if there is none.

    --at goes by the clock on which we learned, --as-of by the provider's, on which it happened;
    together they show what we knew at the one time of the other. Exit 5 before the first change.

    Example: settled requests show prq_01m9x0c5n8qk4v7t2w6y3z1a0b --at 2026-11-20T14:31:02Z
    """
    from service.storage.views.past import find_past

    at = parse_time(at_text, "--at") if at_text else None
    as_of = parse_time(as_of_text, "--as-of") if as_of_text else None
    configuration = load_settings(config)

    async def ask(pool: "Pool") -> Json:
        if at or as_of:
            return await find_past(pool, request_id, at=at, as_of=as_of)
        return await find(pool, request_id)

    show_request(with_pool(configuration, ask), as_json=as_json)


@requests.command()
@config_option
@click.argument("request_id", metavar="ID")
@reason_option
@click.option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(1, WAIT_SECONDS_MAX),
    default=WAIT_SECONDS,
    show_default=True,
    help="Seconds to wait for the read.",
)
@click.option("--dry-run", is_flag=True, help="Show the request; read nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def sync(
    config: Path | None,
    request_id: str,
    reason: str | None,
    wait_seconds: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Have a worker read ID at its provider now, and show what it is then.

    Exit 4 when no read has finished in time; the request stays due all the same.

    Example: settled requests sync prq_01m9x0c5n8qk4v7t2w6y3z1a0b
    """
    from service.flow.intervene import sync_now
    from service.nudge import SYNC

    configuration = load_settings(config)
    if dry_run:
        request = with_pool(configuration, lambda pool: find(pool, request_id))
        say_dry(f"{request['provider_id']} would be read at {request['account']}")
        show_request(request, as_json=as_json)
        return
    with rung(configuration, SYNC) as wake:

        async def sync_and_find(pool: "Pool") -> Json:
            finished = await sync_now(
                pool,
                request_id=request_id,
                wake=wake,
                wait_seconds=wait_seconds,
                who=who(),
                reason=reason,
            )
            if not finished:
                raise Unavailable(
                    f"no read of {request_id} finished within {wait_seconds} s; it stays due."
                    " Is a worker running, and does the provider answer?"
                )
            return await find(pool, request_id)

        show_request(with_pool(configuration, sync_and_find), as_json=as_json)


async def find(pool: "Pool", request_id: str) -> Json:
    """Return the request with this id. Raises NotFound."""
    from service.storage.views.requests import find_request

    found = await find_request(pool, request_id)
    if found is None:
        raise NotFound(f"no request {request_id!r}")
    return found


def show_request(request: Json, *, as_json: bool) -> None:
    """Print a request: for a program, or a field on each line for a person."""
    if as_json:
        show_object(request)
    else:
        show_fields({name: value for name, value in request.items() if name != "decisions"})
        show_decisions(request["decisions"])
