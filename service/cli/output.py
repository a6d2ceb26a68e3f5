"""How the looking verbs answer: JSON for programs, a table on a terminal, plain columns elsewhere.

Data goes to stdout. What providers and payers wrote is shown as text only: it can neither move the
cursor of a terminal nor mark up a table.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

Json = Mapping[str, Any]

# Between two columns of plain text.
GAP = "  "


def show_object(item: Json) -> None:
    """Print one object as JSON, on one line."""
    click.echo(json.dumps(item))


def show_objects(items: Iterable[Json]) -> None:
    """Print a list as NDJSON: one object on each line."""
    for item in items:
        show_object(item)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under columns: a table on a terminal, aligned plain text otherwise."""
    shown = [[as_text(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _show_rich_table(columns, shown)
        return
    widths = [max(map(len, cells)) for cells in zip(columns, *shown, strict=True)]
    for row in [[column.upper() for column in columns], *shown]:
        line = GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def show_fields(fields: Mapping[str, object]) -> None:
    """Print one thing, a field on each line."""
    width = max(map(len, fields))
    for name, value in fields.items():
        click.echo(f"{name.ljust(width)}{GAP}{as_text(value)}")


def as_text(value: object) -> str:
    """Return a value as one line of printable text, "-" for nothing.

    Amounts read as on an invoice: 40.00 EUR.
    """
    match value:
        case None | "" | [] | {} if not value:
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case {"currency": currency, "decimal": decimal}:
            text = f"{decimal} {currency}"
        case list():
            text = ", ".join(map(as_text, value))
        case dict():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = str(value)
    return "".join(character if character.isprintable() else "?" for character in text)


def _show_rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    # Without colours there is no bold, either: a list that is kept has no control characters.
    Console(color_system=None if os.environ.get("NO_COLOR") else "auto").print(table)
