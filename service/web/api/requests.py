"""/v1/requests: what a payer was asked with."""

import re

from starlette.requests import Request
from starlette.responses import Response

from service.domain.request import Key, Kind
from service.domain.status import Status
from service.errors import NotFound
from service.flow.acknowledge import acknowledge_request
from service.flow.intervene import sync_now
from service.flow.link import link_request
from service.flow.register import register_request
from service.runtime import Runtime, utc_now
from service.storage.database import Pool
from service.storage.views.past import find_past
from service.storage.views.reading import Json
from service.storage.views.requests import RequestFilter, find_request, list_requests
from service.storage.views.timeline import list_timeline
from service.web.api.acknowledge import acknowledgement_in
from service.web.api.acts import reason_in, take_reason, who_in
from service.web.api.answers import json_response, page_response
from service.web.api.fields import Fields, body_fields
from service.web.api.query import Query
from service.web.api.routing import resource

REFERENCE_CHARACTERS_MAX = 200
PROVIDER_ID_CHARACTERS_MAX = 200

# How long a caller who asks for a sync waits for it; after that the read goes on without them.
SYNC_WAIT_SECONDS = 15

_ID = re.compile("prq_[0-9a-z]{26}", re.ASCII)


async def list_all(request: Request) -> Response:
    """Answer a page of requests."""
    here: Runtime = request.state.runtime
    query = Query(
        request,
        "status", "account", "provider_id", "reference", "updated_since", "limit", "cursor",
    )  # fmt: skip
    chosen = RequestFilter(
        status=query.word("status", Status),
        account=query.text("account"),
        provider_id=query.text("provider_id"),
        reference=query.text("reference"),
        updated_since=query.time("updated_since"),
    )
    page = await list_requests(here.pool, chosen, after=query.cursor(), limit=query.limit())
    return page_response(page)


async def track(request: Request, body: bytes) -> Response:
    """Register one request: 201, or 200 when we knew it already."""
    here: Runtime = request.state.runtime
    fields = body_fields(body)
    key = take_key(fields, here)
    reference = fields.optional_text("reference", characters_max=REFERENCE_CHARACTERS_MAX)
    fields.end()
    registered = await register_request(
        here.pool,
        key=key,
        reference=reference,
        endpoints=list(here.endpoints.values()),
        now=utc_now(),
    )
    here.wake()
    shown = await _found(here.pool, registered.request_id)
    return json_response(shown, status_code=201 if registered.created else 200)


async def show(request: Request) -> Response:
    """Answer one request, as it is or as it was."""
    here: Runtime = request.state.runtime
    query = Query(request, "at", "as_of")
    at, as_of = query.time("at"), query.time("as_of")
    request_id = _id_in(request)
    if at or as_of:
        return json_response(await find_past(here.pool, request_id, at=at, as_of=as_of))
    return json_response(await _found(here.pool, request_id))


async def timeline(request: Request) -> Response:
    """Answer a page of what happened to a request, oldest first."""
    here: Runtime = request.state.runtime
    query = Query(request, "limit", "cursor")
    request_id = _id_in(request)
    await _found(here.pool, request_id)
    page = await list_timeline(here.pool, request_id, after=query.cursor(), limit=query.limit())
    return page_response(page)


async def sync(request: Request, body: bytes) -> Response:
    """Read a request at its provider now: 200 with what it is, or 202 when that takes longer."""
    here: Runtime = request.state.runtime
    query = Query(request, "wait")
    wait_seconds = query.whole("wait", SYNC_WAIT_SECONDS, least=0, most=SYNC_WAIT_SECONDS)
    request_id = _id_in(request)
    finished = await sync_now(
        here.pool,
        request_id=request_id,
        wake=here.wake,
        wait_seconds=wait_seconds,
        who=who_in(request),
        reason=reason_in(body),
    )
    shown = await _found(here.pool, request_id)
    if finished:
        return json_response(shown)
    return json_response({**shown, "sync": "pending"}, status_code=202)


async def acknowledge(request: Request, body: bytes) -> Response:
    """Take a code from a request that somebody has seen to, and answer the request."""
    here: Runtime = request.state.runtime
    Query(request)
    request_id = _id_in(request)
    await acknowledge_request(
        here.pool, request_id=request_id, acknowledgement=acknowledgement_in(request, body)
    )
    return json_response(await _found(here.pool, request_id))


async def link(request: Request, body: bytes) -> Response:
    """Put a request under another order, and answer the request."""
    here: Runtime = request.state.runtime
    Query(request)
    request_id = _id_in(request)
    fields = body_fields(body)
    reference = fields.text("reference", characters_max=REFERENCE_CHARACTERS_MAX)
    reason = take_reason(fields)
    fields.end()
    await link_request(
        here.pool,
        request_id=request_id,
        reference=reference,
        reason=reason,
        who=who_in(request),
        endpoints=list(here.endpoints.values()),
        now=utc_now(),
    )
    here.wake()
    return json_response(await _found(here.pool, request_id))


def take_key(fields: Fields, here: Runtime) -> Key:
    """Take account, kind and provider_id out of fields. Raises Malformed.

    The account must be configured, and its provider know such a kind and such an identifier.
    """
    account = here.accounts[
        fields.word("account", here.accounts, expected="the name of a configured account")
    ]
    kinds = sorted(str(kind) for kind in account.provider.kinds)
    kind = Kind(fields.word("kind", kinds, expected="one of " + ", ".join(kinds)))
    provider_id = fields.text("provider_id", characters_max=PROVIDER_ID_CHARACTERS_MAX)
    if not account.provider.knows(kind, provider_id):
        raise fields.wrong("provider_id", f"an identifier as {account.section.provider} gives it")
    return Key(account.name, kind, provider_id)


def _id_in(request: Request) -> str:
    request_id = str(request.path_params["id"])
    if not _ID.fullmatch(request_id):
        raise NotFound("no such request")
    return request_id


async def _found(pool: Pool, request_id: str) -> Json:
    shown = await find_request(pool, request_id)
    if shown is None:
        raise NotFound("no such request")
    return shown


ROUTES = [
    resource("/v1/requests", get=list_all, post=track),
    resource("/v1/requests/{id}", get=show),
    resource("/v1/requests/{id}/timeline", get=timeline),
    resource("/v1/requests/{id}/sync", post=sync),
    resource("/v1/requests/{id}/acknowledge", post=acknowledge, acts_as="operator"),
    resource("/v1/requests/{id}/link", post=link, acts_as="operator"),
]
