"""What a merchant does at GoCardless: create, act, simulate. Source: fact sheet gocardless,
sections 2, 10 and 12.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.sandbox.gocardless_worlds import (
    billing_request,
    payment_of,
    play,
    reason,
    sample,
    visiting,
)
from tests.sandbox.test_gocardless_shapes import shape

SENT = sample("billing_requests/create_request")
CONFLICT = sample("errors/409_idempotent_creation_conflict")["body"]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with visiting() as client:
        yield client


async def test_a_request_is_made_as_in_the_sample_and_can_be_read(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/billing_requests", json=SENT)

    made = answer.json()["billing_requests"]
    assert answer.status_code == 201
    assert shape(made) == shape(sample("billing_requests/pending")["billing_requests"])
    assert made["metadata"] == {"order_ref": "SO-10042"}
    assert await billing_request(client, made["id"]) == made


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("payment_request/amount", 0),
        ("payment_request/amount", "12500"),
        ("payment_request/amount", True),
        ("payment_request/amount", 125.0),
        ("payment_request/currency", "USD"),
        ("payment_request/description", None),
        ("payment_request/scheme", "sepa_credit_transfer"),
        ("payment_request/reference", "INV-1"),
        ("payment_request/metadata", {"a": "1", "b": "2", "c": "3", "d": "4"}),
        ("payment_request/metadata", {"order": 7}),
        ("links/creditor", "CR0000000000001"),
        ("payment_request", None),
    ],
)
async def test_a_creation_is_checked(client: httpx.AsyncClient, path: str, wrong: object) -> None:
    sent: dict[str, Any] = {key: dict(value) for key, value in SENT["billing_requests"].items()}
    *parents, field = path.split("/")
    place = sent
    for parent in parents:
        place = place[parent]
    place[field] = wrong

    answer = await client.post("/billing_requests", json={"billing_requests": sent})

    assert answer.status_code == 422
    assert shape(answer.json()) == shape(sample("errors/422_validation_failed")["body"])
    (error,) = answer.json()["error"]["errors"]
    assert (error["field"], error["request_pointer"]) == (field, f"/billing_requests/{path}")


async def test_what_is_no_json_of_theirs_is_a_bad_request(client: httpx.AsyncClient) -> None:
    plain = await client.post("/billing_requests", content=b"{}", headers={"content-type": "a/b"})
    broken = await client.post(
        "/billing_requests", content=b"{", headers={"content-type": "application/json"}
    )

    assert [plain.status_code, broken.status_code] == [400, 400]
    assert shape(broken.json()) == shape(sample("errors/400_bad_request")["body"])


async def test_a_key_makes_one_request(client: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "b2c9a6a4"}

    first = await client.post("/billing_requests", json=SENT, headers=key)
    again = await client.post("/billing_requests", json=SENT, headers=key)
    other = await client.post("/billing_requests", json=SENT, headers={"idempotency-key": "b3"})

    assert [first.status_code, again.status_code, other.status_code] == [201, 409, 201]
    assert shape(again.json()) == shape(CONFLICT)
    (error,) = again.json()["error"]["errors"]
    assert error["reason"] == CONFLICT["error"]["errors"][0]["reason"]
    made = first.json()["billing_requests"]["id"]
    assert error["links"] == {"conflicting_resource_id": made}


async def test_a_key_that_is_too_long_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/billing_requests", json=SENT, headers={"idempotency-key": "k" * 300}
    )

    assert (answer.status_code, reason(answer)) == (400, "idempotency_key_too_long")


async def test_a_flow_has_the_shape_of_its_sample(client: httpx.AsyncClient) -> None:
    request_id = await play(client, "created")
    uris = {"redirect_uri": "https://shop.example/return", "exit_uri": "https://shop.example/exit"}
    asked = {"links": {"billing_request": request_id}, **uris}

    answer = await client.post("/billing_request_flows", json={"billing_request_flows": asked})

    assert answer.status_code == 201
    assert shape(answer.json()) == shape(sample("flow_created"))


async def act(client: httpx.AsyncClient, path: str, **data: Any) -> httpx.Response:
    return await client.post(path, json={"data": data})


async def test_the_merchants_own_pages_lead_to_a_payment(client: httpx.AsyncClient) -> None:
    made = (await client.post("/billing_requests", json=SENT)).json()["billing_requests"]
    path = f"/billing_requests/{made['id']}/actions"

    too_early = await act(client, f"{path}/fulfil")
    for action in ("collect_customer_details", "collect_bank_account", "confirm_payer_details"):
        assert (await act(client, f"{path}/{action}")).status_code == 200
    await act(client, f"{path}/select_institution", country_code="GB", institution="MONZO")
    await play(client, "open", provider_id=made["id"])
    authorise = {"data": {"links": {"resource": made["id"]}}}
    simulated = await client.post(
        "/scenario_simulators/billing_request_fulfilled/actions/run", json=authorise
    )

    assert (too_early.status_code, too_early.json()["error"]["type"]) == (422, "invalid_state")
    assert simulated.status_code == 200
    assert (await payment_of(client, made["id"]))["status"] == "pending_submission"


async def test_fulfil_by_api_says_so_in_its_event(client: httpx.AsyncClient) -> None:
    request_id = await play(client, "authorising")
    path = f"/billing_requests/{request_id}/actions/fulfil"

    answer = await act(client, path, metadata={"batch": "7"})

    (event,) = (await client.get("/events", params={"action": "fulfilled"})).json()["events"]
    assert answer.json()["billing_requests"]["status"] == "fulfilled"
    assert (event["details"]["origin"], event["metadata"]) == ("api", {"batch": "7"})


@pytest.mark.parametrize(
    ("story", "action", "status"),
    [
        ("open", "cancel", 200),
        ("authorising", "cancel", 200),
        ("cancelled", "cancel", 422),
        ("paid", "cancel", 422),
        ("open", "fallback", 422),
        ("open", "notify", 422),
        ("open", "refund", 404),
    ],
)
async def test_actions_need_the_right_state(
    client: httpx.AsyncClient, story: str, action: str, status: int
) -> None:
    request_id = await play(client, story)

    answer = await act(client, f"/billing_requests/{request_id}/actions/{action}")

    assert answer.status_code == status


async def test_a_payment_is_cancelled_only_before_it_is_submitted(
    client: httpx.AsyncClient,
) -> None:
    early, late = [
        await payment_of(client, await play(client, story)) for story in ("accepted", "processing")
    ]

    cancelled = await act(client, f"/payments/{early['id']}/actions/cancel")
    refused = await act(client, f"/payments/{late['id']}/actions/cancel")

    assert cancelled.json()["payments"]["status"] == "cancelled"
    assert refused.status_code == 422
    expected = sample("errors/422_invalid_state_cancellation_failed")["body"]
    assert shape(refused.json()) == shape(expected)
    assert reason(refused) == "cancellation_failed"


async def test_a_failed_payment_can_be_tried_again(client: httpx.AsyncClient) -> None:
    failed, paid = [
        await payment_of(client, await play(client, story)) for story in ("failed", "paid")
    ]

    retried = await act(client, f"/payments/{failed['id']}/actions/retry")
    refused = await act(client, f"/payments/{paid['id']}/actions/retry")

    assert retried.json()["payments"]["status"] == "pending_submission"
    assert refused.status_code == 422


@pytest.mark.parametrize(
    ("simulator", "story", "status"),
    [
        ("payment_submitted", "accepted", "submitted"),
        ("payment_confirmed", "accepted", "confirmed"),
        ("payment_paid_out", "accepted", "paid_out"),
        ("payment_failed", "accepted", "failed"),
        ("payment_charged_back", "accepted", "charged_back"),
        ("payment_late_failure", "accepted", "failed"),
        ("payment_late_failure", "paid_out", "failed"),
    ],
)
async def test_simulators_drive_a_payment(
    client: httpx.AsyncClient, simulator: str, story: str, status: str
) -> None:
    request_id = await play(client, story)
    payment = await payment_of(client, request_id)
    asked = {"data": {"links": {"resource": payment["id"]}}}

    ran = await client.post(f"/scenario_simulators/{simulator}/actions/run", json=asked)
    again = await client.post("/scenario_simulators/payment_submitted/actions/run", json=asked)

    assert ran.status_code == 200
    assert (await payment_of(client, request_id))["status"] == status
    assert again.status_code == 422
