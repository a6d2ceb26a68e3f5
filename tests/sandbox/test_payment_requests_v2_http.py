"""The doors of the fake payment_requests_v2. Source: its fact sheet, sections 1, 2, 5 and 6."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.sandbox.payment_requests_v2.stories import STORIES
from tests.sandbox.payment_requests_v2_worlds import (
    CLIENT_ACCOUNT,
    MINE,
    PATH,
    TOKEN,
    Clock,
    open_account,
    partner,
    play,
    shape,
    truths,
)
from tests.sandbox.worlds import quiet, sample

CHECKS = ("/api/v2/users/me", "/api/v2/client-accounts")


def of(name: str) -> Any:
    return sample(f"payment_requests_v2/{name}")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with partner(clock) as client:
        yield client


@pytest.mark.parametrize("story", STORIES)
async def test_every_story_plays_to_its_end_and_can_be_read(
    client: httpx.AsyncClient, story: str
) -> None:
    order_id = await play(client, story)

    read = (await client.get(f"{PATH}/{order_id}", params=MINE)).json()["data"]
    (truth,) = await truths(client)

    assert str(read["id"]) == truth["provider_id"] == order_id
    assert sum(each["amount"] for each in read["transfers"]) * 100 == truth["amount"] == 7000


@pytest.mark.parametrize(
    ("story", "name", "currency"),
    [
        ("created", "get_initiated_wrapped", "NOK"),
        ("no_transfer_date", "get_no_transfer_date", "NOK"),
        ("two_transfers", "get_two_transfers_initiated", "NOK"),
        ("part_paid", "mixed_transfers", "NOK"),
    ],
)
async def test_a_read_has_the_shape_of_the_sample(
    client: httpx.AsyncClient, story: str, name: str, currency: str
) -> None:
    order_id = await play(client, story, currency=currency)

    read = (await client.get(f"{PATH}/{order_id}", params=MINE)).json()

    expected = of(name)
    assert shape(read["data"]) == shape(expected.get("data", expected))
    assert read["data"]["created_at"] == "2026-11-20T12:00:00Z"


async def test_a_single_object_is_wrapped_or_bare_as_the_account_says(
    client: httpx.AsyncClient,
) -> None:
    order_id = await play(client, "created")
    wrapped = (await client.get(f"{PATH}/{order_id}", params=MINE)).json()
    await open_account(client, wrapped=False)

    bare = (await client.get(f"{PATH}/{order_id}", params=MINE)).json()

    assert wrapped == {"data": bare}
    assert shape(bare) == shape(of("get_initiated_bare"))


async def test_relations_add_the_bank_accounts_that_were_asked_for(
    client: httpx.AsyncClient,
) -> None:
    order_id = await play(client, "created")
    both = "transfers.debtor.bank_account,transfers.creditor.bank_account"

    full = (await client.get(f"{PATH}/{order_id}", params=MINE | {"with": both})).json()["data"]
    one = await client.get(PATH, params=MINE | {"with": "transfers.creditor.bank_account"})
    wrong = await client.get(PATH, params=MINE | {"with": "transfers"})

    assert shape(full) == shape(of("get_with_relations"))
    (listed,) = one.json()["data"][0]["transfers"]
    assert ("bank_account" in listed["debtor"], "bank_account" in listed["creditor"]) == (
        False,
        True,
    )
    assert (wrong.status_code, wrong.json()["errors"].keys()) == (422, {"with"})


async def test_a_list_is_paged_newest_first_and_empty_beyond_its_last_page(
    client: httpx.AsyncClient,
) -> None:
    plan = {"reference": "PO", "story": "created", "count": 25, "currency": "NOK"}
    made = (await client.post("/sandbox/accounts/partner/requests", json=plan)).json()
    await quiet(client)

    pages = [(await client.get(PATH, params=MINE | {"page": page})).json() for page in (1, 2, 3, 4)]

    assert shape(pages[1]) == shape(of("page_2_of_3"))
    assert pages[1]["meta"] == of("page_2_of_3")["meta"]
    assert (pages[3]["meta"], pages[3]["data"]) == (of("page_beyond_last")["meta"], [])
    listed = [str(each["id"]) for page in pages for each in page["data"]]
    assert listed == [each["provider_id"] for each in reversed(made)]


async def test_an_account_without_requests_has_an_empty_list(client: httpx.AsyncClient) -> None:
    assert (await client.get(PATH, params=MINE)).json() == of("page_empty")


async def test_a_page_holds_at_most_a_hundred_whatever_is_asked_for(
    client: httpx.AsyncClient,
) -> None:
    meta = (await client.get(PATH, params=MINE | {"per_page": 500})).json()["meta"]

    assert meta["per_page"] == 100


@pytest.mark.parametrize("name", ["page", "per_page"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "", "1.5", "9999999999"])
async def test_a_page_number_that_is_none_is_refused(
    client: httpx.AsyncClient, name: str, value: str
) -> None:
    answer = await client.get(PATH, params=MINE | {name: value})

    assert (answer.status_code, answer.json()["errors"].keys()) == (422, {name})


@pytest.mark.parametrize("path", [PATH, f"{PATH}/41", *CHECKS])
@pytest.mark.parametrize("header", ["", "Bearer another", f"Basic {TOKEN}", TOKEN])
async def test_a_call_without_the_token_is_refused(
    client: httpx.AsyncClient, path: str, header: str
) -> None:
    answer = await client.get(path, params=MINE, headers={"authorization": header})

    assert (answer.status_code, answer.json()) == (401, of("error_401")["body"])


async def test_after_its_day_a_token_opens_nothing_until_there_is_a_new_one(
    client: httpx.AsyncClient,
) -> None:
    await open_account(client, token_expired=True)
    expired = [await client.get(path, params=MINE) for path in (PATH, *CHECKS)]
    expired.append(await client.post(PATH, json=of("create_request")))
    await open_account(client, api_token="new")

    old = await client.get(PATH, params=MINE)
    new = await client.get(PATH, params=MINE, headers={"authorization": "Bearer new"})

    assert [answer.status_code for answer in expired] == [401] * 4
    assert (old.status_code, new.status_code) == (401, 200)


@pytest.mark.parametrize("params", [{}, {"client_account_id": 124}, {"client_account_id": "x"}])
async def test_every_read_has_to_name_the_client_account(
    client: httpx.AsyncClient, params: dict[str, Any]
) -> None:
    order_id = await play(client, "created")

    answers = [await client.get(path, params=params) for path in (PATH, f"{PATH}/{order_id}")]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[1].json() == of("error_403")["body"]


@pytest.mark.parametrize("order_id", ["999999", "x", "041"])
async def test_an_id_that_there_is_none_of_is_not_found(
    client: httpx.AsyncClient, order_id: str
) -> None:
    answer = await client.get(f"{PATH}/{order_id}", params=MINE)

    assert (answer.status_code, answer.json()) == (404, of("error_404")["body"])


async def test_the_token_tells_its_user_and_its_client_accounts(client: httpx.AsyncClient) -> None:
    user = (await client.get("/api/v2/users/me")).json()["data"]
    accounts = (await client.get("/api/v2/client-accounts")).json()
    beyond = (await client.get("/api/v2/client-accounts", params={"page": 2})).json()

    assert user["id"] == 5
    assert [each["id"] for each in accounts["data"]] == [CLIENT_ACCOUNT]
    assert accounts["meta"] == {"records": 1, "per_page": 50, "page": 1, "pages": 1}
    assert beyond["data"] == []


async def test_more_than_a_call_a_second_is_too_many(client: httpx.AsyncClient) -> None:
    await open_account(client, call_limit_factor=0.05)

    answers = [await client.get(PATH, params=MINE) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].json() == of("error_429")["body"]


async def test_reads_that_lag_show_an_older_picture(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    order_id = await play(client, "stale_read")
    words = []
    for _ in range(2):
        read = (await client.get(f"{PATH}/{order_id}", params=MINE)).json()["data"]
        words.append(read["transfers"][0]["payment_status"].strip().lower())
        clock.now += timedelta(seconds=2)

    assert words[0] == "initiated"
    assert words[1] in {"completed", "executed"}


async def test_a_distorted_read_shows_another_age_id_or_word(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    order_id = await play(client, "settled")
    clock.now += timedelta(seconds=5)
    script = ["stale", "wrong_resource", "unknown_word", "slow", "fine"]
    faults = {"script": script, "stale_ms": 3_600_000, "slow_ms": 1}
    await client.post("/sandbox/accounts/partner/faults", json=faults)

    reads = [(await client.get(f"{PATH}/{order_id}", params=MINE)).json()["data"] for _ in script]

    stale, wrong, unknown, slow, fine = reads
    assert stale["payment_status"] == stale["transfers"][0]["payment_status"] == "initiated"
    assert {**wrong, "id": fine["id"]} == slow == fine != wrong
    assert unknown["payment_status"] == unknown["transfers"][0]["payment_status"] == "sent_to_bank"
    assert (await quiet(client))["provider_reads"] == {"read": 5}


@pytest.mark.parametrize("path", [PATH, f"{PATH}/41", *CHECKS])
async def test_a_fault_that_ends_a_read_is_answered_as_in_the_samples(
    client: httpx.AsyncClient, path: str
) -> None:
    script = ["error", "too_many", "unauthorised", "not_found", "html"]
    faults = {"script": script, "retry_after_seconds": 7}
    await client.post("/sandbox/accounts/partner/faults", json=faults)

    answers = [await client.get(path, params=MINE) for _ in script]

    assert [answer.status_code for answer in answers] == [500, 429, 401, 404, 502]
    for answer in answers[:4]:
        assert answer.json() == of(f"error_{answer.status_code}")["body"]
    assert answers[1].headers["retry-after"] == "7"
    assert answers[4].headers["content-type"].startswith("text/html")


async def test_a_distorted_list_is_distorted_in_every_item(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await play(client, "created")
    script = {"script": ["unknown_word", "wrong_resource", "fine"]}
    await client.post("/sandbox/accounts/partner/faults", json=script)

    unknown, wrong, fine = [
        (await client.get(PATH, params=MINE)).json()["data"] for _ in script["script"]
    ]

    assert [each["payment_status"] for each in unknown] == ["sent_to_bank"] * 2
    assert wrong == fine
    assert (await quiet(client))["provider_reads"] == {"list": 3}
