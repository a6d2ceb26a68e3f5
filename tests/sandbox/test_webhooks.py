"""The provider's webhooks. Source: fact sheet ginger, section 13."""

import itertools
from collections import Counter
from typing import Any

import httpx
import msgspec
import pytest

from service.sandbox.faults import Draws, Faults, WebhookFault
from tests.sandbox.worlds import (
    PROJECT_ID,
    Merchant,
    account,
    open_account,
    pages,
    play,
    quiet,
    sample,
    sandbox_for,
)

ORDERS = {"reference": "INV", "story": "paid", "count": 40}


async def test_every_change_of_the_order_status_is_told_once() -> None:
    merchant = Merchant()
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client)
        order = await play(client, "error_then_paid")

    assert merchant.words == ["new", "processing", "error", "processing", "completed"]
    assert {body["order_id"] for body in merchant.bodies} == {order["provider_id"]}
    assert merchant.bodies[-1].keys() == sample("webhook_completed").keys()


async def test_a_brand_may_leave_the_status_out() -> None:
    merchant = Merchant()
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client, webhook_order_status=False)
        await play(client, "open")

    assert merchant.bodies[0].keys() == sample("webhook_without_order_status").keys()


async def test_transactions_are_told_of_where_a_brand_does() -> None:
    merchant = Merchant()
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client, transaction_events=True)
        await play(client, "part_refund")

    about = [body for body in merchant.bodies if body["event"] == "transaction_status_changed"]
    expected = sample("webhook_transaction_status_changed")
    words = [body["transaction_status"] for body in about]
    assert words == ["new", "pending", "completed", "processing", "completed"]
    assert {frozenset(body) for body in about} == {frozenset(expected)}


async def test_an_order_of_another_project_is_told_with_its_project() -> None:
    merchant = Merchant()
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client)
        order = await play(client, "foreign_project")
        shown = (await client.get(f"/v1/orders/{order['provider_id']}/")).json()

    assert {body["project_id"] for body in merchant.bodies} == {shown["project_id"]}
    assert shown["project_id"] != PROJECT_ID


async def test_captures_are_told_to_nobody() -> None:
    merchant = Merchant()
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client)
        await play(client, "part_captured_rest_voided")

    assert merchant.words == ["new", "processing", "completed"]


@pytest.mark.parametrize(
    ("story", "words"), [("refund", ["processing", "completed"]), ("silent_refund", [])]
)
async def test_a_refund_order_speaks_for_itself_where_the_story_says_so(
    story: str, words: list[str]
) -> None:
    merchant = Merchant()
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client)
        order = await play(client, story)

    told = [b["order_status"] for b in merchant.bodies if b["order_id"] != order["provider_id"]]
    assert told == words
    assert merchant.words[:3] == ["new", "processing", "completed"]


async def test_a_refused_webhook_comes_again_with_the_same_body() -> None:
    merchant = Merchant(503, 302)
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client)
        await play(client, "created")
        stats = await quiet(client)

    assert merchant.words == ["new", "new", "new"]
    assert (stats["webhooks"]["refused"], stats["webhooks"]["accepted"]) == (2, 1)


async def test_after_ten_tries_the_notification_is_gone() -> None:
    merchant = Merchant(*[500] * 20)
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client)
        await play(client, "created")
        stats = await quiet(client)

    assert len(merchant.bodies) == 10
    assert (stats["webhooks"]["given_up"], stats["webhooks"]["planned"]) == (1, 1)


async def test_no_answer_counts_as_a_refusal() -> None:
    attempts = itertools.count()

    class Deaf(Merchant):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if next(attempts) == 0:
                raise httpx.ReadTimeout("4 s are over")
            return super().__call__(request)

    async with pages(sandbox_for(Deaf())) as client:
        await open_account(client)
        await play(client, "created")
        stats = await quiet(client)

    assert (stats["webhooks"]["refused"], stats["webhooks"]["accepted"]) == (1, 1)


def test_redeliveries_are_two_minutes_apart_until_the_tenth_failure() -> None:
    assert account(time_scale=1).patience.waits == (120.0,) * 9
    assert account(time_scale=0.01).patience.waits[0] == pytest.approx(1.2)


async def stats_of_forty_paid_orders(**settings: Any) -> tuple[Merchant, Any]:
    merchant = Merchant()
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client, **settings)
        answer = await client.post("/sandbox/accounts/ginger-nl/requests", json=ORDERS)
        assert len(answer.json()) == 40
        return merchant, (await quiet(client))["webhooks"]


async def test_faults_are_counted_exactly_as_the_seed_draws_them() -> None:
    faults = Faults(drop=0.2, duplicate=0.1, reorder=0.1, late=0.1, late_ms=1, reorder_ms=1)
    draws = Draws("ginger-nl:7")
    drawn = Counter(draws.webhook_fault(faults) for _ in range(120))

    settings = {"seed": 7, "faults": msgspec.to_builtins(faults)}
    merchant, counts = await stats_of_forty_paid_orders(**settings)

    assert counts["planned"] == 120
    for fault in WebhookFault:
        assert counts[fault.value] == drawn[fault] > 0
    assert len(merchant.bodies) == 120 - counts["dropped"] + counts["duplicated"]
    assert counts["sent"] == counts["accepted"] == len(merchant.bodies)


async def test_a_reordered_webhook_is_overtaken_by_the_next_one_of_its_order() -> None:
    merchant = Merchant()
    faults = Faults(reorder=0.5, reorder_ms=60_000)
    seed = seed_that_draws([WebhookFault.REORDERED, None, None], faults)
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client, seed=seed, faults=msgspec.to_builtins(faults))
        await play(client, "paid")

    assert merchant.words[0] == "processing"
    assert Counter(merchant.words) == {"new": 1, "processing": 1, "completed": 1}


def seed_that_draws(wanted: list[WebhookFault | None], faults: Faults) -> int:
    for seed in itertools.count():
        draws = Draws(f"ginger-nl:{seed}")
        if [draws.webhook_fault(faults) for _ in wanted] == wanted:
            break
    return seed
