"""The web application: its routes, its lifespan, and errors as problem+json."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypedDict

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import Refused, Unauthenticated, Unavailable
from service.runtime import Runtime
from service.web import health, openapi
from service.web.api import (
    accounts,
    changes,
    deliveries,
    endpoints,
    events,
    interventions,
    orders,
    reconciles,
    recover,
    requests,
)
from service.web.console.routes import console_routes
from service.web.problems import BUG, Problem, problem_of, problem_response
from service.web.room import WEBHOOKS
from service.web.turns import Turns
from service.web.webhooks import WebhookDoor

OpenRuntime = Callable[[], AbstractAsyncContextManager[Runtime]]

API_ROUTES = [
    *orders.ROUTES,
    *requests.ROUTES,
    *changes.ROUTES,
    *events.ROUTES,
    *deliveries.ROUTES,
    *recover.ROUTES,
    *interventions.ROUTES,
    *accounts.ROUTES,
    *reconciles.ROUTES,
    *endpoints.ROUTES,
]


class State(TypedDict):
    """What the lifespan hands to every call, as request.state, and to whoever serves."""

    runtime: Runtime
    turns: Turns


def create_app(open_runtime: OpenRuntime) -> Starlette:
    """Return the application; the runtime is open as long as it runs.

    Whoever serves it sets `app.state.stopping` when it begins to stop: calls that wait for news
    then answer at once, instead of holding up the end.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[State]:
        async with open_runtime() as runtime:
            yield {"runtime": runtime, "turns": Turns()}

    app = Application(
        routes=[
            *health.ROUTES,
            *openapi.ROUTES,
            *API_ROUTES,
            *console_routes(),
        ],
        lifespan=lifespan,
        middleware=[Middleware(PlainHeaders)],
        exception_handlers={
            Refused: answer_refused,
            Unavailable: answer_unavailable,
            HTTPException: answer_unrouted,
            ClientDisconnect: answer_nobody,
            Exception: answer_bug,
        },
    )
    app.router.redirect_slashes = False
    app.state.stopping = asyncio.Event()
    return app


class Application(Starlette):
    """Leads webhooks straight to their door, everybody else through the middleware and the routes.

    That way costs more than all that the door does before it stores.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._door = WebhookDoor()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_webhook = scope["type"] == "http" and scope["raw_path"].startswith(WEBHOOKS)
        await (self._door if is_webhook else super().__call__)(scope, receive, send)


class PlainHeaders:
    """Tells every browser to take an answer for what it says it is, and to keep no copy.

    There are no CORS headers on purpose: no page of another origin has business here.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("x-content-type-options", "nosniff")
                headers.setdefault("cache-control", "no-store")
            await send(message)

        return await self._app(scope, receive, send_with_headers)


async def answer_refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused), "registered for it"
    challenge = {"www-authenticate": "Bearer"} if isinstance(error, Unauthenticated) else {}
    return problem_response(problem_of(error), challenge)


async def answer_unavailable(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Unavailable), "registered for it"
    return problem_response(problem_of(error))


async def answer_unrouted(_request: Request, error: Exception) -> Response:
    """Answer what Starlette refuses by itself: unknown paths and methods."""
    assert isinstance(error, HTTPException), "registered for it"
    codes = {404: "not_found", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "refused")
    return problem_response(Problem(error.status_code, code, error.detail), error.headers)


async def answer_nobody(_request: Request, _error: Exception) -> Response:
    """The caller left in the middle of the body: whatever we say, nobody hears it."""
    return Response(status_code=400)


async def answer_bug(_request: Request, _error: Exception) -> Response:
    """Answer 500 without a word of what went wrong; the server logs the traceback."""
    return problem_response(BUG)
