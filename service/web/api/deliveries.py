"""/v1/deliveries: the outbox."""

from starlette.requests import Request
from starlette.responses import Response

from service.runtime import Runtime
from service.storage.views.deliveries import STATES, DeliveryFilter, list_deliveries
from service.web.api.answers import page_response
from service.web.api.query import Query
from service.web.api.routing import resource


async def list_all(request: Request) -> Response:
    """Answer a page of deliveries, newest first."""
    here: Runtime = request.state.runtime
    query = Query(request, "endpoint", "state", "reference", "request_id", "limit", "cursor")
    chosen = DeliveryFilter(
        endpoint=query.text("endpoint"),
        state=query.word("state", STATES),
        reference=query.text("reference"),
        request_id=query.text("request_id"),
    )
    page = await list_deliveries(here.pool, chosen, after=query.cursor(), limit=query.limit())
    return page_response(page)


ROUTES = [resource("/v1/deliveries", get=list_all)]
