"""What is followed live: everything once, in time order, also what was committed late."""

from datetime import UTC, datetime, timedelta
from typing import Any

from service.storage.database import Pool
from service.storage.lanes import Lanes
from service.storage.unit_of_work import unit_of_work
from service.storage.views.live import WHAT, Live
from tests.storage.rows import (
    AT,
    insert,
    insert_delivery,
    insert_event,
    insert_notification,
    insert_order,
    insert_request,
    insert_transition,
)


async def following(pool: Pool, *what: str) -> Live:
    live = Live(pool, what or WHAT, attempt_seconds=20)
    await live.begin()
    return live


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def attempt(pool: Pool, delivery: str, number: int, *, at: datetime) -> None:
    await insert(
        pool, "attempts", delivery_id=delivery, number=number, at=at, outcome="http_204",
        status_code=204, duration_ms=12, notified_at=AT,
    )  # fmt: skip


async def a_story(pool: Pool, *, at: datetime) -> str:
    """One of everything about one request; return the id of its delivery."""
    async with unit_of_work(pool) as work:
        await Lanes(work.connection).ensure([("erp", "webhook")])
    await insert(pool, "accounts", name="ginger-nl", provider="ginger")
    request = await insert_request(pool, "a", reference="INV-1")
    await insert_event(pool, "1", "a", day=at.date(), received_at=at)
    await insert_transition(pool, request, 1, recorded_at=at)
    notification = await insert_notification(pool, request, 1, created_at=at)
    delivery = await insert_delivery(pool, notification, subject_id=request)
    await attempt(pool, delivery, 1, at=at)
    return delivery


async def test_what_was_there_is_not_shown_and_what_comes_is_shown_once_in_order(
    pool: Pool,
) -> None:
    before = await following(pool)
    await a_story(pool, at=datetime.now(UTC))
    after = await following(pool)

    news = await before.news()

    assert [entry["what"] for entry in news] == ["event", "transition", "notification", "attempt"]
    assert news[1]["reference"] == "INV-1"
    assert await before.news() == []
    assert await after.news() == []


async def test_an_attempt_that_took_long_is_shown_although_later_ones_were(pool: Pool) -> None:
    delivery = await a_story(pool, at=ago(60))
    live = await following(pool, "attempt")

    await attempt(pool, delivery, 3, at=ago(0))
    first = await live.news()
    await attempt(pool, delivery, 2, at=ago(18))
    second = await live.news()

    assert [numbers(news) for news in (first, second)] == [[3], [2]]


def numbers(news: list[dict[str, Any]]) -> list[int]:
    return [entry["number"] for entry in news]


async def test_only_what_was_asked_for_is_shown(pool: Pool) -> None:
    live = await following(pool, "transition")
    order = await insert_order(pool, "INV-1")
    await insert_transition(
        pool, order, 1, subject="order", type="order.paid", recorded_at=datetime.now(UTC)
    )

    (entry,) = await live.news()

    assert (entry["reference"], entry["type"]) == ("INV-1", "order.paid")
