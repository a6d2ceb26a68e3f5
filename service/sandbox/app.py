"""The sandbox as one application: provider, ERP and control API in one process."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette

from service.sandbox import control
from service.sandbox.provider_http import ProviderError, answer_provider_error
from service.sandbox.twins import TWINS
from service.sandbox.world import World

# Webhooks in flight at a time.
CONNECTIONS_MAX = 100


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Starlette:
    """Return the sandbox; its world is app.state.world.

    transport carries the webhooks, over the network unless given. Leaving the application's
    lifespan stops all stories and webhooks.
    """
    limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
    carrier = transport or AiohttpTransport(limits=limits, trust_env=False)
    client = httpx.AsyncClient(transport=carrier, follow_redirects=False, trust_env=False)
    world = World(client, now)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await world.close()

    app = Starlette(
        routes=[
            *(route for twin in TWINS.values() for route in twin.routes),
            *control.ROUTES,
        ],
        exception_handlers={
            ProviderError: answer_provider_error,
            control.ControlError: control.answer_control_error,
        },
        lifespan=lifespan,
    )
    app.state.world = world
    return app
