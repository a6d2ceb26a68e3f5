"""Refunds, captures, voids and cancelling by API. Source: fact sheet ginger, sections 9 and 10."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.sandbox.worlds import Merchant, open_account, pages, play, quiet, sample, sandbox_for

LINES = [
    {"merchant_order_line_id": "10", "name": "Chair", "quantity": 2, "amount": 2500},
    {"merchant_order_line_id": "20", "name": "Table", "quantity": 1, "amount": 2000},
]

# What a refund order repeats of an order, where that was sent.
NOT_SENT = {"extra", "merchant_order_id", "webhook_url"}


@pytest.fixture
def merchant() -> Merchant:
    return Merchant()


@pytest.fixture
async def client(merchant: Merchant) -> AsyncIterator[httpx.AsyncClient]:
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client)
        yield client


async def order_after(client: httpx.AsyncClient, story: str) -> str:
    """Return the path of an order of 70.00, made by the merchant, with a story played on it."""
    sent = {"amount": 7000, "currency": "EUR", "order_lines": LINES, "capture_mode": "manual"}
    made = (await client.post("/v1/orders/", json=sent)).json()
    await play(client, story, provider_id=made["id"])
    return f"/v1/orders/{made['id']}/"


async def authorised(client: httpx.AsyncClient) -> tuple[str, str]:
    """Return the paths of an authorised order and of its transaction."""
    path = await order_after(client, "accepted")
    (transaction,) = (await client.get(path)).json()["transactions"]
    return path, f"{path}transactions/{transaction['id']}"


async def amounts(client: httpx.AsyncClient, path: str) -> Any:
    """Return what an order's details say of captures and voids."""
    details = (await client.get(path, params={"fields[]": "amount_details"})).json()
    return [details["amount_details"][name] for name in ("captured", "voided", "capturable")]


async def test_a_refund_is_an_order_that_completes_by_itself(
    client: httpx.AsyncClient, merchant: Merchant
) -> None:
    path = await order_after(client, "paid")

    answer = await client.post(
        f"{path}refunds/", json={"amount": 2500, "description": "Returned 1 item"}
    )
    await quiet(client)

    made, order = answer.json(), (await client.get(path)).json()
    refund = (await client.get(f"/v1/orders/{made['id']}/")).json()
    (truth,) = (await client.get("/sandbox/truth")).json()
    assert answer.status_code == 201
    assert refund.keys() >= sample("refund_response_order_shape").keys() - NOT_SENT
    assert (made["status"], refund["status"]) == ("processing", "completed")
    assert (refund["amount"], refund["description"]) == (2500, "Returned 1 item")
    assert (order["refund_orders"], order["refunded_amount"]) == ([made["id"]], 2500)
    assert (truth["status"], truth["refunded"]) == ("paid", 2500)
    assert merchant.bodies[-1]["order_id"] == made["id"]


async def test_refunds_side_by_side_each_complete_once(client: httpx.AsyncClient) -> None:
    path = await order_after(client, "paid")

    made = [
        (await client.post(f"{path}refunds", json={"amount": amount})).json()
        for amount in (2500, 4500)
    ]
    too_much = await client.post(f"{path}refunds", json={"amount": 1})
    await quiet(client)

    (truth,) = (await client.get("/sandbox/truth")).json()
    listed = (await client.get(f"{path}refunds/")).json()
    assert too_much.status_code == 400
    assert [each["id"] for each in listed] == [each["id"] for each in made]
    assert {each["status"] for each in listed} == {"completed"}
    assert (truth["status"], truth["refunded"]) == ("reversed", 7000)


async def test_a_refund_without_an_amount_is_of_all_that_is_left(
    client: httpx.AsyncClient,
) -> None:
    path = await order_after(client, "part_refund")

    answer = await client.post(f"{path}refunds/")

    assert answer.json()["amount"] == 2000


async def test_some_brands_answer_refunds_in_a_small_shape(client: httpx.AsyncClient) -> None:
    await open_account(client, compact_refunds=True)
    path = await order_after(client, "paid")

    made = (await client.post(f"{path}refunds/", json={"amount": 2500})).json()
    await quiet(client)
    (listed,) = (await client.get(f"{path}refunds/")).json()

    assert made.keys() == sample("refund_response_compact").keys()
    assert (made["status"], listed["status"]) == ("pending", "completed")


