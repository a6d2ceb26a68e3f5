"""GoCardless from the call to the record: the real receiver, PostgreSQL and sync.

Only the provider's answers are written down here. Source: fact sheet gocardless, 5 and 13.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from service.domain.money import Money
from service.domain.request import Key, Kind
from service.flow.look import SyncParts
from service.flow.receive import receive
from service.flow.register import register_order
from service.flow.sync import sync_due
from service.runtime import connect_accounts, open_runtime, plan_of
from service.settings import Settings, parse
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.storage.event_writer import EventWriter
from service.storage.unit_of_work import unit_of_work
from service.web.app import create_app
from tests.emptied import emptied as emptied
from tests.emptied import shared_url as shared_url
from tests.flow.parts import Answers, parts_of
from tests.providers.gocardless_bodies import (
    HERE,
    PAID_BY,
    PAST,
    PAYMENT,
    REQUEST,
    SECRET,
    billing_request,
    event,
    events,
    payment,
    signed,
    step,
)
from tests.web.serving import serving

PROVIDER_SECONDS_MAX = 10.0  # source: section 5, "Time limit"


def settings_of(database_url: str) -> Settings:
    account = {
        "name": "gc",
        "provider": "gocardless",
        "api_base": "https://api.psp.example",
        "access_token": "t0ken",
        "webhook_secrets": [SECRET],
    }
    table: dict[str, Any] = {
        "database": {"url": database_url},
        "redis": {"url": "unix:///nonexistent/redis.sock"},
        "account": [account],
    }
    return parse(table, source="test", environ={}, base=Path())


# The receiver

EMPTY = b'{"events": []}'
GENUINE = signed(EMPTY).headers["webhook-signature"].encode()


@dataclass(frozen=True)
class Door:
    url: str
    database_url: str

    def post(
        self, body: bytes, headers: Sequence[tuple[bytes, bytes]] | None = None
    ) -> httpx.Response:
        signature = signed(body).headers["webhook-signature"].encode()
        given = [(b"webhook-signature", signature)] if headers is None else headers
        return httpx.post(self.url, content=body, headers=given, timeout=PROVIDER_SECONDS_MAX)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture
def door(database_url: str) -> Iterator[Door]:
    settings = settings_of(database_url)
    with serving(create_app(lambda: open_runtime(settings, role="web"))) as port:
        yield Door(f"http://127.0.0.1:{port}/webhooks/gc", database_url)


def test_251_events_with_metadata_are_stored_and_answered_in_time_and_only_once(door: Door) -> None:
    metadata = {f"key{number}" * 10: "x" * 500 for number in range(3)}
    items = [
        event(id=f"EV{number}", links={"payment": f"PM{number}"}, resource_metadata=metadata)
        for number in range(251)
    ]
    body = json.dumps({"events": items}).encode()

    started = time.monotonic()
    assert door.post(body).status_code == 204
    assert time.monotonic() - started < PROVIDER_SECONDS_MAX
    assert door.post(body).status_code == 204

    assert door.rows("select count(*) from events where verdict = 'accepted'") == [(251,)]
    assert door.rows("select count(*), sum(wanted) from due") == [(251, 251)]


def test_one_odd_event_of_a_call_is_set_aside_and_the_others_make_work(door: Door) -> None:
    odd = b'{"id": "EV07", "links": {"payment": "PM1\\u0000"}}'
    good = json.dumps(event(id="EV08")).encode()

    assert door.post(b'{"events": [' + odd + b", 7, " + good + b"]}").status_code == 204
    assert door.rows("select verdict, count(*) from events group by 1 order by 1") == [
        ("accepted", 1),
        ("set_aside", 2),
    ]
    assert door.rows("select kind, provider_id from due") == [("payment", PAYMENT)]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"webhook-signature", b"")],
        [(b"webhook-signature", b"\xe9" * 64)],
        [(b"webhook-signature", b"\xff\xfe\xfd")],
        [(b"webhook-signature", b"0" * 64)],
        [(b"webhook-signature", b"0" * 5000)],
        [(b"webhook-signature", b"sha256=" + b"0" * 64)],
        [(b"webhook-signature", b"0" * 64), (b"origin", b"\x80"), (b"content-type", b"text/\xff")],
        [(b"webhook-signature", GENUINE), (b"webhook-signature", GENUINE)],
    ],
)
def test_strange_headers_are_answered_498(
    door: Door, headers: Sequence[tuple[bytes, bytes]]
) -> None:
    answer = door.post(EMPTY, headers)

    assert (answer.status_code, answer.json()["code"]) == (498, "bad_signature")
    assert door.rows("select count(*) from events") == [(0,)]


# From the event to the record


@dataclass
class World:
    pool: Pool
    writer: EventWriter
    wire: Answers
    parts: SyncParts

    async def told(self, *items: dict[str, Any]) -> None:
        """Take in a signed call with events, then sync until nothing is due."""
        await receive(
            signed(json.dumps({"events": items}).encode()),
            self.parts.accounts["gc"],
            store=self.writer.store,
            wake=lambda: None,
        )
        while await sync_due(self.parts, slots=4, bell=asyncio.Event()):
            pass

    def shows(self, paid_by: object = None, *past: object) -> None:
        self.wire.bodies = {HERE: billing_request(), PAST: events(*past)}
        if paid_by is not None:
            self.wire.bodies[PAID_BY] = paid_by

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(query.encode())
            return await cursor.fetchall()

    async def moves(self) -> list[tuple[str, int, int, int, bool]]:
        """What the ERP is told of each move: status, received, refunded, taken back, correction."""
        rows = await self.rows(
            "select body from notifications where subject = 'request' order by serial"
        )
        told = [json.loads(body)["data"] for (body,) in rows]
        return [
            (
                data["status"],
                *(data[name]["minor"] for name in ("received", "refunded", "taken_back")),
                data["correction"],
            )
            for data in told
        ]


@pytest.fixture
async def world(emptied: Pool, shared_url: str) -> AsyncIterator[World]:
    settings = settings_of("postgresql://elsewhere/")
    wire = Answers()
    parts = parts_of(
        emptied, connect_accounts(settings), wire, plan_of(settings), endpoints=settings.endpoints
    )
    async with unit_of_work(emptied) as work:
        await ensure_accounts(work.connection, [("gc", "gocardless")], end_pauses=False)
    writer = EventWriter(shared_url)
    await writer.start()
    yield World(emptied, writer, wire, parts)
    await writer.stop()


PAID_OUT = payment("paid_out", links={"payout": "PO1"})


def at(day: int, action: str, **changes: Any) -> dict[str, Any]:
    """Return an event of the payment on a day of March 2025."""
    return event(action, id=f"EV{day}", created_at=f"2025-03-{day:02}T09:00:00.000Z", **changes)


async def test_a_payment_that_comes_before_its_request_is_parked_and_bound_later(
    world: World,
) -> None:
    world.shows(payment("confirmed"))
    await world.told(at(3, "confirmed"))

    assert await world.rows("select provider_id, parked from due") == [(PAYMENT, "unclaimed")]
    assert await world.moves() == []

    await world.told(step("fulfilled", id="EV2"))

    assert await world.moves() == [("paid", 12500, 0, 0, False)]
    assert await world.rows("select provider_id, parked from due order by 1") == [
        (REQUEST, None),
        (PAYMENT, "part_of_another"),
    ]

    world.shows(PAID_OUT)
    await world.told(at(4, "paid_out"))

    assert (await world.moves())[1:] == [("settled", 12500, 0, 0, False)]


async def test_a_request_and_its_payment_that_are_read_side_by_side_come_to_rest(
    world: World,
) -> None:
    world.shows(payment("confirmed"))
    await world.told(step("fulfilled"), at(3, "confirmed"))
    before = await world.rows("select sum(lease_no) from due where kind = 'billing_request'")
    world.shows(PAID_OUT)
    await world.told(step("fulfilled", id="EV8"), at(4, "paid_out"))

    after = await world.rows("select sum(lease_no) from due where kind = 'billing_request'")
    assert after[0][0] - before[0][0] <= 2
    assert await world.rows("select count(*) from due where done < wanted") == [(0,)]
    assert (await world.moves())[-1] == ("settled", 12500, 0, 0, False)


async def test_a_late_failure_and_its_retry_are_told_as_corrections(world: World) -> None:
    world.shows(PAID_OUT)
    await world.told(step("fulfilled"))
    failed = at(5, "failed", details={"cause": "refer_to_payer", "will_attempt_retry": True})
    world.shows(payment("failed", links={"payout": "PO1"}), failed, at(4, "paid_out"))
    await world.told(failed)
    world.shows(payment("submitted", links={"payout": "PO1"}), failed, at(4, "paid_out"))
    await world.told(at(6, "resubmission_requested"))
    world.shows(payment("confirmed"), at(7, "confirmed"), failed, at(4, "paid_out"))
    await world.told(at(7, "confirmed"))

    assert await world.moves() == [
        ("settled", 12500, 0, 0, False),
        ("reversed", 12500, 12500, 12500, True),
        ("paid", 12500, 0, 0, True),
    ]


async def test_a_charge_back_and_its_end_are_told_as_corrections(world: World) -> None:
    world.shows(PAID_OUT)
    await world.told(step("fulfilled"))
    charged_back = at(9, "charged_back", details={"cause": "refund_requested"})
    world.shows(payment("charged_back", links={"payout": "PO1"}), charged_back)
    await world.told(charged_back)
    cancelled = at(10, "chargeback_cancelled", details={"cause": "payment_confirmed"})
    world.shows(PAID_OUT, cancelled, charged_back)
    await world.told(cancelled)

    assert await world.moves() == [
        ("settled", 12500, 0, 0, False),
        ("reversed", 12500, 12500, 12500, True),
        ("settled", 12500, 0, 0, True),
    ]


async def test_a_failure_that_is_retried_costs_nothing_and_ends_paid(world: World) -> None:
    failed = at(5, "failed", details={"cause": "insufficient_funds", "will_attempt_retry": True})
    world.shows(payment("failed"), failed)
    await world.told(step("fulfilled"))
    world.shows(payment("pending_submission"), failed)
    await world.told(at(6, "resubmission_requested"))
    world.shows(payment("confirmed"))
    await world.told(at(7, "confirmed"))

    assert [move[0] for move in await world.moves()] == ["failed", "accepted", "paid"]
    assert {move[4] for move in await world.moves()} == {False}


async def test_a_failure_for_good_is_left_when_the_payee_retries(world: World) -> None:
    failed = at(5, "failed", details={"cause": "insufficient_funds", "will_attempt_retry": False})
    world.shows(payment("failed"), failed)
    await world.told(step("fulfilled"))
    world.shows(payment("submitted"), failed)
    await world.told(at(6, "resubmission_requested", details={"cause": "payment_retried"}))

    assert [move[0] for move in await world.moves()] == ["failed", "processing"]
    assert await world.rows("select attention from requests") == [([],)]


async def test_a_request_for_a_mandate_alone_is_set_aside_and_told_to_nobody(world: World) -> None:
    world.wire.bodies = {HERE: billing_request(payment_request=None, links={})}
    await world.told(step("fulfilled"))

    assert await world.rows("select provider_id, parked from due") == [(REQUEST, "no_payment_part")]
    assert await world.moves() == []


async def test_a_request_for_a_mandate_alone_that_the_erp_registered_is_cancelled_once_fulfilled(
    world: World,
) -> None:
    mandate_only = {"payment_request": None, "mandate_request": {"currency": "GBP"}, "links": {}}
    world.wire.bodies = {HERE: billing_request(status="pending", **mandate_only)}
    await register_order(
        world.pool,
        reference="INV-1",
        amount=Money(12500, "GBP"),
        requests=[Key("gc", Kind.BILLING_REQUEST, REQUEST)],
        metadata={},
        endpoints=[],
        now=datetime.now(UTC),
    )
    await sync_due(world.parts, slots=4, bell=asyncio.Event())
    world.wire.bodies = {HERE: billing_request(**mandate_only)}
    await world.told(step("fulfilled"))

    assert [move[0] for move in await world.moves()] == ["open", "cancelled"]
    assert await world.rows("select final, attention from requests") == [
        (True, ["no_payment_part"])
    ]
    assert await world.rows("select status from orders") == [("closed",)]


async def test_a_payment_that_belongs_to_somebody_else_is_told_to_nobody(world: World) -> None:
    await world.told(at(3, "confirmed", links={"payment": "PM0OTHER"}))
    world.shows(payment("confirmed"))
    await world.told(step("fulfilled", id="EV2"))

    assert len(await world.moves()) == 1
    assert await world.rows("select parked from due where provider_id = 'PM0OTHER'") == [
        ("unclaimed",)
    ]
