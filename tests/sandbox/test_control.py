"""The control API: accounts, orders, truth."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from service.sandbox.ginger.stories import STORIES
from tests.sandbox.worlds import KEY, Merchant, open_account, pages, play, quiet, sandbox_for


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with pages(sandbox_for(Merchant())) as client:
        await open_account(client)
        yield client


async def truth(client: httpx.AsyncClient) -> Any:
    return (await client.get("/sandbox/truth", params={"account": "ginger-nl"})).json()


async def test_the_sandbox_says_that_it_is_alive(client: httpx.AsyncClient) -> None:
    assert (await client.get("/sandbox/healthz")).status_code == 200


async def test_many_orders_play_side_by_side_and_each_has_a_truth(
    client: httpx.AsyncClient,
) -> None:
    plan = {"reference": "INV", "amount": 4000, "currency": "EUR", "story": "paid", "count": 3}
    created = await client.post("/sandbox/accounts/ginger-nl/requests", json=plan)
    await quiet(client)

    assert created.status_code == 201
    told = [(each["reference"], each["status"]) for each in await truth(client)]
    assert told == [("INV-1", "paid"), ("INV-2", "paid"), ("INV-3", "paid")]


async def test_a_story_can_go_on_with_an_order(client: httpx.AsyncClient) -> None:
    order = await play(client, "paid", reference="INV-1", amount=4000)
    again = await play(client, "refund", provider_id=order["provider_id"])

    (told,) = await truth(client)
    assert again == order
    assert (told["status"], told["received"], told["refunded"]) == ("reversed", 4000, 4000)


async def test_unseen_money_is_in_the_truth_and_not_at_the_provider(
    client: httpx.AsyncClient,
) -> None:
    order = await play(client, "expired")
    unseen = {"provider_id": order["provider_id"], "amount": 1}
    await client.post("/sandbox/accounts/ginger-nl/unseen", json=unseen)

    (told,) = await truth(client)
    shown = (await client.get(f"/v1/orders/{order['provider_id']}/")).json()

    assert (told["status"], told["received"]) == ("part_paid", 1)
    assert shown["status"] == "expired"


@pytest.mark.parametrize("story", STORIES)
async def test_every_story_plays_to_its_end(client: httpx.AsyncClient, story: str) -> None:
    asked = await play(client, story)
    place = {"order": "orders", "payment_link": "paymentlinks"}[asked["kind"]]

    shown = await client.get(f"/v1/{place}/{asked['provider_id']}/")

    assert shown.json()["merchant_order_id"] == asked["reference"]


async def test_stories_captured_by_hand_say_so_on_the_order(client: httpx.AsyncClient) -> None:
    by_hand, at_once = await play(client, "part_captured"), await play(client, "paid")

    shown = [
        (await client.get(f"/v1/orders/{order['provider_id']}/")).json()
        for order in (by_hand, at_once)
    ]

    assert [each.get("capture_mode") for each in shown] == ["manual", None]


async def test_what_is_unknown_is_404(client: httpx.AsyncClient) -> None:
    answers = [
        await client.post("/sandbox/accounts/nobody/stories/paid"),
        await client.post("/sandbox/accounts/ginger-nl/stories/paid_in_gold"),
        await client.post("/sandbox/accounts/ginger-nl/stories/paid", json={"provider_id": "x"}),
        await client.get("/sandbox/truth", params={"account": "nobody"}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404, 404]


async def test_a_story_of_an_order_is_not_played_on_a_link(client: httpx.AsyncClient) -> None:
    link, order = await play(client, "link_created"), await play(client, "open")

    answers = [
        await client.post(f"/sandbox/accounts/ginger-nl/stories/{story}", json=about)
        for story, about in (
            ("paid", {"provider_id": link["provider_id"]}),
            ("link_paid", {"provider_id": order["provider_id"]}),
        )
    ]

    assert [answer.status_code for answer in answers] == [409, 409]


async def test_a_misspelt_field_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sandbox/accounts/ginger-nl/faults", json={"dropp": 1})

    assert answer.status_code == 400
    assert "dropp" in answer.json()["error"]


async def test_opening_an_account_again_changes_it_and_keeps_its_orders(
    client: httpx.AsyncClient,
) -> None:
    await play(client, "paid")
    await open_account(client, api_key="another")
    order_id = (await truth(client))[0]["provider_id"]

    old = await client.get(f"/v1/orders/{order_id}/")
    new = await client.get(f"/v1/orders/{order_id}/", auth=("another", ""))

    assert (old.status_code, new.status_code) == (401, 200)


async def test_a_key_opens_one_account_only(client: httpx.AsyncClient) -> None:
    rival = {"name": "ginger-be", "api_key": KEY, "project_id": "p"}

    answer = await client.post("/sandbox/accounts", json=rival)

    assert answer.status_code == 409


async def test_the_same_seed_makes_the_same_order_ids() -> None:
    ids = []
    for _ in range(2):
        async with pages(sandbox_for(Merchant())) as client:
            await open_account(client, seed=3)
            ids.append((await play(client, "open"))["provider_id"])

    assert ids[0] == ids[1]
