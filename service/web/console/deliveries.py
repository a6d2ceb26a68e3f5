"""/console/deliveries: the outbox; one delivery with its attempts; resend one or many, planned."""

import re
from collections import Counter
from collections.abc import Iterable

from starlette.responses import Response

from service.errors import Malformed, NotFound
from service.flow.intervene import resend as resend_delivery
from service.storage.views.deliveries import (
    STATES,
    DeliveryFilter,
    find_delivery,
    list_deliveries,
)
from service.storage.views.lanes import list_lanes
from service.storage.views.reading import Json
from service.web.console.drawn import chart_of_waiting
from service.web.console.forms import Form
from service.web.console.page import ROWS, Visit, act, go, read

RESENT_MAX = ROWS

_ID = re.compile("dlv_[0-9a-z_]{1,64}", re.ASCII)


async def list_all(visit: Visit) -> Response:
    query = visit.query("endpoint", "state", "reference", "request_id")
    chosen = DeliveryFilter(
        endpoint=query.text("endpoint"),
        state=query.word("state", STATES),
        about=query.text("reference"),
        request_id=query.text("request_id"),
    )
    page = await list_deliveries(visit.here.pool, chosen, after=query.cursor(), limit=ROWS)
    following = visit.next_page(
        page,
        endpoint=chosen.endpoint,
        state=chosen.state,
        reference=chosen.about,
        request_id=chosen.request_id,
    )
    return visit.show(
        "deliveries.html",
        page=page,
        chosen=chosen,
        following=following,
        states=STATES,
        endpoints=sorted(visit.here.endpoints),
        waiting=await chart_of_waiting(visit.here.pool),
    )


async def show(visit: Visit) -> Response:
    visit.query()
    (delivery,) = await _found(visit, [str(visit.request.path_params["id"])])
    return visit.show("delivery.html", delivery=delivery)


async def plan(visit: Visit) -> Response:
    """Show what would go out again, and to where; nothing is sent yet."""
    chosen = await _found(visit, visit.request.query_params.getlist("id"))
    lanes = {lane["name"]: lane for lane in await list_lanes(visit.here.pool)}
    counts = Counter(delivery["endpoint"] for delivery in chosen)
    return visit.show("resend.html", deliveries=chosen, lanes=lanes, counts=counts)


async def resend(visit: Visit, form: Form) -> Response:
    reason = form.reason()
    chosen = await _found(visit, form.all("id"))
    # The oldest first: news about one request goes out in the order in which it was made.
    for delivery in sorted(chosen, key=lambda each: each["id"]):
        await resend_delivery(
            visit.here.pool,
            delivery_id=delivery["id"],
            wake=visit.here.wake_deliveries,
            who=visit.who,
            reason=reason,
        )
    if len(chosen) == 1:
        return go(f"/console/deliveries/{chosen[0]['id']}", done="resent")
    return go("/console/deliveries", done="resent")


async def _found(visit: Visit, ids: Iterable[str]) -> list[Json]:
    """Return the deliveries of these ids. Raises NotFound for any that is none, Malformed."""
    wanted = list(dict.fromkeys(ids))
    if not 1 <= len(wanted) <= RESENT_MAX:
        raise Malformed(f"tick 1 to {RESENT_MAX} deliveries, then ask again", code="bad_choice")
    found = [
        await find_delivery(visit.here.pool, each) if _ID.fullmatch(each) else None
        for each in wanted
    ]
    if None in found:
        raise NotFound("no such delivery")
    return [delivery for delivery in found if delivery is not None]


ROUTES = [
    read("/console/deliveries", list_all),
    read("/console/deliveries/resend", plan),
    act("/console/deliveries/resend", resend),
    read("/console/deliveries/{id}", show),
]
