"""`settled deliveries`: what went to the ERP, and how; look at them, or send one again."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.cli.acting import load_to_act, reason_option, rung, say_dry, who
from service.cli.completion import complete_endpoints
from service.cli.configuration import config_option, load_settings
from service.cli.database import with_pool
from service.cli.listing import limit_option, lines_option, show_page, since_in
from service.cli.output import Json, as_text, show_fields, show_object, show_table
from service.errors import NotFound

if TYPE_CHECKING:
    from service.storage.database import Pool

STATES = ("waiting", "delivered", "dead", "superseded")

COLUMNS = (
    *("id", "endpoint", "type", "reference", "sequence", "state", "tries", "last", "created_at"),
)
ATTEMPT_COLUMNS = ("number", "at", "outcome", "status_code", "duration_ms", "excerpt")


@click.group()
def deliveries() -> None:
    """Look at deliveries, or send one again.

    Example: settled deliveries list --state dead
    """


@deliveries.command("list")
@config_option
@click.option("--endpoint", help="Only to this endpoint.", shell_complete=complete_endpoints)
@click.option("--state", type=click.Choice(STATES))
@click.option("--type", "kind", metavar="TYPE", help="Such as payment_request.paid.")
@click.option("--reference", help="Only about this order.")
@click.option("--request", "request_id", metavar="ID", help="Only about this request.")
@click.option("--since", help="Made since then: so long ago, or an RFC 3339 time.")
@limit_option
@lines_option
def list_all(
    config: Path | None,
    endpoint: str | None,
    state: str | None,
    kind: str | None,
    reference: str | None,
    request_id: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List deliveries, the newest first.

    Example: settled deliveries list --endpoint erp --state dead --since 7d
    """
    from service.storage.views.deliveries import DeliveryFilter, list_deliveries

    chosen = DeliveryFilter(
        endpoint=endpoint,
        state=state,
        type=kind,
        reference=reference,
        request_id=request_id,
        since=since_in(since),
    )
    configuration = load_settings(config)
    page = with_pool(
        configuration, lambda pool: list_deliveries(pool, chosen, after=None, limit=limit)
    )
    show_page(page, COLUMNS, limit=limit, as_json=as_json, row_of=row_of)


@deliveries.command()
@config_option
@click.argument("delivery_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def show(config: Path | None, delivery_id: str, as_json: bool) -> None:
    """Show the delivery with our id ID (dlv_...) and its attempts; exit 5 if there is none.

    Example: settled deliveries show dlv_01m9x0c5n8qk4v7t2w6y3z1a0b
    """
    configuration = load_settings(config)
    show_delivery(with_pool(configuration, lambda pool: find(pool, delivery_id)), as_json=as_json)


@deliveries.command()
@config_option
@click.argument("delivery_id", metavar="ID")
@reason_option
@click.option("--dry-run", is_flag=True, help="Show what would go out; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def resend(
    config: Path | None, delivery_id: str, reason: str | None, dry_run: bool, as_json: bool
) -> None:
    """Have the delivery ID go out again at once, whatever became of it; exit 5 if there is none.

    The notification keeps its id, bytes and sequence, and gets a fresh time and signature. It
    goes by the endpoint's lane as ever: one that is paused or on hold keeps it until it opens.

    Example: settled deliveries resend dlv_01m9x0c5n8qk4v7t2w6y3z1a0b --reason "ERP lost it"
    """
    from service.flow import intervene
    from service.nudge import DELIVER
    from service.storage.views.endpoints import find_endpoint

    configuration = load_to_act(config)
    with rung(configuration, DELIVER) as wake:

        async def resend_and_find(pool: "Pool") -> tuple[Json, Json | None]:
            if not dry_run:
                await intervene.resend(
                    pool, delivery_id=delivery_id, wake=wake, who=who(), reason=reason
                )
            found = await find(pool, delivery_id)
            return found, await find_endpoint(pool, found["endpoint"])

        found, endpoint = with_pool(configuration, resend_and_find)
    if dry_run:
        say_dry(f"{found['notification_id']} would go to {found['endpoint']} again")
    if endpoint is not None and endpoint["state"] in ("on_hold", "probing", "paused"):
        why = f" ({endpoint['reason']})" if endpoint["reason"] else ""
        click.echo(
            f"the lane of {endpoint['name']} is {endpoint['state']}{why}: it waits until it opens",
            err=True,
        )
    show_delivery(found, as_json=as_json)


async def find(pool: "Pool", delivery_id: str) -> Json:
    """Return the delivery with this id. Raises NotFound."""
    from service.storage.views.deliveries import find_delivery

    found = await find_delivery(pool, delivery_id)
    if found is None:
        raise NotFound(f"no delivery {delivery_id!r}")
    return found


def row_of(delivery: Json) -> list[str]:
    """Return a delivery as a row, with how often it was tried and what the last answer was."""
    tried = delivery["attempts"]
    last = tried[-1]["outcome"] if tried else None
    flat = {**delivery, "tries": len(tried), "last": last}
    return [as_text(flat[column]) for column in COLUMNS]


def show_delivery(delivery: Json, *, as_json: bool) -> None:
    """Print a delivery: for a program, or for a person its fields and then its attempts."""
    if as_json:
        show_object(delivery)
        return
    show_fields({name: value for name, value in delivery.items() if name != "attempts"})
    if delivery["attempts"]:
        click.echo()
        rows = [
            [as_text(attempt[name]) for name in ATTEMPT_COLUMNS] for attempt in delivery["attempts"]
        ]
        show_table(ATTEMPT_COLUMNS, rows)
