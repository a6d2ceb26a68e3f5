"""/console/requests: the list, one request with its timeline, and what one may do with it."""

import re

from starlette.responses import Response

from service.domain.lifecycle import PERSON_CODES_ORDER, PERSON_CODES_REQUEST
from service.domain.status import Status
from service.errors import NotFound
from service.flow.acknowledge import Acknowledgement, acknowledge_request
from service.flow.intervene import sync_now
from service.runtime import utc_now
from service.storage.views.orders import find_order
from service.storage.views.reading import Json
from service.storage.views.requests import RequestFilter, find_request, list_requests
from service.storage.views.timeline import list_timeline
from service.web.api.acknowledge import CODE_CHARACTERS_MAX
from service.web.console.forms import Form
from service.web.console.page import ROWS, Visit, act, go, read

# How long a page waits for the read that its reader asked for: longer feels broken.
SYNC_WAIT_SECONDS = 8.0
ENTRIES = 200

_ID = re.compile("prq_[0-9a-z]{1,64}", re.ASCII)


async def list_all(visit: Visit) -> Response:
    query = visit.query("status", "account", "reference", "provider_id", "attention")
    chosen = RequestFilter(
        status=query.word("status", Status),
        account=query.text("account"),
        reference=query.text("reference"),
        provider_id=query.text("provider_id"),
        attention=True if query.word("attention", ["yes"]) else None,
    )
    page = await list_requests(visit.here.pool, chosen, after=query.cursor(), limit=ROWS)
    following = visit.next_page(
        page,
        status=chosen.status,
        account=chosen.account,
        reference=chosen.reference,
        provider_id=chosen.provider_id,
        attention=chosen.attention,
    )
    return visit.show(
        "requests.html",
        page=page,
        chosen=chosen,
        following=following,
        statuses=list(Status),
        accounts=sorted(visit.here.accounts),
    )


async def show(visit: Visit) -> Response:
    query = visit.query()
    request = await _found(visit)
    timeline = await list_timeline(
        visit.here.pool, request["id"], after=query.cursor(), limit=ENTRIES
    )
    return visit.show(
        "request.html",
        request=request,
        order_reference=await _order_reference(visit, request),
        timeline=timeline,
        following=visit.next_page(timeline),
        of_request=PERSON_CODES_REQUEST,
        of_order=PERSON_CODES_ORDER,
    )


async def sync(visit: Visit, form: Form) -> Response:
    request = await _found(visit)
    finished = await sync_now(
        visit.here.pool,
        request_id=request["id"],
        wake=visit.here.wake,
        wait_seconds=SYNC_WAIT_SECONDS,
        who=visit.who,
        reason=form.reason(),
    )
    return go(f"/console/requests/{request['id']}", done="read" if finished else "waiting")


async def acknowledge(visit: Visit, form: Form) -> Response:
    request = await _found(visit)
    await acknowledge_request(
        visit.here.pool,
        request_id=request["id"],
        acknowledgement=acknowledgement_in(visit, form),
    )
    return go(f"/console/requests/{request['id']}", done="acknowledged")


def acknowledgement_in(visit: Visit, form: Form) -> Acknowledgement:
    """Return which code a form says is seen to, and why. Raises Malformed."""
    code = form.text("code", characters_max=CODE_CHARACTERS_MAX)
    return Acknowledgement(code, form.reason(), visit.who, utc_now())


async def _order_reference(visit: Visit, request: Json) -> str | None:
    """Return the reference of a request's order, which may be spelled unlike its own."""
    if request["order_id"] is None or request["reference"] is None:
        return None
    order = await find_order(visit.here.pool, request["reference"])
    return order["reference"] if order and order["id"] == request["order_id"] else None


async def _found(visit: Visit) -> Json:
    request_id = str(visit.request.path_params["id"])
    shown = await find_request(visit.here.pool, request_id) if _ID.fullmatch(request_id) else None
    if shown is None:
        raise NotFound("no such request")
    return shown


ROUTES = [
    read("/console/requests", list_all),
    read("/console/requests/{id}", show),
    act("/console/requests/{id}/sync", sync),
    act("/console/requests/{id}/acknowledge", acknowledge),
]
