"""The fake ING Payment Request API. Source: fact sheet ing_payment_request."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.sandbox.app import create_app
from service.sandbox.ing_payment_request.stories import STORIES
from tests.sandbox.worlds import AT_ONCE, quiet, sample

CLIENT_ID = "dc46e4b8-70aa-4da4-b74a-a2576680f004"
KEY = generate_private_key(65537, 2048)
PUBLIC_KEY = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

# Of a request for 70.00: the provider's word, what /payments shows; then status, received, final.
OUTCOMES = {
    "open": ("open", [], "open", 0, False),
    "paid": ("fulfilled", [7000], "paid", 7000, True),
    "paid_slowly": ("fulfilled", [7000], "paid", 7000, True),
    "several_payers": ("fulfilled", [2000, 5000], "paid", 7000, True),
    "part_paid_open": ("open", [5000], "part_paid", 5000, False),
    "part_paid": ("expired", [5000], "part_paid", 5000, True),
    "part_paid_closed": ("closed", [5000], "part_paid", 5000, True),
    "fulfilled_by_count": ("fulfilled", [5000], "part_paid", 5000, True),
    "overpaid": ("open", [7000, 7000], "paid", 14000, True),
    "payments_lag": ("fulfilled", [7000], "paid", 7000, True),
    "payments_not_visible": ("fulfilled", [], "processing", 0, False),
    "expired": ("expired", [], "expired", 0, True),
    "cancelled": ("closed", [], "cancelled", 0, True),
    "late_money": ("expired", [7000], "paid", 7000, True),
    "paid_after_close": ("closed", [7000], "paid", 7000, True),
    "stale_read": ("fulfilled", [7000], "paid", 7000, True),
}


class Clock:
    """A time that a test moves on."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(now=clock)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox") as client,
    ):
        await open_account(client)
        yield client


async def open_account(client: httpx.AsyncClient, **settings: Any) -> None:
    ordinary = {
        "name": "ing",
        "provider": "ing_payment_request",
        "client_id": CLIENT_ID,
        "pace": AT_ONCE,
    }
    answer = await client.post("/sandbox/accounts", json=ordinary | settings)
    assert answer.status_code in (200, 201), answer.text


async def log_in(client: httpx.AsyncClient, **form: str) -> None:
    asked = {"grant_type": "client_credentials", "client_id": CLIENT_ID} | form
    answer = await client.post("/oauth2/token", data=asked)
    assert answer.status_code == 200, answer.text
    client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"


async def play(client: httpx.AsyncClient, clock: Clock, story: str, **body: Any) -> str:
    """Play a story to its end and beyond the life of its request; return the request's id."""
    asked = {"amount": 7000, "reference": "INV-1", **body}
    answer = await client.post(f"/sandbox/accounts/ing/stories/{story}", json=asked)
    assert answer.status_code == 201, answer.text
    await quiet(client)
    clock.now += timedelta(seconds=5)
    return str(answer.json()["provider_id"])


def signed(method: str, target: str, body: bytes = b"", **changed: str) -> dict[str, str]:
    """Return the headers that sign a call, with some of them changed afterwards."""
    digest = f"SHA-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}"
    date = format_datetime(datetime.now(UTC), usegmt=True)
    text = f"(request-target): {method} {target}\ndate: {date}\ndigest: {digest}"
    signature = base64.b64encode(KEY.sign(text.encode(), PKCS1v15(), SHA256())).decode()
    parts = (
        f'keyId="{CLIENT_ID}",algorithm="rsa-sha256",headers="(request-target) date digest",'
        f'signature="{signature}"'
    )
    return {"date": date, "digest": digest, "signature": parts, "x-ing-reqid": "1", **changed}


def shape(value: Any) -> Any:
    """Return a value's structure: names and types, numbers being numbers."""
    match value:
        case dict():
            return {name: shape(inner) for name, inner in value.items()}
        case list():
            return [shape(inner) for inner in value[:1]]
        case bool():
            return bool
        case int() | float():
            return float
        case _:
            return type(value)


@pytest.mark.parametrize("story", STORIES)
async def test_a_story_ends_in_its_one_true_outcome(
    client: httpx.AsyncClient, clock: Clock, story: str
) -> None:
    await log_in(client)
    request_id = await play(client, clock, story)

    shown = (await client.get(f"/payment-requests/{request_id}")).json()
    payments = (await client.get(f"/payment-requests/{request_id}/payments")).json()["payments"]
    (truth,) = (await client.get("/sandbox/truth")).json()

    cents = [round(payment["amount"]["value"] * 100) for payment in payments]
    said = (shown["status"], cents, truth["status"], truth["received"], truth["final"])
    assert said == OUTCOMES[story]
    assert (truth["refunded"], truth["amount"], truth["reference"]) == (0, 7000, "INV-1")
    assert len({payment["transactionId"] for payment in payments}) == len(payments)


