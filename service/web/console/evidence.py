"""The evidence behind an entry, redacted: a page of its own, which htmx also opens in place."""

from collections.abc import Sequence

from starlette.responses import Response

from service.domain.notification import time_text
from service.domain.redaction import Redacted, redact, redact_answer
from service.errors import NotFound
from service.storage.identifiers import is_identifier
from service.storage.views.bodies import Kept, find_answer, find_event_body, find_message
from service.web.console.page import Visit, read


async def event_body(visit: Visit) -> Response:
    visit.query()
    event_id = _named(visit, "id")
    kept = _found(await find_event_body(visit.here.pool, event_id))
    pieces = [redact(kept.raw)] if kept.raw is not None else []
    return _show(visit, "Body of an event", kept, pieces, back=f"/console/events/{event_id}")


async def answer(visit: Visit) -> Response:
    visit.query()
    request_id = _named(visit, "id")
    kept = _found(await find_answer(visit.here.pool, request_id, _named(visit, "read")))
    pieces = redact_answer(kept.raw) if kept.raw is not None else []
    return _show(visit, "Provider's answer", kept, pieces, back=f"/console/requests/{request_id}")


async def message(visit: Visit) -> Response:
    visit.query()
    request_id = _named(visit, "id")
    kept = _found(await find_message(visit.here.pool, request_id, _named(visit, "message")))
    pieces = [redact(kept.raw)] if kept.raw is not None else []
    return _show(visit, "Notification", kept, pieces, back=f"/console/requests/{request_id}")


def _show(
    visit: Visit, title: str, kept: Kept, pieces: Sequence[Redacted], *, back: str
) -> Response:
    return visit.show(
        "evidence.html",
        title=title,
        kept=kept,
        at=time_text(kept.at),
        same_as=time_text(kept.same_as),
        pieces=pieces,
        back=back,
    )


def _found(kept: Kept | None) -> Kept:
    if kept is None:
        raise NotFound("no such evidence")
    return kept


def _named(visit: Visit, name: str) -> str:
    """Return an identifier in the path. Raises NotFound for what is none of ours."""
    text = str(visit.request.path_params[name])
    if not is_identifier(text):
        raise NotFound("no such evidence")
    return text


ROUTES = [
    read("/console/events/{id}/body", event_body, at_least="operator"),
    read("/console/requests/{id}/reads/{read}", answer, at_least="operator"),
    read("/console/requests/{id}/messages/{message}", message, at_least="operator"),
]
