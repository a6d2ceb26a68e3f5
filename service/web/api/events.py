"""/v1/events: the inbox."""

from starlette.requests import Request
from starlette.responses import Response

from service.domain.event import EventVerdict
from service.domain.request import Kind
from service.errors import NotFound
from service.flow.intervene import replay as replay_event
from service.runtime import Runtime
from service.storage.database import Pool
from service.storage.views.events import EventFilter, find_event, list_events
from service.storage.views.reading import Json
from service.web.api.acts import reason_in, who_in
from service.web.api.answers import json_response, page_response
from service.web.api.query import Query
from service.web.api.requests import SYNC_WAIT_SECONDS
from service.web.api.routing import resource


async def list_all(request: Request) -> Response:
    """Answer a page of events, newest first."""
    here: Runtime = request.state.runtime
    query = Query(request, "account", "kind", "provider_id", "verdict", "since", "limit", "cursor")
    chosen = EventFilter(
        account=query.text("account"),
        kind=query.word("kind", Kind),
        provider_id=query.text("provider_id"),
        verdict=query.word("verdict", EventVerdict),
        since=query.time("since"),
    )
    page = await list_events(here.pool, chosen, after=query.cursor(), limit=query.limit())
    return page_response(page)


async def show(request: Request) -> Response:
    """Answer one event."""
    here: Runtime = request.state.runtime
    Query(request)
    return json_response(await _found(here.pool, str(request.path_params["id"])))


async def replay(request: Request, body: bytes) -> Response:
    """Read what an event names: 200 when that is done, 202 when it takes longer."""
    here: Runtime = request.state.runtime
    query = Query(request, "wait")
    wait_seconds = query.whole("wait", SYNC_WAIT_SECONDS, least=0, most=SYNC_WAIT_SECONDS)
    event_id = str(request.path_params["id"])
    finished = await replay_event(
        here.pool,
        event_id=event_id,
        accounts=here.accounts,
        wake=here.wake,
        wait_seconds=wait_seconds,
        who=who_in(request),
        reason=reason_in(body),
    )
    shown = await _found(here.pool, event_id)
    if finished:
        return json_response({**shown, "replay": "finished"})
    return json_response({**shown, "replay": "pending"}, status_code=202)


async def _found(pool: Pool, event_id: str) -> Json:
    shown = await find_event(pool, event_id)
    if shown is None:
        raise NotFound("no such event")
    return shown


ROUTES = [
    resource("/v1/events", get=list_all),
    resource("/v1/events/{id}", get=show),
    resource("/v1/events/{id}/replay", post=replay, acts_as="operator"),
]
