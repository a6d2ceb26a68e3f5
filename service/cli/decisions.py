"""What persons decided about an order or a request, for a person."""

from collections.abc import Sequence

import click

from service.cli.output import Json, as_text, show_table

COLUMNS = ("at", "what", "who", "reason")


def show_decisions(decisions: Sequence[Json]) -> None:
    """Print decisions as a table, oldest first; nothing when there are none."""
    if not decisions:
        return
    click.echo()
    rows = [
        [*(as_text(decision[name]) for name in COLUMNS), _told(decision)] for decision in decisions
    ]
    show_table((*COLUMNS, "decided"), rows)


def _told(decision: Json) -> str:
    match decision["what"]:
        case "acknowledgement":
            return as_text(decision["code"])
        case "link":
            where = f"{as_text(decision['from'])} -> {as_text(decision['to'])}"
            return f"{as_text(decision['request_id'])}: {where}"
        case _:
            return ", ".join(_change(decision, name) for name in decision["changed"])


def _change(amendment: Json, name: str) -> str:
    if name == "metadata":
        return name
    before, after = (as_text(amendment[when][name]) for when in ("before", "after"))
    return f"{name}: {before} -> {after}"
