"""/v1/recover: a window of notifications, sent to one endpoint again."""

import re
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from service.errors import NotFound
from service.flow.recover import begin, plan
from service.flow.recover import stop as stop_recovery
from service.flow.window import moment_in
from service.runtime import Runtime, utc_now
from service.settings import Expected
from service.storage.recoveries import Window
from service.storage.views.reading import Json
from service.storage.views.recoveries import find_recovery, list_recoveries
from service.web.api.acts import reason_in, take_reason, who_in
from service.web.api.answers import json_response, page_response
from service.web.api.fields import Fields, body_fields
from service.web.api.query import Query
from service.web.api.routing import resource

TIME_CHARACTERS_MAX = 40

_ID = re.compile("rcv_[0-9a-z]{26}", re.ASCII)


async def list_all(request: Request) -> Response:
    """Answer a page of recoveries, newest first."""
    here: Runtime = request.state.runtime
    query = Query(request, "limit", "cursor")
    page = await list_recoveries(here.pool, after=query.cursor(), limit=query.limit())
    return page_response(page)


async def recover(request: Request, body: bytes) -> Response:
    """Begin a recovery, or go on with it: 202; with dry_run only its plan: 200."""
    here: Runtime = request.state.runtime
    Query(request)
    fields = body_fields(body)
    name = fields.word(
        "endpoint", here.endpoints, expected="one of " + (", ".join(here.endpoints) or "none")
    )
    window = _take_window(fields, now=utc_now())
    is_dry = fields.flag("dry_run")
    reason = take_reason(fields)
    fields.end()
    endpoint = here.endpoints[name]
    if is_dry:
        return json_response((await plan(here.pool, endpoint, window)).as_json())
    run = await begin(here.pool, endpoint, window, who=who_in(request), reason=reason)
    here.wake_deliveries()
    return json_response(await _found(here, run.id), status_code=202)


async def show(request: Request) -> Response:
    """Answer how far a recovery is."""
    here: Runtime = request.state.runtime
    Query(request)
    return json_response(await _found(here, _id_in(request)))


async def stop(request: Request, body: bytes) -> Response:
    """Put no more of a recovery on its way; the same recovery goes on from there."""
    here: Runtime = request.state.runtime
    Query(request)
    recovery_id = _id_in(request)
    await stop_recovery(here.pool, recovery_id, who=who_in(request), reason=reason_in(body))
    return json_response(await _found(here, recovery_id))


def _take_window(fields: Fields, *, now: datetime) -> Window:
    since = fields.text("since", characters_max=TIME_CHARACTERS_MAX)
    until = fields.optional_text("until", characters_max=TIME_CHARACTERS_MAX)
    begins, first = _moment(since, "since", fields, now=now)
    ends, last = _moment(until, "until", fields, now=now) if until else (now, "now")
    return Window(f"{first} to {last}", begins, min(ends, now))


def _moment(text: str, name: str, fields: Fields, *, now: datetime) -> tuple[datetime, str]:
    try:
        return moment_in(text, now=now)
    except Expected as error:
        raise fields.wrong(name, str(error)) from None


def _id_in(request: Request) -> str:
    recovery_id = str(request.path_params["id"])
    if not _ID.fullmatch(recovery_id):
        raise NotFound("no such recovery")
    return recovery_id


async def _found(here: Runtime, recovery_id: str) -> Json:
    shown = await find_recovery(here.pool, recovery_id)
    if shown is None:
        raise NotFound("no such recovery")
    return shown


ROUTES = [
    resource("/v1/recover", get=list_all, post=recover, acts_as="operator"),
    resource("/v1/recover/{id}", get=show),
    resource("/v1/recover/{id}/stop", post=stop, acts_as="operator"),
]
