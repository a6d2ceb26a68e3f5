"""Creating and closing at the fake ING. Source: fact sheet ing_payment_request, section 5."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.sandbox.ing_worlds import Clock, log_in, open_bank, play, sample


def days_ahead(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with open_bank(clock) as client:
        yield client


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("purchaseId", "INV-1"),
        ("purchaseId", "A" * 36),
        ("description", "Invoice 1/2"),
        ("validUntil", "2024-06-18T23:59:59"),
        pytest.param("validUntil", days_ahead(36), id="validUntil-too-late"),
        pytest.param("validUntil", days_ahead(-1), id="validUntil-over"),
        ("fixedAmount", {"value": 100.5, "currency": "EUR"}),
        ("fixedAmount", {"value": 0, "currency": "EUR"}),
        ("fixedAmount", {"value": 1, "currency": "USD"}),
        ("fixedAmount", None),
        ("maximumAllowedPayments", 0),
        ("maximumReceivableAmount", {"value": 5001, "currency": "EUR"}),
        ("returnUrl", "http://shop.example"),
    ],
)
async def test_a_creation_outside_the_limits_names_its_field(
    client: httpx.AsyncClient, clock: Clock, field: str, value: object
) -> None:
    await log_in(client)
    body = sample("create_request_fixed")
    body["validUntil"] = (clock.now + timedelta(days=30)).isoformat()

    answer = await client.post("/payment-requests", json=body | {field: value})

    error = answer.json()["error"]
    assert (answer.status_code, error["target"]) == (400, field)
    assert error.keys() == sample("error_400_field")["error"].keys()


async def test_the_samples_of_creations_are_taken(client: httpx.AsyncClient, clock: Clock) -> None:
    await log_in(client)
    until = {"validUntil": (clock.now + timedelta(days=30)).isoformat()}
    fixed = sample("create_request_fixed")
    text = json.dumps(sample("create_request_variable") | until)
    # Two decimal places, as in the sample's text: json writes 10.00 with one.
    variable = text.replace("10.0", "10.00").replace("50.0", "50.00").replace(".0,", ".00,")

    answers = [
        await client.post("/payment-requests", json=fixed | until),
        await client.post("/payment-requests", content=variable),
    ]

    assert [answer.status_code for answer in answers] == [201, 201], answers[1].text
    made = answers[0].json()
    assert made.keys() == sample("create_response_201").keys()
    assert answers[0].headers["location"].endswith(made["id"])


async def test_what_is_not_json_is_refused_as_in_the_sample(client: httpx.AsyncClient) -> None:
    await log_in(client)

    answer = await client.post("/payment-requests", content=b"{")

    assert (answer.status_code, answer.json()) == (400, sample("error_400"))


async def test_only_an_open_request_can_be_closed(client: httpx.AsyncClient, clock: Clock) -> None:
    await log_in(client)
    path = f"/payment-requests/{await play(client, clock, 'open')}"

    first, second = [await client.post(f"{path}/close") for _ in range(2)]

    assert first.status_code == 204
    assert (second.status_code, second.json()) == (
        409,
        sample("error_409_close"),
    )


async def test_another_id_is_not_found(client: httpx.AsyncClient) -> None:
    await log_in(client)

    answer = await client.get("/payment-requests/xrgq1coyp1pnnfigiaaa6pqn1o9lc0gh")

    assert (answer.status_code, answer.json()) == (404, sample("error_404"))


async def test_a_payer_may_be_left_to_choose_the_amount(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client)
    body = sample("create_request_fixed")
    del body["fixedAmount"], body["maximumReceivableAmount"]
    body["variableAmount"] = {"suggestedValue": 0, "currency": "EUR"}
    body["validUntil"] = (clock.now + timedelta(days=30)).isoformat()

    made = await client.post("/payment-requests", json=body)
    (truth,) = (await client.get("/sandbox/truth")).json()

    assert made.status_code == 201
    assert (truth["amount"], truth["status"], truth["final"]) == (None, "open", False)
