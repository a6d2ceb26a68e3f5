"""News of orders put into the outbox by the hundred, as a sync writes it."""

from collections.abc import Sequence
from datetime import datetime

from service.domain.notification import serialised, time_text
from service.storage.database import Pool
from service.storage.history import TransitionRow
from service.storage.notifications import NotificationRow
from service.storage.unit_of_work import unit_of_work


async def write(pool: Pool, news: Sequence[tuple[str, int, str]], *, at: datetime) -> None:
    """Record that orders were paid; each is an id, a sequence and the endpoint that is told."""
    async with unit_of_work(pool) as work:
        await work.history.append_transitions([_transition(id_, n, at) for id_, n, _ in news])
        await work.outbox.add([_message(*one, at) for one in news])


def notification_id(order_id: str, sequence: int) -> str:
    return f"ntf_{order_id}_{sequence}"


def _transition(order_id: str, sequence: int, at: datetime) -> TransitionRow:
    return TransitionRow(
        id=f"trn_{order_id}_{sequence}",
        subject="order",
        subject_id=order_id,
        sequence=sequence,
        type="order.paid",
        before=None,
        after={"status": "paid"},
        correction=False,
        observed_by="webhook",
        observation_id=None,
        answer_sha256=None,
        lease_no=None,
        version=None,
        occurred_at=None,
        recorded_at=at,
        chained_from=b"",
        hash=b"",
    )


def _message(order_id: str, sequence: int, endpoint: str, at: datetime) -> NotificationRow:
    message = {
        "type": "order.paid",
        "id": notification_id(order_id, sequence),
        "timestamp": time_text(at),
        "schema": "1",
        "data": {"order_id": order_id, "sequence": sequence},
    }
    return NotificationRow(
        id=notification_id(order_id, sequence),
        type="order.paid",
        subject="order",
        subject_id=order_id,
        sequence=sequence,
        account=None,
        reference=None,
        body=serialised(message),
        created_at=at,
        endpoints=(endpoint,),
    )
