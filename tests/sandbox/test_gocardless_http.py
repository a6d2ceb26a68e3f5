"""GoCardless's surface over HTTP. Source: fact sheet gocardless, sections 1, 9 and 11."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from service.sandbox.gocardless.stories import STORIES
from tests.sandbox.gocardless_worlds import (
    HEADERS,
    billing_request,
    payment_of,
    play,
    reason,
    sample,
    set_faults,
    visiting,
)
from tests.sandbox.test_gocardless_shapes import shape
from tests.sandbox.worlds import quiet


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with visiting() as client:
        yield client


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in HEADERS.items() if key != name}


@pytest.mark.parametrize("story", STORIES)
async def test_every_story_plays_to_its_end(client: httpx.AsyncClient, story: str) -> None:
    request_id = await play(client, story, reference="SO-10042")

    shown = await billing_request(client, request_id)

    assert (shown["id"], shown["metadata"]) == (request_id, {"order_ref": "SO-10042"})


async def test_the_truth_leaves_out_a_mandate_alone(client: httpx.AsyncClient) -> None:
    await play(client, "mandate_only")
    paid = await play(client, "paid_out")

    truth = (await client.get("/sandbox/truth")).json()

    assert [(each["provider_id"], each["status"]) for each in truth] == [(paid, "settled")]


async def test_only_the_token_opens_the_door(client: httpx.AsyncClient) -> None:
    bare = {"gocardless-version": "2015-07-06"}
    answers = [
        await client.get("/payments", headers=bare | {"authorization": f"Bearer {token}"})
        for token in ("another", "")
    ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert shape(answers[0].json()) == shape(sample("errors/401_unauthorized")["body"])
    assert answers[0].json()["error"]["errors"] == [
        {"reason": "unauthorized", "message": "Unauthorized"}
    ]


async def test_headers_that_every_call_needs_are_missed(client: httpx.AsyncClient) -> None:
    client.headers = httpx.Headers(without("authorization"))
    nobody = await client.get("/payments")
    client.headers = httpx.Headers(without("gocardless-version"))
    no_version = await client.get("/payments")
    old_version = await client.get("/payments", headers={"gocardless-version": "2014-11-03"})

    assert (nobody.status_code, reason(nobody)) == (401, "missing_authorization_header")
    assert (no_version.status_code, reason(no_version)) == (400, "missing_version_header")
    assert (old_version.status_code, reason(old_version)) == (400, "version_not_found")


@pytest.mark.parametrize(
    "path", ["/billing_requests/BRQ1", "/payments/PM1", "/events/EV1", "/webhooks/WB1"]
)
async def test_what_is_unknown_is_404_in_the_documented_envelope(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)

    assert answer.status_code == 404
    assert shape(answer.json()) == shape(sample("errors/404_resource_not_found")["body"])


async def test_a_payment_may_appear_after_the_request_that_made_it(
    client: httpx.AsyncClient,
) -> None:
    request_id = await play(client, "payment_awaited")
    links = (await billing_request(client, request_id))["links"]

    answer = await client.get(f"/payments/{links['payment_request_payment']}")

    assert answer.status_code == 404


async def test_every_answer_says_how_many_calls_are_left(client: httpx.AsyncClient) -> None:
    fine = await client.get("/events")
    missing = await client.get("/events/EV1")

    counts = [int(answer.headers["ratelimit-remaining"]) for answer in (fine, missing)]
    assert counts == [999, 998]
    assert fine.headers["ratelimit-limit"] == "1000"
    reset_at = parsedate_to_datetime(fine.headers["ratelimit-reset"])
    left = reset_at - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=61)


async def test_more_calls_than_allowed_are_429_until_the_reset() -> None:
    async with visiting(call_limit_factor=0.002) as client:
        answers = [await client.get("/events") for _ in range(3)]

    expected = sample("errors/429_rate_limit_exceeded")
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert shape(answers[2].json()) == shape(expected["body"])
    for name in expected["headers"]:
        assert name in answers[2].headers
    assert answers[2].headers["ratelimit-remaining"] == "0"
    assert "retry-after" not in answers[2].headers


async def test_scripted_faults_strike_the_next_reads_in_order(client: httpx.AsyncClient) -> None:
    request_id = await play(client, "paid")
    script = ["error", "too_many", "html", "unauthorised", "not_found", "slow", "fine"]
    await set_faults(client, script=script, retry_after_seconds=7, slow_ms=1)

    answers = [await client.get(f"/billing_requests/{request_id}") for _ in script]

    assert [answer.status_code for answer in answers] == [500, 429, 502, 401, 404, 200, 200]
    assert shape(answers[0].json()) == shape(sample("errors/500_internal")["body"])
    reset_at = parsedate_to_datetime(answers[1].headers["ratelimit-reset"])
    assert timedelta(seconds=4) < reset_at - datetime.now(UTC) <= timedelta(seconds=8)
    assert answers[2].headers["content-type"].startswith("text/html")


async def test_a_stale_read_shows_an_older_picture(client: httpx.AsyncClient) -> None:
    request_id = await play(client, "paid")
    payment = await payment_of(client, request_id)
    await set_faults(client, script=["stale", "fine", "stale", "stale"], stale_ms=60_000)

    stale, fresh = [await billing_request(client, request_id) for _ in range(2)]
    no_payment = await client.get(f"/payments/{payment['id']}")
    no_events = (await client.get("/events")).json()["events"]

    assert (stale["status"], fresh["status"]) == ("pending", "fulfilled")
    assert (no_payment.status_code, no_events) == (404, [])


async def test_a_picture_can_be_wrong_in_its_id_or_its_word(client: httpx.AsyncClient) -> None:
    request_id = await play(client, "paid")
    payment = await payment_of(client, request_id)
    await set_faults(client, script=["wrong_resource", "unknown_word"] * 2 + ["unknown_word"])

    other, odd = [await billing_request(client, request_id) for _ in range(2)]
    other_payment, odd_payment = [
        (await client.get(f"/payments/{payment['id']}")).json()["payments"] for _ in range(2)
    ]
    (listed,) = (await client.get("/billing_requests")).json()["billing_requests"]

    assert other["id"] != request_id
    assert other_payment["id"] != payment["id"]
    assert odd["id"] == request_id
    words = [odd["status"], odd_payment["status"], listed["status"]]
    assert words == ["under_investigation"] * 3


async def test_reads_are_counted_by_kind(client: httpx.AsyncClient) -> None:
    request_id = await play(client, "paid")
    await payment_of(client, request_id)
    for path in ("/billing_requests", "/payments", "/events", "/events", "/webhooks"):
        await client.get(path)

    stats = await quiet(client)

    assert stats["provider_reads"] == {
        "billing_request": 1,
        "billing_requests": 1,
        "events": 2,
        "payment": 1,
        "payments": 1,
        "webhooks": 1,
    }


async def test_a_currency_that_cannot_be_asked_for_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sandbox/accounts/gc-live/stories/paid", json={"currency": "USD"})

    assert answer.status_code == 400
    assert "USD" in answer.json()["error"]
