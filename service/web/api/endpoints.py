"""/v1/endpoints: how the lanes to the ERP are doing, and what a person does with one."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from service.ed25519 import public_key_of
from service.errors import NotFound
from service.flow import intervene
from service.runtime import Runtime, deliver_parts
from service.settings import Endpoint
from service.storage.views.endpoints import find_endpoint, list_endpoints
from service.storage.views.reading import Json
from service.web.api.acts import reason_in, who_in
from service.web.api.answers import json_response, list_response
from service.web.api.query import Query
from service.web.api.routing import resource


async def list_all(request: Request) -> Response:
    """Answer the health of all endpoints, each with the key that checks its v1a signatures."""
    here: Runtime = request.state.runtime
    Query(request)
    rows = await list_endpoints(here.pool)
    return list_response([_with_key(row, here) for row in rows])


async def pause(request: Request, body: bytes) -> Response:
    """Stop sending to an endpoint, and answer how it stands."""
    here: Runtime = request.state.runtime
    Query(request)
    name = _named(request).name
    await intervene.pause(here.pool, endpoint=name, who=who_in(request), reason=reason_in(body))
    return await _standing(here, name)


async def resume(request: Request, body: bytes) -> Response:
    """Begin to drain an endpoint, and answer how it stands."""
    here: Runtime = request.state.runtime
    Query(request)
    name = _named(request).name
    await intervene.resume(
        here.pool,
        endpoint=name,
        wake=here.wake_deliveries,
        who=who_in(request),
        reason=reason_in(body),
    )
    return await _standing(here, name)


async def test(request: Request, body: bytes) -> Response:
    """Send an endpoint one message that tells no news, and answer what it said."""
    here: Runtime = request.state.runtime
    Query(request)
    endpoint = _named(request)
    tried = await intervene.try_endpoint(
        deliver_parts(here, stopping=asyncio.Event()),
        endpoint=endpoint,
        who=who_in(request),
        reason=reason_in(body),
    )
    return json_response(tried.as_json())


def _named(request: Request) -> Endpoint:
    here: Runtime = request.state.runtime
    endpoint = here.endpoints.get(str(request.path_params["name"]))
    if endpoint is None:
        raise NotFound("no such endpoint is configured")
    return endpoint


async def _standing(here: Runtime, name: str) -> Response:
    shown = await find_endpoint(here.pool, name)
    if shown is None:
        raise NotFound("no such endpoint")
    return json_response(_with_key(shown, here))


def _with_key(row: Json, here: Runtime) -> Json:
    """Add the public half of a configured endpoint's signing key, None without one."""
    endpoint = here.endpoints.get(row["name"])
    key = endpoint.signing_key if endpoint else None
    return row | {"public_key": public_key_of(key.reveal()) if key else None}


ROUTES = [
    resource("/v1/endpoints", get=list_all),
    resource("/v1/endpoints/{name}/pause", post=pause, acts_as="operator"),
    resource("/v1/endpoints/{name}/resume", post=resume, acts_as="operator"),
    resource("/v1/endpoints/{name}/test", post=test, acts_as="operator"),
]
