"""The fake ERP's door: signatures, memory and misbehaviour."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from service.sandbox.erp import TOLERANCE_SECONDS, is_signed
from tests.sandbox.worlds import Merchant, open_account, pages, play, sample, sandbox_for

SECRET = "whsec_MjuU8KQC0f+9fytytL35b3DazSvuahT3RP/qfidEg6Q="
VECTORS = sample("standard_webhooks")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with pages(sandbox_for(Merchant())) as client:
        await client.post("/sandbox/erp/secrets", json={"secrets": [SECRET]})
        yield client


async def knock(client: httpx.AsyncClient, webhook_id: str = "ntf_1", **data: Any) -> int:
    """Send a signed notification; return the answer's status."""
    body = json.dumps({"type": "payment_request.paid", "data": data}).encode()
    timestamp = str(int(time.time()))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }
    return (await client.post("/erp/hooks", content=body, headers=headers)).status_code


async def behave(client: httpx.AsyncClient, **behaviour: Any) -> None:
    answer = await client.post("/sandbox/erp/behaviour", json=behaviour)
    assert answer.status_code == 200, answer.text


async def received(client: httpx.AsyncClient, after: int = 0) -> Any:
    return (await client.get("/sandbox/erp/notifications", params={"after": after})).json()


def test_the_tolerance_is_that_of_the_vectors() -> None:
    assert VECTORS["tolerance_seconds"] == TOLERANCE_SECONDS


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_signatures_are_judged_like_the_published_cases(case: Any) -> None:
    verdict = is_signed(
        base64.b64decode(case["body_base64"]),
        case["headers"],
        secrets=[case["secret"]],
        now=case["receiver_now"],
    )

    assert verdict == (case["strict_expected"] == "accept")


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_each_live_secret_accepts_alone(vector: Any) -> None:
    body, now = base64.b64decode(vector["body_base64"]), vector["webhook_timestamp"]

    assert all(
        is_signed(body, vector["headers"], secrets=[secret], now=now)
        for secret in vector["secrets"]
    )


async def test_what_arrives_is_kept_with_its_body_and_attempt(client: httpx.AsyncClient) -> None:
    await knock(client, "ntf_1", sequence=1)
    await knock(client, "ntf_1", sequence=1)

    first, second = await received(client)

    assert (first["n"], first["id"], first["type"]) == (1, "ntf_1", "payment_request.paid")
    assert (first["signature_valid"], first["status"]) == (True, 204)
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert second["body"]["data"] == {"sequence": 1}
    assert [each["n"] for each in await received(client, after=1)] == [2]


async def test_a_wrong_signature_is_401_and_counted(client: httpx.AsyncClient) -> None:
    answer = await client.post("/erp/hooks", content=b"not json")

    summary = (await client.get("/sandbox/erp/summary")).json()

    assert answer.status_code == 401
    assert (summary["received"], summary["invalid_signatures"]) == (1, 1)


async def test_the_door_answers_as_scripted(client: httpx.AsyncClient) -> None:
    await behave(client, answers=[410, 404], fail_first=2, status=200)

    assert [await knock(client) for _ in range(5)] == [410, 404, 503, 503, 200]


async def test_an_error_rate_depends_on_the_seed_alone(client: httpx.AsyncClient) -> None:
    runs = []
    for _ in range(2):
        await behave(client, error_rate=0.3, seed=11)
        runs.append([await knock(client) for _ in range(30)])

    assert runs[0] == runs[1]
    assert set(runs[0]) == {204, 500}


async def test_a_reset_call_was_received_but_never_answered(client: httpx.AsyncClient) -> None:
    await behave(client, reset_rate=1)

    with pytest.raises(ConnectionResetError):
        await knock(client)

    (kept,) = await received(client)
    assert (kept["signature_valid"], kept["status"]) == (True, None)


async def test_a_forgotten_notification_was_answered_and_not_kept(
    client: httpx.AsyncClient,
) -> None:
    await behave(client, forget=1)

    assert [await knock(client, "ntf_1"), await knock(client, "ntf_2")] == [204, 204]
    assert [each["id"] for each in await received(client)] == ["ntf_2"]


async def test_a_doubled_notification_is_kept_under_another_id_too(
    client: httpx.AsyncClient,
) -> None:
    await behave(client, double=1)

    assert [await knock(client, "ntf_1"), await knock(client, "ntf_2")] == [204, 204]
    kept = await received(client)
    assert [each["id"] for each in kept] == ["ntf_1", "ntf_1-again", "ntf_2"]
    assert kept[0]["body"] == kept[1]["body"]


async def test_latency_pairs_an_undisturbed_webhook_with_its_notification(
    client: httpx.AsyncClient,
) -> None:
    await open_account(client)
    order = await play(client, "paid")
    shown = {"id": order["provider_id"], "status": "completed"}
    await knock(client, "ntf_1", provider=shown)
    await knock(client, "ntf_2", provider=shown)

    latency = (await client.get("/sandbox/latency")).json()

    assert latency["count"] == len(latency["samples_ms"]) == 1
    assert latency["median_ms"] == latency["p99_ms"] == latency["samples_ms"][0] > 0


async def test_a_webhook_that_was_refused_first_is_no_latency_sample() -> None:
    async with pages(sandbox_for(Merchant(503))) as client:
        await open_account(client)
        order = await play(client, "created")
        await knock(client, "ntf_1", provider={"id": order["provider_id"], "status": "new"})

        latency = (await client.get("/sandbox/latency")).json()

    assert (latency["count"], latency["p99_ms"]) == (0, None)
