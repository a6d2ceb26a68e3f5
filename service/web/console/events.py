"""/console/events: the inbox, one event, and its replay: a fresh read, never the old body."""

from starlette.responses import Response

from service.domain.event import EventVerdict
from service.errors import NotFound
from service.flow.intervene import replay as replay_event
from service.storage.views.events import EventFilter, find_event, list_events
from service.storage.views.reading import Json
from service.web.console.forms import Form
from service.web.console.page import ROWS, Visit, act, go, read
from service.web.console.requests import SYNC_WAIT_SECONDS


async def list_all(visit: Visit) -> Response:
    query = visit.query("account", "verdict", "provider_id")
    chosen = EventFilter(
        account=query.text("account"),
        verdict=query.word("verdict", EventVerdict),
        provider_id=query.text("provider_id"),
    )
    page = await list_events(visit.here.pool, chosen, after=query.cursor(), limit=ROWS)
    following = visit.next_page(
        page, account=chosen.account, verdict=chosen.verdict, provider_id=chosen.provider_id
    )
    return visit.show(
        "events.html",
        page=page,
        chosen=chosen,
        following=following,
        verdicts=list(EventVerdict),
        accounts=sorted(visit.here.accounts),
    )


async def show(visit: Visit) -> Response:
    visit.query()
    event = await _found(visit)
    can_be_read = event["kind"] is not None and event["provider_id"] is not None
    return visit.show("event.html", event=event, can_be_read=can_be_read)


async def replay(visit: Visit, form: Form) -> Response:
    event = await _found(visit)
    finished = await replay_event(
        visit.here.pool,
        event_id=event["id"],
        accounts=visit.here.accounts,
        wake=visit.here.wake,
        wait_seconds=SYNC_WAIT_SECONDS,
        who=visit.who,
        reason=form.reason(),
    )
    return go(f"/console/events/{event['id']}", done="replayed" if finished else "waiting")


async def _found(visit: Visit) -> Json:
    shown = await find_event(visit.here.pool, str(visit.request.path_params["id"]))
    if shown is None:
        raise NotFound("no such event, or it is older than what is kept")
    return shown


ROUTES = [
    read("/console/events", list_all),
    read("/console/events/{id}", show),
    act("/console/events/{id}/replay", replay),
]
