"""Rows for every state that a page can show, with the words of somebody hostile among them."""

from datetime import UTC, datetime, timedelta

from psycopg.types.json import Jsonb

from service.domain.event import EventVerdict
from service.domain.order import OrderStatus
from service.domain.status import Status
from service.runtime import Runtime
from service.storage.database import Pool
from service.storage.identifiers import new_id
from service.storage.views.deliveries import STATES
from tests.storage.rows import (
    insert,
    insert_delivery,
    insert_event,
    insert_notification,
    insert_order,
    insert_request,
    insert_transition,
)

HOSTILE = """<script>alert(1)</script>"'&{{ 7*7 }}</title>"""
NOW = datetime.now(UTC)
LANES = ("open", "on_hold", "probing", "draining", "paused")


def id_of(prefix: str, number: int) -> str:
    return f"{prefix}_{number:026}"


async def seed(runtime: Runtime) -> None:
    """Fill every table that a page shows."""
    pool = runtime.pool
    await _orders(pool)
    await _requests(pool)
    await _story(pool)
    await _deliveries(pool)
    await _events(pool)
    await _standings(pool)


async def _orders(pool: Pool) -> None:
    for number, status in enumerate(OrderStatus):
        await insert_order(
            pool, f"INV-{number}", id=id_of("ord", number), status=str(status), rule=str(status)
        )
    await insert_order(
        pool,
        HOSTILE,
        id=id_of("ord", 90),
        attention=["overpaid", HOSTILE],
        metadata=Jsonb({"note": HOSTILE, "deep": [{HOSTILE: None}]}),
        currency=None,
        amount=None,
        status=None,
        rule=None,
    )


async def _requests(pool: Pool) -> None:
    for number, status in enumerate(Status):
        await insert_request(
            pool, f"at-{status}", id=id_of("prq", number), status=str(status), reference="INV-0",
            order_id=id_of("ord", 0),
        )  # fmt: skip
    await insert_request(
        pool,
        HOSTILE,
        id=id_of("prq", 90),
        reference=HOSTILE,
        order_id=id_of("ord", 90),
        attention=["late_money", "unmapped_status"],
        provider_status=HOSTILE,
        reason=HOSTILE,
    )
    await insert_request(
        pool, "never-read", id=id_of("prq", 91), status=None, provider_status=None, currency=None,
        amount=None, sequence=0, received=0, final=False, observed_at=None,
        parked="not_found_at_provider",
    )  # fmt: skip


async def _story(pool: Pool) -> None:
    """One request with an entry of every kind in its timeline."""
    request_id = await insert_request(pool, "a-story", id=id_of("prq", 80), reference="INV-0")
    await insert_event(pool, "story", "a-story", id=new_id("evt"), received_at=NOW, day=NOW.date())
    await insert(
        pool, "observations", day=NOW.date(), id=id_of("obs", 1), request_id=request_id,
        read_at=NOW, observed_by="webhook", verdict="changed", lease_no=1, answer=b"{}",
        answer_sha256=b"\x01" * 32,
    )  # fmt: skip
    await insert_transition(pool, request_id, 1, recorded_at=NOW)
    notification = await insert_notification(pool, request_id, 1, created_at=NOW)
    delivery = await insert_delivery(
        pool, notification, id=id_of("dlv", 80), subject_id=request_id, notified_at=NOW,
        created_at=NOW, reference="INV-0",
    )  # fmt: skip
    for number, outcome in enumerate(("http_500", "timeout"), start=1):
        await insert(
            pool, "attempts", delivery_id=delivery, number=number, at=NOW, outcome=outcome,
            status_code=500 if number == 1 else None, duration_ms=12, excerpt=HOSTILE,
            notified_at=NOW,
        )  # fmt: skip
    await insert(
        pool, "interventions", id=id_of("ivn", 1), did="replay", who=f"console:{HOSTILE}",
        reason=HOSTILE, subject_id=request_id, about=id_of("evt", 1),
    )  # fmt: skip
    for subject, subject_id in (("request", request_id), ("order", id_of("ord", 90))):
        await insert(
            pool, "decisions", id=id_of("dcs", len(subject)), what="acknowledgement",
            subject=subject, subject_id=subject_id, who="console:ops", reason=HOSTILE,
            detail=Jsonb({"code": "late_money"}), at=NOW,
        )  # fmt: skip


async def _deliveries(pool: Pool) -> None:
    for number, state in enumerate(STATES):
        request_id = id_of("prq", number)
        await insert_transition(pool, request_id, 2, recorded_at=NOW)
        notification = await insert_notification(pool, request_id, 2, created_at=NOW)
        await insert_delivery(
            pool,
            notification,
            id=id_of("dlv", number),
            subject_id=request_id,
            sequence=2,
            state=state,
            closed_at=None if state == "waiting" else NOW,
            reference=HOSTILE,
            notified_at=NOW,
            created_at=NOW,
        )


async def _events(pool: Pool) -> None:
    for number, verdict in enumerate(EventVerdict):
        await insert_event(
            pool, f"{number}", "at-paid", id=new_id("evt"), verdict=str(verdict), reason=HOSTILE,
            day=NOW.date(), received_at=NOW,
        )  # fmt: skip


async def _standings(pool: Pool) -> None:
    await insert(
        pool, "due", account="ginger-nl", kind="order", provider_id="a", parked="unclaimed"
    )
    await insert(
        pool, "due", account="ginger-nl", kind="order", provider_id="b",
        due_at=NOW - timedelta(hours=2),
    )  # fmt: skip
    await insert(
        pool, "reconciles", account="ginger-nl", asked="7d", since=NOW - timedelta(days=7),
        until=NOW, dry_run=False, drift=Jsonb({"missed": 3}), started_at=NOW, finished_at=NOW,
    )  # fmt: skip
    await insert(pool, "workers", host="a-host", pid=1, seen_at=NOW - timedelta(hours=1))
    for state in LANES:
        await insert(
            pool, "endpoints", name=f"lane-{state}", kind="webhook", state=state, reason=HOSTILE
        )
    async with pool.connection() as connection:
        await connection.execute(
            "update accounts set state = 'silent', (reason, silence) = ('no word', 'no word')"
        )
