"""/v1/deliveries: the outbox."""

import re

from starlette.requests import Request
from starlette.responses import Response

from service.errors import NotFound
from service.flow.intervene import resend as resend_delivery
from service.runtime import Runtime
from service.storage.database import Pool
from service.storage.views.deliveries import STATES, DeliveryFilter, find_delivery, list_deliveries
from service.storage.views.reading import Json
from service.web.api.acts import reason_in, who_in
from service.web.api.answers import json_response, page_response
from service.web.api.query import Query
from service.web.api.routing import resource

_ID = re.compile("dlv_[0-9a-z]{26}", re.ASCII)


async def list_all(request: Request) -> Response:
    """Answer a page of deliveries, newest first."""
    here: Runtime = request.state.runtime
    query = Query(
        request,
        "endpoint", "state", "type", "reference", "request_id", "since", "limit", "cursor",
    )  # fmt: skip
    chosen = DeliveryFilter(
        endpoint=query.text("endpoint"),
        state=query.word("state", STATES),
        type=query.text("type"),
        reference=query.text("reference"),
        request_id=query.text("request_id"),
        since=query.time("since"),
    )
    page = await list_deliveries(here.pool, chosen, after=query.cursor(), limit=query.limit())
    return page_response(page)


async def show(request: Request) -> Response:
    """Answer one delivery with its attempts."""
    here: Runtime = request.state.runtime
    Query(request)
    return json_response(await _found(here.pool, _id_in(request)))


async def resend(request: Request, body: bytes) -> Response:
    """Send a delivery again, whatever became of it: 202 with how it stands now."""
    here: Runtime = request.state.runtime
    Query(request)
    reason, delivery_id = reason_in(body), _id_in(request)
    await resend_delivery(
        here.pool,
        delivery_id=delivery_id,
        wake=here.wake_deliveries,
        who=who_in(request),
        reason=reason,
    )
    return json_response(await _found(here.pool, delivery_id), status_code=202)


def _id_in(request: Request) -> str:
    delivery_id = str(request.path_params["id"])
    if not _ID.fullmatch(delivery_id):
        raise NotFound("no such delivery")
    return delivery_id


async def _found(pool: Pool, delivery_id: str) -> Json:
    shown = await find_delivery(pool, delivery_id)
    if shown is None:
        raise NotFound("no such delivery")
    return shown


ROUTES = [
    resource("/v1/deliveries", get=list_all),
    resource("/v1/deliveries/{id}", get=show),
    resource("/v1/deliveries/{id}/resend", post=resend, acts_as="operator"),
]
