"""/v1/endpoints: how the lanes to the ERP are doing."""

from starlette.requests import Request
from starlette.responses import Response

from service.runtime import Runtime
from service.storage.views.endpoints import list_endpoints
from service.web.api.answers import list_response
from service.web.api.query import Query
from service.web.api.routing import resource


async def list_all(request: Request) -> Response:
    """Answer the health of all endpoints."""
    here: Runtime = request.state.runtime
    Query(request)
    return list_response(await list_endpoints(here.pool))


ROUTES = [resource("/v1/endpoints", get=list_all)]
