"""/v1/endpoints: how the lanes to the ERP are doing."""

from starlette.requests import Request
from starlette.responses import Response

from service.ed25519 import public_key_of
from service.runtime import Runtime
from service.storage.views.endpoints import list_endpoints
from service.storage.views.reading import Json
from service.web.api.answers import list_response
from service.web.api.query import Query
from service.web.api.routing import resource


async def list_all(request: Request) -> Response:
    """Answer the health of all endpoints, each with the key that checks its v1a signatures."""
    here: Runtime = request.state.runtime
    Query(request)
    rows = await list_endpoints(here.pool)
    return list_response([row | {"public_key": _public_key(row, here)} for row in rows])


def _public_key(row: Json, here: Runtime) -> str | None:
    """Return the public half of a configured endpoint's signing key, None without one."""
    endpoint = here.endpoints.get(row["name"])
    key = endpoint.signing_key if endpoint else None
    return public_key_of(key.reveal()) if key else None


ROUTES = [resource("/v1/endpoints", get=list_all)]
