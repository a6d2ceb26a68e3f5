"""Secrets of an endpoint stay in it: no log line, row, metric, page or evidence shows one.

Each secret is a canary, looked for in every spelling that it may take: as written, decoded, in
hexadecimal and in base64.
"""

import asyncio
import base64
import json
import logging
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from service.domain.evidence import write_pack
from service.flow.attempt import DeliverParts
from service.flow.deliver import deliver_due
from service.runtime import endpoint_certificates
from service.settings import Endpoint, Secret, parse
from service.storage.database import Pool
from service.storage.views.endpoints import list_endpoints
from service.storage.views.evidence import read_evidence
from tests.flow.surroundings import (
    Answer,
    Answering,
    Arrival,
    Erp,
    endpoint,
    let_time_pass,
    listening,
    sending,
)
from tests.flow.world import World, order
from tests.test_wire import self_signed

KEY, OLD_KEY, SEED = (letter * 32 for letter in (b"k", b"o", b"s"))
URL_TOKEN = "canary-in-the-query"
SPELLED = {
    "whsec_" + base64.b64encode(KEY).decode(): KEY,
    "whsec_" + base64.b64encode(OLD_KEY).decode(): OLD_KEY,
    "whsk_" + base64.b64encode(SEED).decode(): SEED,
}
# What the pretended ERP logs itself.
OF_THE_ERP = ("aiohttp.access", "aiohttp.server")
ANSWERS = (503, 404, 401, 302, 204, 410)


def canaries(*more: str) -> set[str]:
    """Return every spelling of the endpoint's secrets that could be shown."""
    found = {URL_TOKEN, *more}
    for written, raw in SPELLED.items():
        found |= {written, raw.decode(), base64.b64encode(raw).decode().rstrip("=")}
    return found | {text.encode().hex() for text in found}


def guarded(erp: Erp, name: str = "erp", **settings: object) -> Endpoint:
    new, old, sealing = (Secret(text) for text in SPELLED)
    ordinary: dict[str, Any] = {
        "url": f"{erp.url}?token={URL_TOKEN}",
        "secrets": (new, old),
        "signing_key": sealing,
    }
    return endpoint(erp, name, **ordinary | settings)


def echoing(*statuses: int) -> Answering:
    """Answer with these in turn, and say back all that came but the URL."""
    left = cycle(statuses)

    async def echo(arrival: Arrival) -> Answer:
        return web.Response(
            status=next(left), text=json.dumps(arrival.headers) + arrival.body.decode()
        )

    return echo


@pytest.fixture
async def told(world: World) -> World:
    """A world whose provider had an order opened, paid and given back."""
    for minute, recorded in enumerate(("order_new", "order_processing", "order_completed")):
        world.provider.shows(order(1, recorded, minute=minute))
        await world.read(1)
    return world


async def deliver(parts: DeliverParts) -> None:
    """Deliver until every answer has come up, each lane freed again after a hold."""
    for _ in range(len(ANSWERS)):
        await deliver_due(parts, slots=16, bell=asyncio.Event())
        await let_time_pass(parts.pool, "deliveries", "due_at")
        await let_time_pass(parts.pool, "endpoints", "probe_at")


async def also_to(pool: Pool, *endpoints: str) -> None:
    """Send to more endpoints what waits for the first."""
    async with pool.connection() as connection:
        await connection.execute(
            "insert into deliveries (id, notification_id, endpoint, type, subject_id, sequence,"
            " notified_at)"
            " select id || e, notification_id, e, type, subject_id, sequence, notified_at"
            " from deliveries, unnest(%s::text[]) as e",
            [list(endpoints)],
        )


async def everything_stored(pool: Pool) -> str:
    """Return all rows of all tables as text; bytes are in hexadecimal."""
    async with pool.connection() as connection:
        tables = await connection.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'p')"
        )
        names = [name for (name,) in await tables.fetchall()]
        rows = [await connection.execute(f"select t::text from {n} as t".encode()) for n in names]
        return "".join([str(text) for each in rows for (text,) in await each.fetchall()])


async def test_no_secret_of_an_endpoint_is_shown_anywhere(
    told: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    self_signed(tmp_path)
    pem = tmp_path / "self_signed.pem"
    private = pem.read_text().split("PRIVATE KEY-----")[1].split("\n")[1]
    caplog.set_level(logging.DEBUG)
    async with listening() as erp:
        erp.answering = echoing(*ANSWERS)
        doors = [
            guarded(erp, client_certificate_file=pem, client_key_file=pem),
            guarded(erp, "inside", allow_private=False),
            guarded(erp, "tls", url=erp.url.replace("http:", "https:") + f"?token={URL_TOKEN}"),
            guarded(erp, "slow", timeout=timedelta(microseconds=1)),
        ]
        async with sending(told.pool, *doors) as parts:
            with capture_logs() as lines:
                await also_to(told.pool, "inside", "tls", "slow")
                await deliver(replace(parts, tls=certificates(pem)))
    request = await told.request(1)
    assert request is not None
    rows = await read_evidence(told.pool, request.id, with_raw=True, at=datetime.now(UTC))
    assert rows is not None
    shown = {
        "logs": repr(lines)
        + "".join(
            record.getMessage() for record in caplog.records if record.name not in OF_THE_ERP
        ),
        "rows": await everything_stored(told.pool),
        "evidence": b"".join(write_pack(rows)).decode(),
        "endpoints": repr(await list_endpoints(told.pool)),
        "metrics": generate_latest().decode(),
    }

    assert {line["event"] for line in lines} >= {"notification.postponed", "endpoint.held"}
    assert "webhook-signature" in shown["rows"], "what the ERP said back is kept"
    for place, text in shown.items():
        assert not {canary for canary in canaries(private) if canary in text}, place


def certificates(pem: Path) -> dict[str, ssl.SSLContext]:
    table = {
        "endpoint": [
            {
                "name": "erp",
                "url": "https://erp.example",
                "secrets": list(SPELLED)[:2],
                "client_certificate_file": str(pem),
                "client_key_file": str(pem),
            }
        ]
    }
    return endpoint_certificates(parse(table, source="test", environ={}, base=Path()))
