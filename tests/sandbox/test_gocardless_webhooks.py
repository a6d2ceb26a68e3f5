"""GoCardless's webhooks. Source: fact sheet gocardless, section 5."""

import base64
import hashlib
import hmac
import itertools
import json
from typing import Any

import httpx
import msgspec
import pytest

from service.sandbox.faults import Draws, Faults, WebhookFault
from service.sandbox.gocardless.hooks import signature
from tests.sandbox.gocardless_worlds import (
    SECRET,
    Receiver,
    account,
    play,
    played,
    sample,
    visiting,
)
from tests.sandbox.worlds import quiet

VALID = [vector for vector in sample("signature_vectors")["vectors"] if vector["valid"]]


@pytest.mark.parametrize("vector", VALID, ids=[vector["name"] for vector in VALID])
def test_a_signature_is_that_of_the_vectors(vector: Any) -> None:
    body = base64.b64decode(vector["body_base64"])

    assert signature(vector["secret"], body) == vector["header_value"]


async def test_a_call_is_signed_and_marked_as_in_the_samples() -> None:
    receiver = Receiver()
    async with visiting(receiver) as client:
        await play(client, "created")

    (request,) = receiver.requests
    digest = hmac.new(SECRET.encode(), request.content, hashlib.sha256).hexdigest()
    expected = sample("webhooks/batch_of_four")
    assert request.headers["webhook-signature"] == digest
    for name in ("Content-Type", "User-Agent", "Origin"):
        assert request.headers[name] == expected["headers"][name]
    (body,) = receiver.bodies
    assert body.keys() == expected["body_for_reading"].keys()
    assert body["meta"]["webhook_id"].startswith("WB")
    assert request.content == json.dumps(body, separators=(",", ":")).encode()


async def test_live_calls_come_from_elsewhere_and_older_bodies_have_no_meta() -> None:
    receiver = Receiver()
    async with visiting(receiver, environment="live", webhook_meta=False) as client:
        await play(client, "created")

    assert receiver.requests[0].headers["origin"] == "https://api.gocardless.com"
    assert receiver.bodies[0].keys() == {"events"}


async def test_what_happens_at_one_moment_leaves_in_one_body() -> None:
    receiver = Receiver()
    async with visiting(receiver) as client:
        await play(client, "paid_at_once")

    told = [f"{each['resource_type']} {each['action']}" for each in receiver.bodies[-1]["events"]]
    assert told == [
        "billing_requests fulfilled",
        "payments created",
        "payments submitted",
        "payments confirmed",
    ]


async def test_a_payer_may_decline_and_still_pay() -> None:
    receiver = Receiver()
    async with visiting(receiver) as client:
        await play(client, "payer_declines_then_pays")

    denied = receiver.actions.index("billing_requests bank_authorisation_denied")
    authorised = receiver.actions.index("billing_requests bank_authorisation_authorised")
    assert denied < authorised < receiver.actions.index("payments confirmed")


async def test_events_that_nobody_knows_come_among_the_others() -> None:
    receiver = Receiver()
    async with visiting(receiver) as client:
        await play(client, "unknown_events")

    (mixed,) = [body["events"] for body in receiver.bodies if len(body["events"]) == 3]
    told = [f"{event['resource_type']} {event['action']}" for event in mixed]
    assert told == [
        "payments liquidity_checked",
        "loyalty_cards stamped",
        "payments submitted",
    ]


async def test_a_refund_is_told_by_an_event_that_names_no_payment() -> None:
    receiver = Receiver()
    async with visiting(receiver) as client:
        await play(client, "refund")

    refunds = [each for each in receiver.events if each["resource_type"] == "refunds"]
    assert [each["action"] for each in refunds] == ["created", "paid"]
    assert [list(each["links"]) for each in refunds] == [["refund"], ["refund"]]


async def test_gathered_news_of_many_requests_leave_in_bodies_of_up_to_250() -> None:
    receiver = Receiver()
    async with visiting(receiver, gather_ms=100) as client:
        plan = {"reference": "INV", "story": "created", "count": 251}
        await client.post("/sandbox/accounts/gc-live/requests", json=plan)
        await quiet(client)

    assert sum(len(body["events"]) for body in receiver.bodies) == 251
    assert max(len(body["events"]) for body in receiver.bodies) <= 250
    assert len(receiver.bodies) < 10


def test_251_events_are_two_bodies_about_251_requests() -> None:
    holder = account(webhook_url="https://merchant.example/hooks")
    for _ in range(251):
        played("created", at=holder)

    calls = holder.take_calls()

    sizes = [len(json.loads(call.body)["events"]) for call in calls]
    assert (sizes, [len(call.about) for call in calls]) == ([250, 1], [250, 1])
    assert list(holder.take_calls()) == []


