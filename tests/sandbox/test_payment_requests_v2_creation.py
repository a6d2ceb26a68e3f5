"""Creations at the fake payment_requests_v2: real money. Source: its fact sheet, sections 2, 6."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.sandbox.payment_requests_v2_worlds import (
    MINE,
    PATH,
    Clock,
    partner,
    play,
    shape,
    truths,
)
from tests.sandbox.worlds import sample


def of(name: str) -> Any:
    return sample(f"payment_requests_v2/{name}")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with partner(clock) as client:
        yield client


async def test_a_creation_answers_the_bare_object_and_twice_makes_two(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    first = await client.post(PATH, json=of("create_request"))
    clock.now += timedelta(seconds=1)
    second = await client.post(PATH, json=of("create_request"))

    assert (first.status_code, second.status_code) == (201, 201)
    made = first.json()
    assert shape(made) == shape(of("create_response"))
    sent, told = of("create_request"), made["transfers"][0]
    assert told | sent["transfers"][0] == told
    assert {name: made[name] for name in sent if name != "transfers"} == {
        name: sent[name] for name in sent if name != "transfers"
    }
    newest = (await client.get(PATH, params=MINE)).json()["data"]
    assert [each["id"] for each in newest] == [second.json()["id"], made["id"]]


async def test_a_story_goes_on_with_a_request_that_was_created(client: httpx.AsyncClient) -> None:
    body = of("create_request")
    body["transfers"] *= 2
    made = (await client.post(PATH, json=body)).json()

    await play(client, "settled", provider_id=str(made["id"]))

    (truth,) = await truths(client)
    assert (truth["status"], truth["received"], truth["reference"]) == ("settled", 300000, None)


BAD_TRANSFERS: list[tuple[str, Any]] = [
    ("amount", None),
    ("amount", 0),
    ("amount", -1),
    ("amount", "1500"),
    ("amount", True),
    ("amount", 0.001),
    ("amount", 10**13),
    ("currency_code", "nok"),
    ("currency_code", 578),
    ("requested_transfer_date", "2025-02-30"),
    ("requested_transfer_date", "20250301"),
    ("debtor.bank_account_id", "456"),
    ("creditor.bank_account_id", 0),
]


@pytest.mark.parametrize(("name", "value"), BAD_TRANSFERS)
async def test_a_transfer_that_is_not_taken_names_its_field(
    client: httpx.AsyncClient, name: str, value: Any
) -> None:
    body = of("create_request")
    holder, _, field = name.rpartition(".")
    transfer = body["transfers"][0]
    (transfer[holder] if holder else transfer)[field] = value

    answer = await client.post(PATH, json=body)

    assert answer.status_code == 422
    assert shape(answer.json()).keys() == shape(of("error_422")["body"]).keys()
    assert answer.json()["errors"].keys() == {f"transfers.0.{name}"}
    assert (await client.get(PATH, params=MINE)).json()["meta"]["records"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("payment_type", "domestic"),
        ("payment_means", " "),
        ("payment_means", None),
        ("transfers", []),
        ("transfers", {}),
    ],
)
async def test_a_creation_without_what_is_required_is_refused(
    client: httpx.AsyncClient, field: str, value: object
) -> None:
    answer = await client.post(PATH, json=of("create_request") | {field: value})

    assert (answer.status_code, answer.json()["errors"].keys()) == (422, {field})


async def test_a_creation_says_all_that_is_missing_at_once(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={**MINE, "transfers": [3]})

    sides = ["transfers.0.debtor.bank_account_id", "transfers.0.creditor.bank_account_id"]
    values = ["transfers.0.currency_code", "transfers.0.amount"]
    missing = ["payment_type", "payment_means", *values, *sides]
    assert answer.json()["errors"] == {path: ["is required"] for path in missing}


@pytest.mark.parametrize("value", [None, 124, "123", 123.0, True])
async def test_money_of_another_client_account_cannot_be_spent(
    client: httpx.AsyncClient, value: object
) -> None:
    answer = await client.post(PATH, json=of("create_request") | {"client_account_id": value})

    assert (answer.status_code, answer.json()) == (403, of("error_403")["body"])


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"1e9999999999999999999"]
)
async def test_a_body_that_is_no_object_is_refused(
    client: httpx.AsyncClient, content: bytes
) -> None:
    assert (await client.post(PATH, content=content)).status_code == 400


@pytest.mark.parametrize(
    "amount", ["NaN", "-1e400", "1e400", "1e-400", "1.000000000000000000000000000001"]
)
async def test_an_amount_that_is_no_sum_of_money_is_refused(
    client: httpx.AsyncClient, amount: str
) -> None:
    content = json.dumps(of("create_request")).replace("1500", amount)

    assert (await client.post(PATH, content=content)).status_code == 422
