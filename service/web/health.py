"""/healthz, /readyz and /metrics: for load balancers, supervisors and Prometheus."""

import asyncio

import msgspec
import psycopg
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.errors import Unavailable
from service.nudge import Bell
from service.runtime import Runtime
from service.storage.database import Pool, is_current
from service.storage.views.gauges import read_gauges
from service.telemetry.metrics import Gauge, render
from service.web.api.answers import json_response
from service.web.problems import Problem
from service.web.security import authorise

# Longer than the pool lets anybody wait for a connection (2 s), shorter than a probe's patience.
DATABASE_SECONDS_MAX = 3.0
BROKER_SECONDS_MAX = 1.0


async def healthz(_request: Request) -> Response:
    """Answer that this process is alive; what it depends on is the business of /readyz."""
    return json_response({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Answer 200 when database, migrations and broker are fine, else 503 with what is not.

    Not ready for want of the broker alone, a process still takes webhooks in and answers the
    API: the work lies in PostgreSQL until the broker is back.
    """
    here: Runtime = request.state.runtime
    (database, migrations), broker = await asyncio.gather(
        _look_at_database(here.pool), _look_at_broker(here.bell)
    )
    parts = {"database": database, "migrations": migrations, "broker": broker}
    wrong = [f"{name}: {state}" for name, state in parts.items() if state != "ok"]
    if not wrong:
        return json_response({"status": "ready", **parts})
    problem = Problem(503, "not_ready", ", ".join(wrong), retry_after_seconds=1)
    body = msgspec.json.encode(msgspec.json.decode(problem.body) | parts)
    return Response(body, 503, problem.headers)


async def metrics(request: Request) -> Response:
    """Answer Prometheus text; takes a viewer's key where metrics_public is false.

    Without the database the counters of this machine are still told.
    """
    here: Runtime = request.state.runtime
    if not here.settings.settled.metrics_public:
        keys = here.settings.settled.api_keys
        authorise(request.headers.get("authorization"), keys, at_least="viewer")
    try:
        gauges = [*await read_gauges(here.pool), _database_up(1.0)]
    except Unavailable:
        gauges = [_database_up(0.0)]
    return Response(render(gauges), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})


async def _look_at_database(pool: Pool) -> tuple[str, str]:
    """Return the state of the database and of its migrations."""
    try:
        async with asyncio.timeout(DATABASE_SECONDS_MAX):
            return ("ok", "ok" if await is_current(pool) else "pending")
    except (psycopg.OperationalError, TimeoutError):
        return ("away", "unknown")


async def _look_at_broker(bell: Bell) -> str:
    try:
        async with asyncio.timeout(BROKER_SECONDS_MAX):
            return "ok" if await asyncio.to_thread(bell.answers) else "away"
    except TimeoutError:
        return "away"


def _database_up(value: float) -> Gauge:
    return Gauge("settled_database_up", "Whether the database answered.", [({}, value)])


ROUTES = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
