"""/v1/events: the inbox."""

from starlette.requests import Request
from starlette.responses import Response

from service.domain.event import EventVerdict
from service.domain.request import Kind
from service.runtime import Runtime
from service.storage.views.events import EventFilter, list_events
from service.web.api.answers import page_response
from service.web.api.query import Query
from service.web.api.routing import resource


async def list_all(request: Request) -> Response:
    """Answer a page of events, newest first."""
    here: Runtime = request.state.runtime
    query = Query(request, "account", "kind", "provider_id", "verdict", "limit", "cursor")
    chosen = EventFilter(
        account=query.text("account"),
        kind=query.word("kind", Kind),
        provider_id=query.text("provider_id"),
        verdict=query.word("verdict", EventVerdict),
    )
    page = await list_events(here.pool, chosen, after=query.cursor(), limit=query.limit())
    return page_response(page)


ROUTES = [resource("/v1/events", get=list_all)]