@pytest.mark.parametrize(
    ("story", "name"),
    [("open", "get_open"), ("paid", "get_fulfilled"), ("part_paid_open", "get_open_multi_payer")],
)
async def test_a_read_has_the_shape_of_the_sample(
    client: httpx.AsyncClient, clock: Clock, story: str, name: str
) -> None:
    await log_in(client)
    request_id = await play(client, clock, story)

    shown = shape((await client.get(f"/payment-requests/{request_id}")).json())
    expected = shape(sample(f"ing_payment_request/{name}"))
    expected.pop("returnUrl", None)

    assert shown == expected


async def test_payments_have_the_shape_of_the_sample(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client)
    request_id = await play(client, clock, "several_payers")

    answer = await client.get(f"/payment-requests/{request_id}/payments")

    assert shape(answer.json()) == shape(sample("ing_payment_request/payments_multiple"))


async def test_a_request_expires_when_its_time_is_over(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client)
    body = sample("ing_payment_request/create_request_fixed")
    body["validUntil"] = (clock.now + timedelta(minutes=1)).isoformat()
    made = (await client.post("/payment-requests", json=body)).json()

    words = []
    for _ in range(2):
        words.append((await client.get(f"/payment-requests/{made['id']}")).json()["status"])
        clock.now += timedelta(minutes=2)
        await log_in(client)

    (truth,) = (await client.get("/sandbox/truth")).json()
    assert words == ["open", "expired"]
    assert (truth["status"], truth["final"]) == ("expired", True)


async def test_a_token_lives_for_fifteen_minutes(client: httpx.AsyncClient, clock: Clock) -> None:
    await log_in(client)
    request_id = await play(client, clock, "open")
    path = f"/payment-requests/{request_id}"

    fresh = await client.get(path)
    clock.now += timedelta(seconds=900)
    late = await client.get(path)

    assert fresh.status_code == 200
    assert (late.status_code, late.json()) == (401, sample("ing_payment_request/error_401"))


async def test_the_token_answer_has_the_fields_of_the_sample(client: httpx.AsyncClient) -> None:
    asked = {"grant_type": "client_credentials", "client_id": CLIENT_ID}

    answer = await client.post("/oauth2/token", data=asked)
    refused = await client.post("/oauth2/token", data={"client_id": CLIENT_ID})

    expected = sample("ing_payment_request/token_response")
    assert answer.json() | {"access_token": ""} == expected | {"access_token": ""}
    assert (refused.status_code, refused.json()) == (
        400,
        sample("ing_payment_request/token_error_400"),
    )


