"""/console/orders: the list, one order with its requests, and acknowledging what it asks.

An order is named by its reference as a parameter: it may hold any printable character.
"""

from starlette.responses import Response

from service.domain.lifecycle import PERSON_CODES_ORDER
from service.domain.order import OrderStatus
from service.errors import NotFound
from service.flow.acknowledge import acknowledge_order
from service.storage.views.orders import OrderFilter, find_order, list_orders
from service.storage.views.reading import Json
from service.web.api.requests import REFERENCE_CHARACTERS_MAX
from service.web.console.forms import Form
from service.web.console.page import ROWS, Visit, act, go, read
from service.web.console.requests import acknowledgement_in


async def list_all(visit: Visit) -> Response:
    query = visit.query("status", "q", "attention")
    chosen = OrderFilter(
        status=query.word("status", OrderStatus),
        begins=query.text("q"),
        attention=True if query.word("attention", ["yes"]) else None,
    )
    page = await list_orders(visit.here.pool, chosen, after=query.cursor(), limit=ROWS)
    following = visit.next_page(
        page, status=chosen.status, q=chosen.begins, attention=chosen.attention
    )
    return visit.show(
        "orders.html", page=page, chosen=chosen, following=following, statuses=list(OrderStatus)
    )


async def show(visit: Visit) -> Response:
    order = await _found(visit, visit.query("reference").text("reference"))
    return visit.show("order.html", order=order, of_order=PERSON_CODES_ORDER)


async def acknowledge(visit: Visit, form: Form) -> Response:
    order = await _found(visit, form.text("reference", characters_max=REFERENCE_CHARACTERS_MAX))
    await acknowledge_order(
        visit.here.pool,
        reference=order["reference"],
        acknowledgement=acknowledgement_in(visit, form),
        versions=None,
        endpoints=list(visit.here.endpoints.values()),
    )
    visit.here.wake_deliveries()
    return go("/console/order", reference=order["reference"], done="acknowledged")


async def _found(visit: Visit, reference: str | None) -> Json:
    shown = await find_order(visit.here.pool, reference) if reference else None
    if shown is None:
        raise NotFound("no order with this reference")
    return shown


ROUTES = [
    read("/console/orders", list_all),
    read("/console/order", show),
    act("/console/order/acknowledge", acknowledge),
]
