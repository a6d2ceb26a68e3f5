"""Payment links and their attempts. Source: fact sheet ginger, section 12."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from service.sandbox.ginger.links import PaymentLink, attempted, link_json
from service.sandbox.ginger.stories import LINK_STORIES
from tests.sandbox.worlds import (
    NOON,
    Merchant,
    account,
    open_account,
    pages,
    play,
    quiet,
    sample,
    sandbox_for,
)

# Of a link of 70.00: the provider's word; then status, received, refunded, taken back, final.
OUTCOMES = {
    "link_created": ("new", "open", 0, 0, 0, False),
    "link_processing": ("processing", "authorising", 0, 0, 0, False),
    "link_paid": ("completed", "paid", 7000, 0, 0, True),
    "link_unsuccessful": ("all_unsuccessful", "open", 0, 0, 0, False),
    "link_error_then_paid": ("completed", "paid", 7000, 0, 0, True),
    "link_late_error": ("completed", "paid", 7000, 0, 0, True),
    "link_paid_while_tab_open": ("completed", "paid", 7000, 0, 0, False),
    "link_paid_twice": ("completed", "paid", 14000, 0, 0, True),
    "link_cancelled": ("cancelled", "cancelled", 0, 0, 0, True),
    "link_expired": ("expired", "expired", 0, 0, 0, True),
    "link_late_money": ("completed", "paid", 7000, 0, 0, True),
    "link_refund": ("completed", "reversed", 7000, 7000, 0, True),
    "link_part_refund": ("completed", "paid", 7000, 5000, 0, True),
    "link_one_of_two_refunded": ("completed", "paid", 14000, 7000, 0, True),
    "link_chargeback": ("completed", "reversed", 7000, 7000, 7000, True),
}

WORDS = {"new", "processing", "all_unsuccessful", "completed", "cancelled", "expired"}


@pytest.fixture
def merchant() -> Merchant:
    return Merchant()


@pytest.fixture
async def client(merchant: Merchant) -> AsyncIterator[httpx.AsyncClient]:
    async with pages(sandbox_for(merchant)) as client:
        await open_account(client)
        yield client


async def read(client: httpx.AsyncClient, link: Any) -> Any:
    answer = await client.get(f"/v1/paymentlinks/{link['provider_id']}/")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("story", LINK_STORIES)
async def test_a_link_story_ends_in_its_one_true_outcome(
    client: httpx.AsyncClient, story: str
) -> None:
    link = await play(client, story, amount=7000)

    (truth,) = (await client.get("/sandbox/truth")).json()
    amounts = (truth["received"], truth["refunded"], truth["taken_back"])

    assert (link["kind"], truth["kind"]) == ("payment_link", "payment_link")
    word = (await read(client, link))["status"]
    assert (word, truth["status"], *amounts, truth["final"]) == OUTCOMES[story]


@pytest.mark.parametrize(
    ("story", "name"),
    [
        ("link_error_then_paid", "payment_link_completed_reference_example"),
        ("link_unsuccessful", "payment_link_all_unsuccessful"),
    ],
)
async def test_a_link_has_the_fields_of_the_sample(
    client: httpx.AsyncClient, story: str, name: str
) -> None:
    shown = await read(client, await play(client, story))

    assert sample(name).keys() <= shown.keys()
    assert shown["orders"].keys() <= {"new", "processing", "error", "completed", "expired"}
    assert {type(shown[key]) for key in ("amount", "orders")} == {int, dict}


async def test_a_link_is_made_by_the_providers_own_call(client: httpx.AsyncClient) -> None:
    asked = {"merchant_order_id": "SI-1", "amount": 45000, "currency": "EUR"}

    made = await client.post("/v1/paymentlinks/", json=asked)
    refused = await client.post("/v1/paymentlinks/", json={"amount": 1, "currency": "EUR"})

    assert (made.status_code, made.json()["status"], made.json()["orders"]) == (201, "new", {})
    assert made.json()["expiration_period"] == "P30D"
    assert (refused.status_code, refused.json()["error"]["property_path"]) == (
        400,
        "merchant_order_id",
    )


async def test_attempts_are_orders_that_point_at_their_link_and_webhooks_name_them(
    client: httpx.AsyncClient, merchant: Merchant
) -> None:
    link = await play(client, "link_late_error")
    shown = await read(client, link)

    (failed,), (paid,) = shown["orders"]["error"], shown["orders"]["completed"]
    attempts = [(await client.get(f"/v1/orders/{each}/")).json() for each in (failed, paid)]

    assert {each["related_payment_link_id"] for each in attempts} == {link["provider_id"]}
    assert shown["completed_order_id"] == paid
    assert {body["order_id"] for body in merchant.bodies} == {failed, paid}
    assert (merchant.bodies[-1]["order_id"], merchant.words[-1]) == (failed, "error")


async def test_the_list_of_orders_shows_attempts_and_no_link(client: httpx.AsyncClient) -> None:
    link = await play(client, "link_refund")
    window = {"created_since": "2020-01-01T00:00:00Z", "created_until": "2100-01-01T00:00:00Z"}

    listed = (await client.get("/v1/orders/", params=window)).json()

    assert [each.get("related_payment_link_id") for each in listed] == [None, link["provider_id"]]
    assert listed[0]["refund_of_order_id"] == listed[1]["id"]


async def test_a_distorted_read_of_a_link_shows_another_age_id_or_word(
    client: httpx.AsyncClient,
) -> None:
    link = await play(client, "link_paid")
    script = ["stale", "wrong_resource", "unknown_word", "not_found", "fine"]
    faults = {"script": script, "stale_ms": 3_600_000}
    await client.post("/sandbox/accounts/ginger-nl/faults", json=faults)

    answers = [await client.get(f"/v1/paymentlinks/{link['provider_id']}/") for _ in script]

    shown = [answer.json() for answer in answers]
    assert shown[0]["status"] == "new"
    assert shown[1]["id"] != link["provider_id"]
    assert shown[2]["status"] not in WORDS
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 200]
    assert (await quiet(client))["provider_reads"]["link"] == 5


def test_a_link_whose_payer_has_only_just_opened_it_is_under_way() -> None:
    seller = account()
    link = seller.ask(
        LINK_STORIES["link_created"], reference="INV-1", amount=7000, currency="EUR", at=NOON
    )
    attempted().act(link, NOON)

    truth = seller.truth(link)

    assert isinstance(link, PaymentLink)
    assert truth is not None
    assert (link_json(link)["status"], truth.status) == ("processing", "authorising")


async def test_the_winner_is_the_attempt_that_was_paid_first(client: httpx.AsyncClient) -> None:
    link = await play(client, "link_paid_twice")

    shown = await read(client, link)

    first, second = [
        (await client.get(f"/v1/orders/{each}/")).json() for each in shown["orders"]["completed"]
    ]
    assert first["completed"] > second["completed"]
    assert (shown["completed_order_id"], shown["completed"]) == (second["id"], second["completed"])


async def test_the_end_of_a_link_ends_its_failed_attempts(
    client: httpx.AsyncClient, merchant: Merchant
) -> None:
    shown = await read(client, await play(client, "link_cancelled"))

    assert shown["orders"].keys() == {"cancelled"}
    assert merchant.words[-2:] == ["error", "cancelled"]


async def test_a_story_goes_on_with_a_link_that_has_attempts(client: httpx.AsyncClient) -> None:
    link = await play(client, "link_unsuccessful")
    await play(client, "link_paid", provider_id=link["provider_id"])
    await play(client, "link_refund", provider_id=link["provider_id"])

    shown = await read(client, link)
    (truth,) = (await client.get("/sandbox/truth")).json()

    assert {word: len(ids) for word, ids in shown["orders"].items()} == {"error": 1, "completed": 1}
    assert truth["status"] == "reversed"
