"""What the verbs that list have in common: how much they show, how, and that there is more."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from service.cli.output import Json, as_text, show_objects, show_table
from service.cli.reconcile import moment_in

if TYPE_CHECKING:
    from service.storage.views.reading import Page

LIMIT_DEFAULT = 50
LIMIT_MAX = 500

limit_option = click.option(
    "--limit", type=click.IntRange(1, LIMIT_MAX), default=LIMIT_DEFAULT, show_default=True
)
lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Answer with one JSON object per line."
)


def since_in(text: str | None) -> datetime | None:
    """Return the time that --since names. Raises click's own error for what is no time."""
    return moment_in(text, option="--since", now=datetime.now(UTC))[0] if text else None


def show_page(
    page: "Page",
    columns: Sequence[str],
    *,
    limit: int,
    as_json: bool,
    row_of: Callable[[Json], Sequence[str]] | None = None,
) -> None:
    """Print a page of a list: for a program, or as a table with what row_of makes of an item."""

    def plain(item: Json) -> Sequence[str]:
        return [as_text(item[name]) for name in columns]

    if as_json:
        show_objects(page.items)
    else:
        show_table(columns, [(row_of or plain)(item) for item in page.items])
    if page.after is not None:
        click.echo(f"there are more than {limit}; --limit shows up to {LIMIT_MAX}", err=True)