def test_a_call_names_the_word_that_follows_from_it_once_per_request() -> None:
    holder = account(webhook_url="https://merchant.example/hooks")
    paid, mandate = played("paid", at=holder), played("mandate_only", at=holder)

    (call,) = holder.take_calls()

    assert [(news.provider_id, news.word) for news in call.news] == [(paid.id, "confirmed")]
    assert set(call.about) == {paid.id, mandate.id}


def test_waits_grow_over_eight_more_tries_of_ten_seconds_each() -> None:
    patience = account(time_scale=1).patience

    assert patience.waits[:3] == (60, 120, 600)
    assert len(patience.waits) == 8
    assert list(patience.waits) == sorted(set(patience.waits))
    assert (patience.first_timeout, patience.later_timeout) == (10, 10)


async def test_a_refused_call_comes_again_with_the_same_bytes() -> None:
    receiver = Receiver(498, 302, 500)
    async with visiting(receiver) as client:
        await play(client, "created")
        stats = await quiet(client)

    assert len({request.content for request in receiver.requests}) == 1
    assert (stats["webhooks"]["refused"], stats["webhooks"]["accepted"]) == (3, 1)


async def test_a_call_that_was_given_up_is_listed_and_can_be_sent_again() -> None:
    receiver = Receiver(*[500] * 9)
    async with visiting(receiver) as client:
        await play(client, "created")
        assert len(receiver.requests) == 9

        (failed,) = await webhooks(client, successful="false")
        again = await client.post(f"/webhooks/{failed['id']}/actions/retry")
        stats = await quiet(client)
        (webhook,) = await webhooks(client)

    assert (again.status_code, failed["response_code"]) == (200, 500)
    assert (webhook["successful"], webhook["response_code"]) == (True, 204)
    assert (stats["webhooks"]["given_up"], stats["webhooks"]["accepted"]) == (1, 1)
    assert receiver.requests[-1].content == receiver.requests[0].content


async def webhooks(client: httpx.AsyncClient, **params: str) -> Any:
    return (await client.get("/webhooks", params=params)).json()["webhooks"]


async def test_no_answer_counts_as_a_refusal() -> None:
    attempts = itertools.count()

    class Deaf(Receiver):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if next(attempts) == 0:
                raise httpx.ReadTimeout("10 s are over")
            return super().__call__(request)

    async with visiting(Deaf()) as client:
        await play(client, "created")
        stats = await quiet(client)

    assert (stats["webhooks"]["refused"], stats["webhooks"]["accepted"]) == (1, 1)


async def test_a_dropped_call_is_only_in_the_lists() -> None:
    receiver = Receiver()
    async with visiting(receiver, faults={"drop": 1}) as client:
        await play(client, "paid")

        events = (await client.get("/events")).json()["events"]
        unsent = await webhooks(client, successful="false")

    assert receiver.requests == []
    assert len(events) > 10
    assert {webhook["response_code"] for webhook in unsent} == {None}


async def test_a_duplicated_call_brings_the_same_events_twice() -> None:
    receiver = Receiver()
    async with visiting(receiver, faults={"duplicate": 1}) as client:
        await play(client, "created")

    assert [event["id"] for event in receiver.events] == [receiver.events[0]["id"]] * 2


async def test_a_reordered_call_is_overtaken_by_the_next_of_its_request() -> None:
    receiver = Receiver()
    faults = Faults(reorder=0.5, reorder_ms=60_000)
    seed = seed_that_draws([WebhookFault.REORDERED, None, None, None], faults)
    settings = {"seed": seed, "faults": msgspec.to_builtins(faults)}
    async with visiting(receiver, **settings) as client:
        await play(client, "open")

    assert receiver.actions[0] == "billing_requests flow_created"
    assert "billing_requests created" in receiver.actions


def seed_that_draws(wanted: list[WebhookFault | None], faults: Faults) -> int:
    for seed in itertools.count():
        draws = Draws(f"gc-live:{seed}")
        if [draws.webhook_fault(faults) for _ in wanted] == wanted:
            break
    return seed


async def test_the_same_seed_makes_the_same_ids() -> None:
    seen = []
    for _ in range(2):
        receiver = Receiver()
        async with visiting(receiver, seed=3) as client:
            await play(client, "paid")
        seen.append([(event["id"], event["links"]) for event in receiver.events])

    assert seen[0] == seen[1]
