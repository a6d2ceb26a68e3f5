"""Recover from the console: plan a window of notifications, confirm it, watch it go out again."""

import re
from datetime import datetime

from starlette.responses import Response

from service.errors import Malformed, NotFound
from service.flow.recover import begin, plan
from service.flow.recover import stop as stop_recovery
from service.flow.window import moment_in
from service.runtime import utc_now
from service.settings import Expected
from service.storage.recoveries import Window
from service.storage.views.recoveries import find_recovery, list_recoveries
from service.web.api.recover import TIME_CHARACTERS_MAX
from service.web.console.endpoints import named
from service.web.console.forms import Form
from service.web.console.page import ROWS, Visit, act, go, read

_ID = re.compile("rcv_[0-9a-z]{1,64}", re.ASCII)


async def list_all(visit: Visit) -> Response:
    query = visit.query()
    page = await list_recoveries(visit.here.pool, after=query.cursor(), limit=ROWS)
    return visit.show("recoveries.html", page=page, following=visit.next_page(page))


async def ask(visit: Visit) -> Response:
    """Ask for a window; once there is one, show what it would send."""
    query = visit.query("since", "until")
    endpoint, since, until = named(visit), query.text("since"), query.text("until")
    planned = None
    if since is not None:
        window = _window(since, until, now=utc_now())
        # What was planned is what is confirmed: "7d" would mean another window a minute later.
        planned = (await plan(visit.here.pool, endpoint, window)).as_json()
    return visit.show("recover.html", endpoint=endpoint, since=since, until=until, planned=planned)


async def start(visit: Visit, form: Form) -> Response:
    endpoint = named(visit)
    since = form.text("since", characters_max=TIME_CHARACTERS_MAX)
    until = form.text("until", characters_max=TIME_CHARACTERS_MAX)
    reason = form.reason()
    window = _window(since, until, now=utc_now())
    run = await begin(visit.here.pool, endpoint, window, who=visit.who, reason=reason)
    visit.here.wake_deliveries()
    return go(f"/console/recoveries/{run.id}")


async def show(visit: Visit) -> Response:
    visit.query()
    recovery = await find_recovery(visit.here.pool, _id_in(visit))
    if recovery is None:
        raise NotFound("no such recovery")
    arrived = recovery["delivered"] + recovery["dead"] + recovery["superseded"]
    return visit.show("recovery.html", recovery=recovery, arrived=arrived)


async def stop(visit: Visit, form: Form) -> Response:
    recovery_id = _id_in(visit)
    await stop_recovery(visit.here.pool, recovery_id, who=visit.who, reason=form.reason())
    return go(f"/console/recoveries/{recovery_id}", done="stopped")


def _window(since: str, until: str | None, *, now: datetime) -> Window:
    begins, first = _moment(since, "since", now=now)
    ends, last = _moment(until, "until", now=now) if until else (now, "now")
    return Window(f"{first} to {last}", begins, min(ends, now))


def _moment(text: str, name: str, *, now: datetime) -> tuple[datetime, str]:
    try:
        return moment_in(text, now=now)
    except Expected as error:
        raise Malformed(f"{name}: expected {error}", code="bad_field") from None


def _id_in(visit: Visit) -> str:
    recovery_id = str(visit.request.path_params["id"])
    if not _ID.fullmatch(recovery_id):
        raise NotFound("no such recovery")
    return recovery_id


ROUTES = [
    read("/console/endpoints/{name}/recover", ask),
    act("/console/endpoints/{name}/recover", start),
    read("/console/recoveries", list_all),
    read("/console/recoveries/{id}", show),
    act("/console/recoveries/{id}/stop", stop),
]
