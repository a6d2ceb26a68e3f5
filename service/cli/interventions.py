"""`settled interventions`: who did what, when and why."""

from pathlib import Path

import click

from service.cli.completion import complete_endpoints
from service.cli.configuration import config_option, load_settings
from service.cli.database import with_pool
from service.cli.listing import limit_option, lines_option, show_page, since_in

COLUMNS = ("at", "did", "who", "reason", "endpoint", "subject_id", "about")


@click.group()
def interventions() -> None:
    """Look at what persons did.

    Example: settled interventions list --since 7d
    """


@interventions.command("list")
@config_option
@click.option("--endpoint", help="Only at this endpoint.", shell_complete=complete_endpoints)
@click.option("--since", help="Done since then: so long ago, or an RFC 3339 time.")
@limit_option
@lines_option
def list_all(
    config: Path | None, endpoint: str | None, since: str | None, limit: int, as_json: bool
) -> None:
    """List what persons did, the newest first: pauses, resends, replays, decisions.

    Example: settled interventions list --endpoint erp --since 7d
    """
    from service.storage.views.interventions import InterventionFilter, list_interventions

    began = since_in(since)
    chosen = InterventionFilter(endpoint=endpoint, since=began)
    configuration = load_settings(config)
    page = with_pool(
        configuration, lambda pool: list_interventions(pool, chosen, after=None, limit=limit)
    )
    show_page(page, COLUMNS, limit=limit, as_json=as_json)
