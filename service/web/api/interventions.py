"""/v1/interventions: what persons did, and why."""

from starlette.requests import Request
from starlette.responses import Response

from service.runtime import Runtime
from service.storage.views.interventions import DID, InterventionFilter, list_interventions
from service.web.api.answers import page_response
from service.web.api.query import Query
from service.web.api.routing import resource


async def list_all(request: Request) -> Response:
    """Answer a page of what persons did, newest first."""
    here: Runtime = request.state.runtime
    query = Query(request, "did", "endpoint", "since", "limit", "cursor")
    chosen = InterventionFilter(
        did=query.word("did", DID), endpoint=query.text("endpoint"), since=query.time("since")
    )
    page = await list_interventions(here.pool, chosen, after=query.cursor(), limit=query.limit())
    return page_response(page)


ROUTES = [resource("/v1/interventions", get=list_all)]
