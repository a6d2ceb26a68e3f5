"""`settled interventions`: who did what, when and why."""

from datetime import UTC, datetime
from pathlib import Path

import click

from service.cli.completion import complete_endpoints
from service.cli.configuration import config_option, load_settings
from service.cli.database import with_pool
from service.cli.output import as_text, show_objects, show_table
from service.cli.reconcile import moment_in

LIMIT_DEFAULT = 50
LIMIT_MAX = 500

COLUMNS = ("at", "did", "who", "reason", "endpoint", "about")


@click.group()
def interventions() -> None:
    """Look at what persons did.

    Example: settled interventions list --since 7d
    """


@interventions.command("list")
@config_option
@click.option("--endpoint", help="Only at this endpoint.", shell_complete=complete_endpoints)
@click.option("--since", help="Done since then: so long ago, or an RFC 3339 time.")
@click.option(
    "--limit", type=click.IntRange(1, LIMIT_MAX), default=LIMIT_DEFAULT, show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object per line.")
def list_all(
    config: Path | None, endpoint: str | None, since: str | None, limit: int, as_json: bool
) -> None:
    """List what persons did, the newest first: pauses, resends, replays, decisions.

    Example: settled interventions list --endpoint erp --since 7d
    """
    from service.storage.views.interventions import InterventionFilter, list_interventions

    began = moment_in(since, option="--since", now=datetime.now(UTC))[0] if since else None
    chosen = InterventionFilter(endpoint=endpoint, since=began)
    configuration = load_settings(config)
    page = with_pool(
        configuration, lambda pool: list_interventions(pool, chosen, after=None, limit=limit)
    )
    if as_json:
        show_objects(page.items)
    else:
        show_table(COLUMNS, [[as_text(act[name]) for name in COLUMNS] for act in page.items])
    if page.after is not None:
        click.echo(f"there are more than {limit}; --limit shows up to {LIMIT_MAX}", err=True)
