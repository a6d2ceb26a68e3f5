"""/v1/changes: the pull feed, for an ERP that would rather ask than be called."""

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response

from service.runtime import Runtime
from service.storage.feed import Changes, changes
from service.web.api.query import Query
from service.web.api.routing import resource

LIMIT_DEFAULT = 500
WAIT_SECONDS_MAX = 60

# How often a waiting call looks for news.
LOOK_SECONDS = 0.1


async def follow(request: Request) -> Response:
    """Answer what changed behind a cursor; with wait, as soon as there is something."""
    query = Query(request, "after", "limit", "wait")
    found = await _changes_within(
        request,
        after=query.text("after"),
        limit=query.whole("limit", LIMIT_DEFAULT, least=1, most=500),
        wait_seconds=query.whole("wait", 0, least=0, most=WAIT_SECONDS_MAX),
    )
    return _response(found)


async def _changes_within(
    request: Request, *, after: str | None, limit: int, wait_seconds: int
) -> Changes:
    """Return the changes behind after, none if there are none within wait_seconds.

    Gives up early when the caller has gone or the server is stopping.
    """
    here: Runtime = request.state.runtime
    stopping: asyncio.Event = request.app.state.stopping
    ends_at = time.monotonic() + wait_seconds
    while True:
        found = await changes(here.pool, after=after, limit=limit)
        if found.bodies or stopping.is_set() or time.monotonic() >= ends_at:
            return found
        if await request.is_disconnected():
            return found
        await asyncio.sleep(LOOK_SECONDS)


def _response(found: Changes) -> Response:
    """Return the bodies as they are, byte for byte: they are what was signed."""
    data = b",".join(found.bodies)
    body = b'{"data":[%b],"next":"%b"}' % (data, found.next.encode())
    return Response(body, media_type="application/json")


ROUTES = [resource("/v1/changes", get=follow)]