@pytest.mark.parametrize(
    ("story", "asked"),
    [
        ("paid", {"amount": 7001}),
        ("paid", {"amount": 0}),
        ("paid", {"order_lines": []}),
        ("paid", {"order_lines": [{"merchant_order_line_id": "30", "quantity": 1}]}),
        ("authorising", {"amount": 1}),
        ("accepted", {"amount": 1}),
        ("refund", {"amount": 1}),
    ],
)
async def test_only_received_money_can_be_refunded(
    client: httpx.AsyncClient, story: str, asked: dict[str, object]
) -> None:
    path = await order_after(client, story)

    assert (await client.post(f"{path}refunds/", json=asked)).status_code == 400


async def test_what_is_authorised_is_captured_and_voided_bit_by_bit(
    client: httpx.AsyncClient,
) -> None:
    path, transaction = await authorised(client)
    chair = {"order_line": {"merchant_order_line_id": "10", "quantity": 1}}

    answers = [
        await client.post(f"{transaction}/captures/orderlines", json=chair),
        await client.post(f"{transaction}/captures/amount", json={"amount": 1500}),
        await client.post(f"{transaction}/voids/orderlines", json=chair),
        await client.post(f"{transaction}/voids/amount", json={"amount": 100}),
    ]

    (truth,) = (await client.get("/sandbox/truth")).json()
    assert [answer.status_code for answer in answers] == [201] * 4
    assert await amounts(client, path) == [4000, 2600, 400]
    assert (truth["status"], truth["received"], truth["final"]) == ("part_paid", 4000, False)
    assert answers[-1].json()["flags"] == ["has-captures", "has-voids"]


async def test_everything_is_captured_by_an_empty_body_once(client: httpx.AsyncClient) -> None:
    path, transaction = await authorised(client)

    first, second = [await client.post(f"{transaction}/captures/") for _ in range(2)]

    assert (first.status_code, second.status_code) == (201, 400)
    assert await amounts(client, path) == [7000, 0, 0]


@pytest.mark.parametrize(
    ("place", "asked"),
    [
        ("captures/amount", {"amount": 7001}),
        ("captures/amount", {}),
        ("voids/amount", {"amount": 0}),
        ("captures/orderlines", {"order_line": {"merchant_order_line_id": "10", "quantity": 3}}),
        ("voids/orderlines", {"order_line": {"merchant_order_line_id": "30", "quantity": 1}}),
    ],
)
async def test_more_than_is_reserved_cannot_be_captured_or_voided(
    client: httpx.AsyncClient, place: str, asked: dict[str, object]
) -> None:
    path, transaction = await authorised(client)

    answer = await client.post(f"{transaction}/{place}", json=asked)

    assert answer.status_code == 400
    assert await amounts(client, path) == [0, 0, 7000]


async def test_a_capture_of_an_older_version_is_refused(client: httpx.AsyncClient) -> None:
    path, transaction = await authorised(client)
    seen = {"if-match": (await client.get(path)).headers["etag"]}

    first, second = [
        await client.post(f"{transaction}/captures/amount", json={"amount": 1}, headers=seen)
        for _ in range(2)
    ]

    assert (first.status_code, second.status_code) == (201, 412)
    assert second.json() == sample("error_412_if_match.assumed")


async def test_only_an_authorisation_is_captured(client: httpx.AsyncClient) -> None:
    path = await order_after(client, "paid")
    (transaction,) = (await client.get(path)).json()["transactions"]

    answer = await client.post(f"{path}transactions/{transaction['id']}/captures/")

    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("story", "status_code"),
    [
        ("open", 200),
        ("failed", 200),
        ("paid", 400),
        ("accepted", 400),
        ("expired", 400),
        ("cancelled", 400),
        ("split_awaited", 400),
    ],
)
async def test_an_order_is_cancelled_while_it_has_neither_money_nor_an_end(
    client: httpx.AsyncClient, merchant: Merchant, story: str, status_code: int
) -> None:
    path = await order_after(client, story)
    before = (await client.get(path)).json()["status"]

    answer = await client.delete(path)
    await quiet(client)

    after = (await client.get(path)).json()["status"]
    assert answer.status_code == status_code
    assert after == ("cancelled" if status_code == 200 else before)
    assert merchant.words[-1] == after


async def test_an_attempt_to_pay_a_link_is_refunded_like_any_order(
    client: httpx.AsyncClient,
) -> None:
    link = await play(client, "link_paid", amount=7000)
    shown = (await client.get(f"/v1/paymentlinks/{link['provider_id']}/")).json()

    await client.post(f"/v1/orders/{shown['completed_order_id']}/refunds/", json={"amount": 7000})
    await quiet(client)

    (truth,) = (await client.get("/sandbox/truth")).json()
    assert (truth["kind"], truth["status"]) == ("payment_link", "reversed")
