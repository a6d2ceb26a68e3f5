"""Ginger's surface over HTTP. Source: fact sheet ginger, sections 2, 3, 11 and 14."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from service.sandbox.ginger.creation import CURRENCIES
from tests.sandbox.worlds import KEY, Merchant, open_account, pages, play, sample, sandbox_for

SLIM = {"amount": 995, "currency": "EUR", "transactions": [{"payment_method": "ideal"}]}
LINE = {"merchant_order_line_id": "10", "name": "Chair", "quantity": 2, "amount": 2500}
WINDOW = {"created_since": "2020-01-01T00:00:00Z", "created_until": "2100-01-01T00:00:00+00:00"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with pages(sandbox_for(Merchant())) as client:
        await open_account(client)
        yield client


async def set_faults(client: httpx.AsyncClient, **faults: Any) -> None:
    answer = await client.post("/sandbox/accounts/ginger-nl/faults", json=faults)
    assert answer.status_code == 200, answer.text


def login(text: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize("text", [KEY, f"{KEY}:secret", "another:", ""])
async def test_only_the_key_with_a_colon_opens_the_door(
    client: httpx.AsyncClient, text: str
) -> None:
    headers = login(text)

    answer = await client.get("/v1/orders/", params=WINDOW, headers=headers, auth=None)

    assert (answer.status_code, answer.json()) == (401, sample("error_401"))


@pytest.mark.parametrize("slash", ["", "/"])
async def test_both_forms_of_a_path_are_served(client: httpx.AsyncClient, slash: str) -> None:
    order = await play(client, "part_refund")
    path = f"/v1/orders/{order['provider_id']}"

    answers = [
        await client.get(f"/v1/orders{slash}", params=WINDOW),
        await client.get(path + slash),
        await client.get(f"{path}/refunds{slash}"),
        await client.post(f"/v1/orders{slash}", json=SLIM),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 201]


async def test_an_unknown_order_is_404_in_the_documented_envelope(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/v1/orders/93101167-9065-4b9c-b98b-5d789a3ed9fe/")

    assert (answer.status_code, answer.json()) == (404, sample("error_404"))


async def test_details_come_only_when_asked_for(client: httpx.AsyncClient) -> None:
    order = await play(client, "part_captured")
    path = f"/v1/orders/{order['provider_id']}/"

    plain = (await client.get(path)).json()
    detailed = (await client.get(path, params={"fields[]": "amount_details"})).json()

    assert "amount_details" not in plain
    assert detailed["amount_details"]["captured"] == 2857


async def test_the_list_has_no_transactions_and_is_newest_first(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await client.post("/v1/orders/", json=SLIM)

    newer, older = (await client.get("/v1/orders/", params=WINDOW)).json()

    assert newer["created"] > older["created"]
    fields = sample("orders_list_reference_example")[0].keys()
    assert fields <= newer.keys()
    assert "transactions" not in newer


async def test_counter_orders_are_listed_like_any_other(client: httpx.AsyncClient) -> None:
    order = await play(client, "chargeback")

    listed = (await client.get("/v1/orders/", params=WINDOW)).json()

    assert [each.get("chargeback_of_order_id") for each in listed] == [order["provider_id"], None]


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"created_since": "2020-01-01T00:00:00Z"},
        WINDOW | {"created_since": "yesterday"},
        WINDOW | {"created_since": "2020-01-01T00:00:00"},
    ],
)
async def test_a_list_needs_two_times_with_offset(
    client: httpx.AsyncClient, window: dict[str, str]
) -> None:
    answer = await client.get("/v1/orders/", params=window)

    assert answer.status_code == 400
    assert answer.json()["error"].keys() == sample("error_400_validation")["error"].keys()


async def test_a_plus_must_be_encoded(client: httpx.AsyncClient) -> None:
    until = "created_until=2100-01-01T00:00:00Z"

    answer = await client.get(f"/v1/orders/?created_since=2020-01-01T00:00:00+00:00&{until}")

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 0},
        {"amount": "995"},
        {"amount": True},
        {"currency": "eur"},
        {"description": None},
        {"webhook_url": "ftp://x"},
        {"transactions": "ideal"},
        {"capture_mode": "later"},
        {"payment_methods": []},
        {"expiration_period": "30 minutes"},
        {"merchant_iban": "nl13test"},
        {"merchant_bic": "TESTNL2"},
        {"customer": None},
        {"order_lines": [LINE, LINE]},
    ],
)
async def test_a_creation_is_checked(client: httpx.AsyncClient, wrong: dict[str, object]) -> None:
    answer = await client.post("/v1/orders/", json=SLIM | wrong)

    assert answer.status_code == 400
    assert answer.json()["error"]["property_path"] == next(iter(wrong))


@pytest.mark.parametrize("wrong", [{"colour": "red"}, {"quantity": 0}, {"type": "gift"}])
async def test_an_order_line_is_checked(
    client: httpx.AsyncClient, wrong: dict[str, object]
) -> None:
    answer = await client.post("/v1/orders/", json=SLIM | {"order_lines": [LINE | wrong]})

    assert answer.status_code == 400
    assert answer.json()["error"]["property_path"].startswith("order_lines[")


async def test_delayed_capture_needs_a_period(client: httpx.AsyncClient) -> None:
    delayed = SLIM | {"capture_mode": "delayed"}

    answers = [
        await client.post("/v1/orders/", json=delayed),
        await client.post("/v1/orders/", json=delayed | {"expiration_period": "P7D"}),
    ]

    assert [answer.status_code for answer in answers] == [400, 201]


async def test_an_order_with_a_method_that_is_off_is_created_and_in_error(
    client: httpx.AsyncClient,
) -> None:
    await open_account(client, methods_off=["ideal"])

    answer = await client.post("/v1/orders/", json=SLIM)
    offered = (await client.get("/v1/merchants/self/projects/self/currencies")).json()

    expected = sample("create_order_response_payment_error")
    (transaction,), (its,) = answer.json()["transactions"], expected["transactions"]
    assert (answer.status_code, answer.json()["status"]) == (201, "error")
    assert transaction["reason"] == its["reason"]
    assert transaction.keys() | {"description"} == its.keys()
    assert "ideal" not in offered["payment_methods"]


async def test_an_account_says_which_currencies_it_takes(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/merchants/self/projects/self/currencies/")

    assert answer.json() == sample("currencies_per_method_response")


async def test_a_test_key_marks_orders_refunds_and_transactions(client: httpx.AsyncClient) -> None:
    await open_account(client, test_key=True)
    await play(client, "part_refund")

    refund, order = (await client.get("/v1/orders/", params=WINDOW)).json()
    shown = (await client.get(f"/v1/orders/{order['id']}/")).json()

    assert (refund["flags"], order["flags"]) == (
        ["is-refund", "is-test"],
        ["has-refunds", "is-test"],
    )
    assert [each["balance"] for each in shown["transactions"]] == ["test"]


async def test_an_order_made_by_the_merchant_repeats_what_was_sent(
    client: httpx.AsyncClient,
) -> None:
    sent = SLIM | {"merchant_order_id": "SI-1", "extra": {"erp_document": "SI-1"}}

    order = (await client.post("/v1/orders/", json=sent)).json()

    assert (order["status"], order["merchant_order_id"]) == ("new", "SI-1")
    assert order["extra"] == {"erp_document": "SI-1"}
    assert [each["status"] for each in order["transactions"]] == ["new"]


def test_the_currencies_are_those_of_the_reference() -> None:
    assert sorted(sample("currencies")) == sorted(CURRENCIES)


async def test_scripted_faults_strike_the_next_reads_in_order(client: httpx.AsyncClient) -> None:
    order = await play(client, "paid")
    script = ["error", "too_many", "html", "unauthorised", "not_found", "fine"]
    await set_faults(client, script=script, retry_after_seconds=7)

    answers = [await client.get(f"/v1/orders/{order['provider_id']}/") for _ in script]

    assert [answer.status_code for answer in answers] == [500, 429, 502, 401, 404, 200]
    assert answers[0].json() == sample("error_500")
    assert answers[1].headers["retry-after"] == "7"
    assert answers[2].headers["content-type"].startswith("text/html")


async def test_a_stale_read_shows_an_older_picture(client: httpx.AsyncClient) -> None:
    order = await play(client, "paid")
    path = f"/v1/orders/{order['provider_id']}/"
    await set_faults(client, script=["stale", "fine"], stale_ms=60_000)

    stale, fresh = (await client.get(path)).json(), (await client.get(path)).json()

    assert (stale["status"], fresh["status"]) == ("new", "completed")
    assert stale["modified"] < fresh["modified"]


async def test_a_picture_can_be_wrong_in_its_id_or_its_word(client: httpx.AsyncClient) -> None:
    order = await play(client, "paid")
    path = f"/v1/orders/{order['provider_id']}/"
    await set_faults(client, script=["wrong_resource", "unknown_word"])

    other, odd = (await client.get(path)).json(), (await client.get(path)).json()

    assert other["id"] != order["provider_id"]
    assert (odd["id"], odd["status"]) == (order["provider_id"], "under-investigation")


async def test_reads_are_counted_by_kind(client: httpx.AsyncClient) -> None:
    order = await play(client, "paid")
    await client.get(f"/v1/orders/{order['provider_id']}/")
    await client.get(f"/v1/orders/{order['provider_id']}/refunds/")
    await client.get("/v1/orders/", params=WINDOW)

    stats = (await client.get("/sandbox/stats")).json()

    assert stats["provider_reads"] == {"order": 1, "list": 1, "refunds": 1}
