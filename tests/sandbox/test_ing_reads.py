"""What the fake ING shows of each story. Source: fact sheet, sections 5 and 6; STATUSES.md."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from service.sandbox.ing_payment_request.stories import STORIES
from tests.sandbox.ing_worlds import Clock, log_in, open_account, open_bank, play, sample, shape
from tests.sandbox.worlds import quiet

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
    "processing": ("fulfilled", [], "processing", 0, False),
    "expired": ("expired", [], "expired", 0, True),
    "cancelled": ("closed", [], "cancelled", 0, True),
    "late_money": ("expired", [7000], "paid", 7000, True),
    "paid_after_close": ("closed", [7000], "paid", 7000, True),
    "part_late_money": ("expired", [2000, 5000], "paid", 7000, True),
    "stale_read": ("fulfilled", [7000], "paid", 7000, True),
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with open_bank(clock) as client:
        yield client


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
    expected = shape(sample(name))
    expected.pop("returnUrl", None)

    assert shown == expected


async def test_payments_have_the_shape_of_the_sample(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client)
    request_id = await play(client, clock, "several_payers")

    answer = await client.get(f"/payment-requests/{request_id}/payments")

    assert shape(answer.json()) == shape(sample("payments_multiple"))


async def test_a_request_expires_when_its_time_is_over(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client)
    body = sample("create_request_fixed")
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


async def test_time_passes_for_a_request_that_nobody_reads(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await play(client, clock, "open")
    clock.now += timedelta(days=31)

    (truth,) = (await client.get("/sandbox/truth")).json()

    assert (truth["status"], truth["final"]) == ("expired", True)


async def test_money_that_came_before_the_end_and_is_not_listed_leaves_it_as_it_ended(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    request_id = await play(client, clock, "cancelled")
    await play(client, clock, "payments_not_visible", provider_id=request_id)

    (truth,) = (await client.get("/sandbox/truth")).json()

    assert (truth["status"], truth["received"], truth["final"]) == ("cancelled", 0, True)


async def test_an_account_may_still_show_the_deprecated_list_of_payments(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await open_account(client, deprecated_transactions=True)
    await log_in(client)
    path = f"/payment-requests/{await play(client, clock, 'paid')}"

    shown = (await client.get(path)).json()

    expected = shape(sample("get_fulfilled_with_deprecated_transactions"))
    expected.pop("returnUrl")
    assert shape(shown) == expected
    assert shown["transactions"] == (await client.get(f"{path}/payments")).json()["payments"]


async def test_a_stale_list_of_payments_is_an_older_one(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client)
    path = f"/payment-requests/{await play(client, clock, 'paid')}/payments"
    faults = {"script": ["stale", "fine"], "stale_ms": 3_600_000}
    await client.post("/sandbox/accounts/ing/faults", json=faults)

    stale, fresh = [(await client.get(path)).json()["payments"] for _ in range(2)]

    assert (len(stale), len(fresh)) == (0, 1)


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
