"""The plain way, written with care: a row, a commit and a Celery task per webhook.

A receiver without a broker is the reference for "one INSERT and commit per request". The worker
is in plain_worker.py.
"""

import hmac
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from celery import Celery
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

CONNECTIONS = 8
TASK = "plain.reconcile"
QUEUE = "plain"
TOKEN = "bench-webhook-token"
ERP_SECRET = "whsec_MjuU8KQC0f+9fytytL35b3DazSvuahT3RP/qfidEg6Q="

SCHEMA = """
create table if not exists inbox (
    id          text        primary key,
    order_id    text        not null,
    received_at timestamptz not null default now(),
    body        bytea       not null,
    status      text,
    received    bigint
)
"""


def make_table(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)


def celery_of(redis_url: str) -> Celery:
    """Return the Celery application: no results, nothing but the broker."""
    app = Celery("plain", broker=redis_url.replace("unix://", "redis+socket://"))
    app.conf.update(
        task_ignore_result=True,
        task_default_queue=QUEUE,
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
    )
    return app


def plain_app(database_url: str, celery: Celery | None) -> Starlette:
    """Return the receiver; without celery it only keeps the row."""

    async def receive(request: Request) -> Response:
        if not hmac.compare_digest(request.path_params["token"], TOKEN):
            return Response(status_code=404)
        body = await request.body()
        order_id = json.loads(body)["order_id"]
        event_id = f"evt_{secrets.token_hex(16)}"
        async with request.state.pool.connection() as connection:
            await connection.execute(
                "insert into inbox (id, order_id, body) values (%s, %s, %s)",
                [event_id, order_id, body],
            )
        if celery is not None:
            # On the loop: handing it to a thread costs more than it frees.
            celery.send_task(TASK, [event_id, order_id], ignore_result=True)
        return Response(status_code=204)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, object]]:
        async with AsyncConnectionPool(
            database_url,
            min_size=CONNECTIONS,
            max_size=CONNECTIONS,
            max_waiting=0,
            kwargs={"autocommit": True, "prepare_threshold": 0},
        ) as pool:
            yield {"pool": pool}

    route = Route("/webhooks/{account}/{token}", receive, methods=["POST"])
    return Starlette(routes=[route], lifespan=lifespan)


def noop_app() -> Starlette:
    """Return a receiver that answers 204 and does nothing else."""

    async def answer(_request: Request) -> Response:
        return Response(status_code=204)

    route = Route("/webhooks/{account}/{token}", answer, methods=["POST"])
    return Starlette(routes=[route])
