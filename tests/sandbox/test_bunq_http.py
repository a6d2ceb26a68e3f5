"""bunq's request inquiries and payments over HTTP. Source: fact sheet bunq, sections 2, 6 and 8."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.sandbox.bunq.stories import STORIES
from tests.sandbox.bunq_worlds import (
    ACCOUNT,
    INQUIRIES,
    Till,
    open_till,
    play,
    set_faults,
    shape,
)
from tests.sandbox.worlds import sample

PAYMENTS = f"{ACCOUNT}/payment"
ASKED = {
    "amount_inquired": {"value": "125.00", "currency": "EUR"},
    "counterparty_alias": {"type": "EMAIL", "value": "payer@example.test"},
    "description": "",
    "allow_bunqme": True,
}


@pytest.fixture
async def till() -> AsyncIterator[Till]:
    async with open_till(call_limit_factor=1000) as till:
        await till.log_in()
        yield till


async def create(till: Till, **fields: Any) -> Any:
    return await till.call("POST", INQUIRIES, ASKED | fields)


@pytest.mark.parametrize("story", STORIES)
async def test_every_story_plays_to_its_end(till: Till, story: str) -> None:
    request_id = await play(till, story, reference="INV-1")

    shown = await till.read(request_id)

    assert (shown["id"], shown["merchant_reference"]) == (int(request_id), "INV-1")


async def test_a_story_can_go_on_with_a_request(till: Till) -> None:
    request_id = await play(till, "paid", reference="INV-1", amount=4000)
    await play(till, "refund", provider_id=request_id)
    await play(till, "expired", provider_id=request_id)

    (told,) = (await till.http.get("/sandbox/truth")).json()
    assert (told["status"], told["received"], told["refunded"]) == ("reversed", 4000, 4000)
    assert (await till.read(request_id))["status"] == "ACCEPTED"


async def test_a_reference_that_is_taken_is_refused_at_both_doors(till: Till) -> None:
    await play(till, "open", reference="INV-1")

    own = await create(till, merchant_reference="INV-1")
    story = {"reference": "INV-1"}
    played = await till.http.post("/sandbox/accounts/bunq-main/stories/paid", json=story)

    assert (own.status_code, played.status_code) == (400, 400)


async def test_a_created_request_repeats_what_was_sent(till: Till) -> None:
    sent = sample("bunq/inquiry_create_request")
    created = await till.call("POST", INQUIRIES, sent | {"minimum_age": 18})

    shown = await till.read(created.json()["Response"][0]["Id"]["id"])

    assert shape(created.json()) == shape(sample("bunq/inquiry_create_response"))
    assert (shown["status"], shown["amount_inquired"]) == ("PENDING", sent["amount_inquired"])
    for repeated in ("description", "merchant_reference", "redirect_url"):
        assert shown[repeated] == sent[repeated]
    assert shown["minimum_age"] == 18
    assert shown["counterparty_alias"]["display_name"] == sent["counterparty_alias"]["value"]
    assert shown["bunqme_share_url"].startswith("https://bunq.me/")


async def test_who_banks_with_bunq_gets_no_link(till: Till) -> None:
    alias = {"type": "IBAN", "value": "NL60BUNQ2025103972", "name": "C. Payer"}
    created = await create(till, counterparty_alias=alias)

    shown = await till.read(created.json()["Response"][0]["Id"]["id"])

    assert shown["bunqme_share_url"] is None
    assert shown["counterparty_alias"]["iban"] == alias["value"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_inquired": {"value": "0.00", "currency": "EUR"}},
        {"amount_inquired": {"value": "-1.00", "currency": "EUR"}},
        {"amount_inquired": {"value": "1.234", "currency": "EUR"}},
        {"amount_inquired": {"value": 125, "currency": "EUR"}},
        {"amount_inquired": {"value": "1.00", "currency": "euro"}},
        {"counterparty_alias": {"type": "IBAN", "value": "NL60BUNQ2025103972"}},
        {"counterparty_alias": {"type": "TWITTER", "value": "payer"}},
        {"description": "x" * 9001},
        {"description": None},
        {"allow_bunqme": "yes"},
        {"minimum_age": 11},
        {"minimum_age": 101},
        {"require_address": "HOME"},
        {"foo": 1},
    ],
)
async def test_a_creation_is_checked(till: Till, wrong: dict[str, object]) -> None:
    assert (await create(till, **wrong)).status_code == 400


@pytest.mark.parametrize("missing", ASKED)
async def test_four_fields_are_required(till: Till, missing: str) -> None:
    rest = {name: value for name, value in ASKED.items() if name != missing}

    answer = await till.call("POST", INQUIRIES, rest)

    assert answer.status_code == 400
    assert missing in answer.json()["Error"][0]["error_description"]


@pytest.mark.parametrize(
    ("value", "currency", "status"),
    [("500.00", "EUR", "ACCEPTED"), ("500.01", "EUR", "PENDING"), ("5.00", "USD", "PENDING")],
)
async def test_sugar_daddy_accepts_up_to_five_hundred_euro(
    till: Till, value: str, currency: str, status: str
) -> None:
    alias = {"type": "EMAIL", "value": "sugardaddy@bunq.com"}
    money = {"value": value, "currency": currency}
    created = await create(till, counterparty_alias=alias, amount_inquired=money)

    shown = await till.read(created.json()["Response"][0]["Id"]["id"])

    assert shown["status"] == status
    payments = (await till.get(PAYMENTS)).json()["Response"]
    assert [each["Payment"]["amount"] for each in payments] == [money] * (status == "ACCEPTED")


async def test_a_pending_request_can_be_revoked_once(till: Till) -> None:
    path = f"{INQUIRIES}/{await play(till, 'open')}"
    wrong = await till.call("PUT", path, {"status": "PENDING"})
    first = await till.call("PUT", path, {"status": "REVOKED"})
    again = await till.call("PUT", path, {"status": "REVOKED"})

    assert [answer.status_code for answer in (wrong, first, again)] == [400, 200, 400]
    assert shape(first.json()) == shape(sample("bunq/inquiry_revoked"))
    (told,) = (await till.http.get("/sandbox/truth")).json()
    assert told["status"] == "cancelled"


async def test_what_is_unknown_is_404(till: Till) -> None:
    answers = [
        await till.get(f"{INQUIRIES}/1"),
        await till.call("PUT", f"{INQUIRIES}/1", {"status": "REVOKED"}),
        await till.get(f"{PAYMENTS}/1"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]


async def test_an_empty_list_is_the_empty_sample(till: Till) -> None:
    assert (await till.get(INQUIRIES)).json() == sample("bunq/list_empty")


async def ids_of(till: Till, path: str) -> tuple[list[int], Any]:
    page = (await till.get(path)).json()
    return [each["RequestInquiry"]["id"] for each in page["Response"]], page["Pagination"]


async def test_pages_link_to_each_other_as_in_the_samples(till: Till) -> None:
    plan = {"reference": "INV", "story": "open", "count": 4}
    made = (await till.http.post("/sandbox/accounts/bunq-main/requests", json=plan)).json()
    ids = [int(each["provider_id"]) for each in reversed(made)]

    newest, links = await ids_of(till, f"{INQUIRIES}?count=2")
    oldest, older_links = await ids_of(till, links["older_url"])
    back, _ = await ids_of(till, older_links["newer_url"])
    later, later_links = await ids_of(till, links["future_url"])

    assert (newest, oldest, back, later) == (ids[:2], ids[2:], ids[:2], [])
    prefix = f"{INQUIRIES}?count=2"
    assert links == {
        "future_url": f"{prefix}&newer_id={ids[0]}",
        "newer_url": None,
        "older_url": f"{prefix}&older_id={ids[1]}",
    }
    assert older_links == {
        "future_url": None,
        "newer_url": f"{prefix}&newer_id={ids[2]}",
        "older_url": None,
    }
    assert set(later_links.values()) == {None}


async def test_newer_pages_follow_on_without_a_gap(till: Till) -> None:
    plan = {"reference": "INV", "story": "open", "count": 5}
    made = (await till.http.post("/sandbox/accounts/bunq-main/requests", json=plan)).json()
    ids = [int(each["provider_id"]) for each in made]

    page, links = await ids_of(till, f"{INQUIRIES}?count=2&newer_id={ids[0]}")

    assert page == [ids[2], ids[1]]
    assert links["newer_url"].endswith(f"newer_id={ids[2]}")
    assert links["older_url"].endswith(f"older_id={ids[1]}")


async def test_a_page_has_ten_by_default_and_two_hundred_at_most(till: Till) -> None:
    plan = {"reference": "INV", "story": "open", "count": 201}
    await till.http.post("/sandbox/accounts/bunq-main/requests", json=plan)

    assert len((await ids_of(till, INQUIRIES))[0]) == 10
    assert len((await ids_of(till, f"{INQUIRIES}?count=200"))[0]) == 200


@pytest.mark.parametrize(
    "query", ["count=0", "count=201", "count=x", "older_id=-1", "older_id=1&newer_id=2"]
)
async def test_a_page_that_cannot_be_is_refused(till: Till, query: str) -> None:
    assert (await till.get(f"{INQUIRIES}?{query}")).status_code == 400


async def test_the_money_of_a_request_is_listed_newest_first(till: Till) -> None:
    await play(till, "refund", reference="INV-1", amount=12500)

    listed = (await till.get(PAYMENTS)).json()["Response"]
    payments = [each["Payment"] for each in listed]
    one = (await till.get(f"{PAYMENTS}/{payments[0]['id']}")).json()["Response"]

    assert [each["amount"]["value"] for each in payments] == ["-125.00", "125.00"]
    assert {each["merchant_reference"] for each in payments} == {"INV-1"}
    assert one == listed[:1]


async def test_scripted_faults_strike_the_next_reads_in_order(till: Till) -> None:
    path = f"{INQUIRIES}/{await play(till, 'paid')}"
    script = ["error", "too_many", "html", "unauthorised", "not_found", "fine"]
    await set_faults(till, script=script)

    answers = [await till.get(path) for _ in script]

    assert [answer.status_code for answer in answers] == [500, 429, 502, 401, 404, 200]
    assert answers[0].json() == sample("bunq/errors")["500_internal"]["body"]
    assert answers[1].json() == sample("bunq/errors")["429_rate_limit"]["body"]
    assert "x-bunq-client-response-id" not in answers[2].headers


async def test_a_stale_read_shows_an_older_picture_and_its_payments(till: Till) -> None:
    request_id = await play(till, "paid")
    await set_faults(till, script=["stale", "stale", "stale"], stale_ms=60_000)

    stale = await till.read(request_id)
    listed = (await till.get(INQUIRIES)).json()["Response"][0]["RequestInquiry"]
    payments = (await till.get(PAYMENTS)).json()["Response"]

    assert (stale["status"], listed["status"], payments) == ("PENDING", "PENDING", [])
    assert stale["updated"] < (await till.read(request_id))["updated"]


async def test_a_story_that_lags_shows_the_picture_before_it(till: Till) -> None:
    request_id = await play(till, "stale_read")

    assert (await till.read(request_id))["status"] == "PENDING"
    assert (await till.get(PAYMENTS)).json()["Response"] == []


async def test_a_picture_can_be_wrong_in_its_id_or_its_word(till: Till) -> None:
    request_id = await play(till, "paid")
    await set_faults(till, script=["wrong_resource", "unknown_word"])

    other, odd = await till.read(request_id), await till.read(request_id)

    assert other["id"] != int(request_id)
    assert (odd["id"], odd["status"]) == (int(request_id), "CANCELLED")


async def test_calls_are_counted_by_kind(till: Till) -> None:
    request_id = await play(till, "paid")
    await till.read(request_id)
    await till.get(INQUIRIES)
    await till.get(PAYMENTS)

    stats = (await till.http.get("/sandbox/stats")).json()

    handshake = {"device": 1, "session": 1}
    assert stats["provider_reads"] == handshake | {"read": 1, "list": 1, "payments": 1}


async def test_the_same_seed_makes_the_same_ids() -> None:
    ids = []
    for seed in (3, 3, 4):
        async with open_till(seed=seed) as till:
            ids.append(await play(till, "paid"))

    assert ids[0] == ids[1] != ids[2]
