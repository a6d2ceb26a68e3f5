"""The merchant's registration at the fake ING. Source: fact sheet, sections 5.7 and 6.2."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.sandbox.ing_worlds import (
    Clock,
    log_in,
    open_account,
    open_bank,
    sample,
    sample_text,
    shape,
)

PATH = "/payment-requests/registrations"

EUR_1 = {"value": 1, "currency": "EUR"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with open_bank(clock) as client:
        yield client


async def test_the_registration_says_its_state_and_without_it_nothing_is_created(
    client: httpx.AsyncClient,
) -> None:
    await log_in(client)
    active = (await client.get(PATH)).json()
    await open_account(client, registration="CertificateNotUploadedInIdealContract")
    waiting = (await client.get(PATH)).json()

    refused = await client.post("/payment-requests", json={})

    assert shape(active) == shape(sample("registration_get_active"))
    assert (active["status"], waiting["status"]) == (
        "Active",
        "CertificateNotUploadedInIdealContract",
    )
    assert refused.status_code == 403


async def test_a_merchant_registers_and_waits_for_its_certificate(
    client: httpx.AsyncClient,
) -> None:
    await open_account(client, registration=None)
    await log_in(client)
    none_yet = await client.get(PATH)

    made = await client.post(PATH, content=sample_text("registration_request"))
    waiting = (await client.get(PATH)).json()
    refused = await client.post("/payment-requests", json={})

    assert (none_yet.status_code, refused.status_code) == (404, 403)
    assert (made.status_code, made.json()) == (202, sample("registration_response_202"))
    assert shape(waiting) == shape(sample("registration_get_certificate_missing"))
    assert waiting["status"] == "CertificateNotUploadedInIdealContract"


async def test_a_registration_is_changed_in_part_and_takes_certificates(
    client: httpx.AsyncClient,
) -> None:
    await log_in(client)
    before = (await client.get(PATH)).json()

    answers = [
        await client.patch(PATH, content=sample_text("registration_patch_request")),
        await client.post(f"{PATH}/generate-certificates"),
        await client.put(f"{PATH}/certificates", json=sample("upload_certificates_request")),
    ]
    after = (await client.get(PATH)).json()

    assert [answer.status_code for answer in answers] == [204, 202, 204]
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"dailyReceivableLimit", "lastUpdated"}
    assert after["dailyReceivableLimit"]["value"] == 40000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("merchantId", "12345678"),
        ("merchantSubId", "1234567"),
        ("merchantName", ""),
        ("merchantIBAN", "NL26"),
        ("merchantLogo", "A" * 44033),
        ("allowIngAppPayments", "yes"),
        ("dailyReceivableLimit", {"value": 500_000, "currency": "EUR"}),
        ("dailyReceivableLimit", {"value": 1, "currency": "USD"}),
    ],
)
async def test_a_registration_outside_the_limits_names_its_field(
    client: httpx.AsyncClient, field: str, value: object
) -> None:
    await log_in(client)

    body = sample("registration_request") | {"dailyReceivableLimit": EUR_1} | {field: value}

    answer = await client.post(PATH, json=body)

    assert (answer.status_code, answer.json()["error"]["target"]) == (400, field)


async def test_a_registration_needs_its_fields_and_an_upload_four_certificates(
    client: httpx.AsyncClient,
) -> None:
    await log_in(client)

    answers = [
        await client.post(PATH, json={"merchantId": "001234567"}),
        await client.put(f"{PATH}/certificates", json={"cert1": "AAAA"}),
    ]

    said = [(answer.status_code, answer.json()["error"]["target"]) for answer in answers]
    assert said == [(400, "merchantName"), (400, "cert2")]


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
async def test_without_a_registration_there_is_nothing_to_change(
    client: httpx.AsyncClient, method: str
) -> None:
    await open_account(client, registration=None)
    await log_in(client)
    place = {"PATCH": "", "PUT": "/certificates", "POST": "/generate-certificates"}[method]

    assert (await client.request(method, PATH + place, json={})).status_code == 403
