"""/console/endpoints: the lanes to the ERP; pause, resume and try one."""

import asyncio

from starlette.responses import Response

from service.errors import NotFound
from service.flow import intervene
from service.runtime import deliver_parts
from service.settings import Endpoint
from service.storage.views.hours import HOUR_COUNTED_MAX
from service.storage.views.lanes import TRIES_MAX, list_lanes
from service.web.console.drawn import charts_of_endpoint
from service.web.console.forms import Form
from service.web.console.page import Visit, act, go, read


async def list_all(visit: Visit) -> Response:
    visit.query()
    return visit.show("endpoints.html", endpoints=await list_lanes(visit.here.pool))


async def show(visit: Visit) -> Response:
    visit.query()
    name = str(visit.request.path_params["name"])
    lanes = await list_lanes(visit.here.pool)
    endpoint = next((lane for lane in lanes if lane["name"] == name), None)
    if endpoint is None:
        raise NotFound("no such endpoint")
    configured = visit.here.endpoints.get(name)
    return visit.show(
        "endpoint.html",
        endpoint=endpoint,
        configured=configured,
        charts=await charts_of_endpoint(visit.here.pool, name),
        counted_max=HOUR_COUNTED_MAX,
        tries_max=TRIES_MAX,
    )


async def pause(visit: Visit, form: Form) -> Response:
    name = named(visit).name
    await intervene.pause(visit.here.pool, endpoint=name, who=visit.who, reason=form.reason())
    return go(f"/console/endpoints/{name}", done="paused")


async def resume(visit: Visit, form: Form) -> Response:
    name = named(visit).name
    await intervene.resume(
        visit.here.pool,
        endpoint=name,
        wake=visit.here.wake_deliveries,
        who=visit.who,
        reason=form.reason(),
    )
    return go(f"/console/endpoints/{name}", done="resumed")


async def test(visit: Visit, form: Form) -> Response:
    """Send one message that tells no news, and show what was answered."""
    tried = await intervene.try_endpoint(
        deliver_parts(visit.here, stopping=asyncio.Event()),
        endpoint=named(visit),
        who=visit.who,
        reason=form.reason(),
    )
    return visit.show("tried.html", tried=tried.as_json())


def named(visit: Visit) -> Endpoint:
    """Return the configured endpoint that the path names. Raises NotFound."""
    endpoint = visit.here.endpoints.get(str(visit.request.path_params["name"]))
    if endpoint is None:
        raise NotFound("no such endpoint is configured")
    return endpoint


ROUTES = [
    read("/console/endpoints", list_all),
    read("/console/endpoints/{name}", show),
    act("/console/endpoints/{name}/pause", pause),
    act("/console/endpoints/{name}/resume", resume),
    act("/console/endpoints/{name}/test", test),
]
