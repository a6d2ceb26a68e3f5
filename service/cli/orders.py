"""`settled orders`: what the ERP wants paid, and how far it is."""

from pathlib import Path

import click

from service.cli.configuration import config_option, load_settings
from service.cli.database import with_pool
from service.cli.decisions import show_decisions
from service.cli.listing import limit_option, lines_option, show_page
from service.cli.output import Json, as_text, show_fields, show_object, show_table
from service.domain.order import OrderStatus
from service.errors import NotFound

COLUMNS = ("reference", "status", "amount", "received", "attention", "updated_at")
REQUEST_COLUMNS = ("id", "account", "provider_id", "status", "received", "refunded", "final")


@click.group()
def orders() -> None:
    """Look at orders.

    Example: settled orders show INV-1043
    """


@orders.command("list")
@config_option
@click.option("--status", type=click.Choice([str(status) for status in OrderStatus]))
@click.option("--search", metavar="TEXT", help="Any part of a reference.")
@click.option("--attention", is_flag=True, help="Only those that ask for a person.")
@limit_option
@lines_option
def list_all(
    config: Path | None,
    status: str | None,
    search: str | None,
    attention: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List orders, the one that changed last first.

    Example: settled orders list --status overpaid
    """
    from service.storage.views.orders import OrderFilter, search_orders

    configuration = load_settings(config)
    chosen = OrderFilter(status=status, q=search, attention=attention or None)
    page = with_pool(configuration, lambda pool: search_orders(pool, chosen, limit=limit))
    show_page(page, COLUMNS, limit=limit, as_json=as_json)


@orders.command()
@config_option
@click.argument("reference", metavar="REF")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def show(config: Path | None, reference: str, as_json: bool) -> None:
    """Show the order with the ERP's reference REF, and its requests; exit 5 if there is none.

    Example: settled orders show INV-1043
    """
    from service.storage.views.orders import find_order

    configuration = load_settings(config)
    order = with_pool(configuration, lambda pool: find_order(pool, reference))
    if order is None:
        raise NotFound(f"no order with reference {reference!r}")
    if as_json:
        show_object(order)
    else:
        show_order(order)


def show_order(order: Json) -> None:
    """Print an order for a person: its fields, its requests, and what persons decided."""
    tables = ("requests", "decisions")
    show_fields({name: value for name, value in order.items() if name not in tables})
    if order["requests"]:
        click.echo()
        rows = [
            [as_text(request[name]) for name in REQUEST_COLUMNS] for request in order["requests"]
        ]
        show_table(REQUEST_COLUMNS, rows)
    show_decisions(order["decisions"])