async def test_with_a_signing_key_every_call_has_to_be_signed(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await open_account(client, signing_public_key=PUBLIC_KEY)
    body = b"grant_type=client_credentials"
    request_id = await play(client, clock, "paid")
    path = f"/payment-requests/{request_id}"
    headers = signed("post", "/oauth2/token", body)
    login = {
        **headers,
        "authorization": f"Signature {headers['signature']}",
        "content-type": "application/x-www-form-urlencoded",
    }

    token = await client.post("/oauth2/token", content=body, headers=login)
    client.headers["authorization"] = f"Bearer {token.json()['access_token']}"
    good = await client.get(path, headers=signed("get", path))

    assert (token.status_code, good.status_code) == (200, 200)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed("get", "/payment-requests/x", digest="SHA-256=AAAA"),
        signed("get", "/payment-requests/another"),
        signed("GET", "/payment-requests/x"),
        signed("get", "/payment-requests/x", date="Tue, 14 May 2024 09:12:03 GMT"),
        signed("get", "/payment-requests/x", signature='keyId="x"'),
    ],
    ids=["none", "another body", "another path", "upper case", "another date", "not one"],
)
async def test_a_call_that_is_signed_wrongly_is_refused(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    await log_in(client)
    await open_account(client, signing_public_key=PUBLIC_KEY)

    answer = await client.get("/payment-requests/x", headers=headers)

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("purchaseId", "INV-1"),
        ("purchaseId", "A" * 36),
        ("description", "Invoice 1/2"),
        ("validUntil", "2024-06-18T23:59:59"),
        ("validUntil", (datetime.now(UTC) + timedelta(days=36)).isoformat()),
        ("validUntil", (datetime.now(UTC) - timedelta(days=1)).isoformat()),
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
    body = sample("ing_payment_request/create_request_fixed")
    body["validUntil"] = (clock.now + timedelta(days=30)).isoformat()

    answer = await client.post("/payment-requests", json=body | {field: value})

    error = answer.json()["error"]
    assert (answer.status_code, error["target"]) == (400, field)
    assert error.keys() == sample("ing_payment_request/error_400_field")["error"].keys()


async def test_the_samples_of_creations_are_taken(client: httpx.AsyncClient, clock: Clock) -> None:
    await log_in(client)
    until = {"validUntil": (clock.now + timedelta(days=30)).isoformat()}
    fixed = sample("ing_payment_request/create_request_fixed")
    text = json.dumps(sample("ing_payment_request/create_request_variable") | until)
    # Two decimal places, as in the sample's text: json writes 10.00 with one.
    variable = text.replace("10.0", "10.00").replace("50.0", "50.00").replace(".0,", ".00,")

    answers = [
        await client.post("/payment-requests", json=fixed | until),
        await client.post("/payment-requests", content=variable),
    ]

    assert [answer.status_code for answer in answers] == [201, 201], answers[1].text
    made = answers[0].json()
    assert made.keys() == sample("ing_payment_request/create_response_201").keys()
    assert answers[0].headers["location"].endswith(made["id"])


async def test_what_is_not_json_is_refused_as_in_the_sample(client: httpx.AsyncClient) -> None:
    await log_in(client)

    answer = await client.post("/payment-requests", content=b"{")

    assert (answer.status_code, answer.json()) == (400, sample("ing_payment_request/error_400"))


async def test_only_an_open_request_can_be_closed(client: httpx.AsyncClient, clock: Clock) -> None:
    await log_in(client)
    path = f"/payment-requests/{await play(client, clock, 'open')}"

    first, second = [await client.post(f"{path}/close") for _ in range(2)]

    assert first.status_code == 204
    assert (second.status_code, second.json()) == (
        409,
        sample("ing_payment_request/error_409_close"),
    )


async def test_a_scope_that_was_not_granted_forbids_the_call(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client)
    await open_account(client, scopes=["payment-requests:view"], registration="Disabled")
    path = f"/payment-requests/{await play(client, clock, 'open')}"

    answers = [
        await client.get(path),
        await client.post(f"{path}/close"),
        await client.get("/payment-requests/registrations"),
    ]

    assert [answer.status_code for answer in answers] == [200, 403, 403]
    assert answers[1].json() == sample("ing_payment_request/error_403")


async def test_the_registration_says_its_state_and_without_it_nothing_is_created(
    client: httpx.AsyncClient,
) -> None:
    await log_in(client)
    active = (await client.get("/payment-requests/registrations")).json()
    await open_account(client, registration="CertificateNotUploadedInIdealContract")
    waiting = (await client.get("/payment-requests/registrations")).json()

    refused = await client.post("/payment-requests", json={})

    assert shape(active) == shape(sample("ing_payment_request/registration_get_active"))
    assert (active["status"], waiting["status"]) == (
        "Active",
        "CertificateNotUploadedInIdealContract",
    )
    assert refused.status_code == 403


async def test_a_distorted_read_shows_another_age_id_or_word(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client)
    path = f"/payment-requests/{await play(client, clock, 'paid')}"
    script = ["stale", "wrong_resource", "unknown_word", "error", "too_many", "html", "fine"]
    faults = {"script": script, "stale_ms": 3_600_000, "retry_after_seconds": 7}
    await client.post("/sandbox/accounts/ing/faults", json=faults)

    answers = [await client.get(path) for _ in script]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 500, 429, 502, 200]
    stale, wrong, unknown = (answer.json() for answer in answers[:3])
    assert stale["status"] == "open"
    assert not path.endswith(wrong["id"])
    assert unknown["status"] not in {"open", "fulfilled", "closed", "expired"}
    assert answers[4].headers["retry-after"] == "7"
    assert (await quiet(client))["provider_reads"] == {"read": 7, "token": 1}


async def test_another_id_is_not_found(client: httpx.AsyncClient) -> None:
    await log_in(client)

    answer = await client.get("/payment-requests/xrgq1coyp1pnnfigiaaa6pqn1o9lc0gh")

    assert (answer.status_code, answer.json()) == (404, sample("ing_payment_request/error_404"))
