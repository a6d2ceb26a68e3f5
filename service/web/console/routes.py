"""All routes of the console, in the order in which they are tried."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.errors import NotFound
from service.web.console import (
    deliveries,
    endpoints,
    events,
    evidence,
    health,
    orders,
    overview,
    recover,
    requests,
    sign_in,
)
from service.web.console.page import Visit, read
from service.web.console.render import CONTENT, HEADERS, STATIC


async def static(request: Request) -> Response:
    """Answer a file of ours, to be kept as long as its address stays the same."""
    name = str(request.path_params["name"])
    if name not in STATIC:
        return Response(status_code=404, headers=HEADERS)
    kept = {**HEADERS, "cache-control": "public, max-age=31536000, immutable"}
    return Response(CONTENT[name], headers=kept, media_type=STATIC[name])


async def nothing(_visit: Visit) -> Response:
    raise NotFound("no such page")


def console_routes() -> list[Route]:
    """Return the routes of one application."""
    return [
        Route("/console/static/{name}", static),
        *sign_in.routes(),
        *overview.ROUTES,
        *evidence.ROUTES,
        *requests.ROUTES,
        *orders.ROUTES,
        *deliveries.ROUTES,
        *endpoints.ROUTES,
        *recover.ROUTES,
        *events.ROUTES,
        *health.ROUTES,
        read("/console/{path:path}", nothing),
    ]
