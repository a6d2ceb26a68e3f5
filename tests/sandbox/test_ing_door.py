"""Logins and signatures of the fake ING. Source: fact sheet ing_payment_request, section 4."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from tests.sandbox.ing_worlds import (
    CLIENT_ID,
    PUBLIC_KEY,
    Clock,
    log_in,
    log_in_signed,
    open_account,
    open_bank,
    play,
    sample,
    signed,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with open_bank(clock) as client:
        yield client


async def test_a_token_lives_for_fifteen_minutes(client: httpx.AsyncClient, clock: Clock) -> None:
    await log_in(client)
    request_id = await play(client, clock, "open")
    path = f"/payment-requests/{request_id}"

    fresh = await client.get(path)
    clock.now += timedelta(seconds=900)
    late = await client.get(path)

    assert fresh.status_code == 200
    assert (late.status_code, late.json()) == (401, sample("error_401"))


async def test_the_token_answer_has_the_fields_of_the_sample(client: httpx.AsyncClient) -> None:
    asked = {"grant_type": "client_credentials", "client_id": CLIENT_ID}

    answer = await client.post("/oauth2/token", data=asked)
    refused = await client.post("/oauth2/token", data={"client_id": CLIENT_ID})

    expected = sample("token_response")
    assert answer.json() | {"access_token": ""} == expected | {"access_token": ""}
    assert (refused.status_code, refused.json()) == (
        400,
        sample("token_error_400"),
    )


async def test_with_a_signing_key_every_call_has_to_be_signed(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in_signed(client)
    path = f"/payment-requests/{await play(client, clock, 'paid')}"

    answers = [await client.get(path, headers=signed("get", path)), await client.get(path)]

    assert [answer.status_code for answer in answers] == [200, 401]


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
    await log_in_signed(client)

    answer = await client.get("/payment-requests/x", headers=headers)

    assert answer.status_code == 401


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
    assert answers[1].json() == sample("error_403")


async def test_a_token_opens_no_more_than_was_asked_for(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client, scope="payment-requests:view")
    path = f"/payment-requests/{await play(client, clock, 'open')}"

    answers = [await client.get(path), await client.post(f"{path}/close")]

    assert [answer.status_code for answer in answers] == [200, 403]


async def test_a_token_of_one_style_is_none_in_the_other(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client)
    path = f"/payment-requests/{await play(client, clock, 'open')}"
    await open_account(client, signing_public_key=PUBLIC_KEY)

    answer = await client.get(path, headers=signed("get", path))

    assert answer.status_code == 401


async def test_a_key_that_is_none_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client)
    path = f"/payment-requests/{await play(client, clock, 'open')}"
    settings = {"name": "ing", "provider": "ing_payment_request", "client_id": CLIENT_ID}

    refused = await client.post("/sandbox/accounts", json=settings | {"signing_public_key": "x"})

    assert refused.status_code == 409
    await log_in(client)
    assert (await client.get(path)).status_code == 200
