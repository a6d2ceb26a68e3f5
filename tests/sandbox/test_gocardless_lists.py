"""GoCardless's lists: cursors, filters, order. Source: fact sheet gocardless, sections 2, 7, 8."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.sandbox.gocardless.shelf import Shelf, Stretch
from tests.sandbox.gocardless_worlds import account, payment_of, play, played, sample, visiting
from tests.sandbox.test_gocardless_shapes import shape
from tests.sandbox.worlds import NOON

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with visiting() as client:
        yield client


async def listed(client: httpx.AsyncClient, name: str, **params: Any) -> Any:
    answer = await client.get(f"/{name}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ids(client: httpx.AsyncClient, name: str, **params: Any) -> list[str]:
    return [each["id"] for each in (await listed(client, name, **params))[name]]


async def test_a_list_has_the_shape_of_its_sample(client: httpx.AsyncClient) -> None:
    empty = await listed(client, "billing_requests")
    for story in ("created", "paid", "created"):
        await play(client, story)

    page = await listed(client, "billing_requests", limit=2)
    payments = await listed(client, "payments")

    assert empty == sample("billing_requests/list_empty")
    expected = sample("billing_requests/list_page_1")
    assert shape(page["meta"]) == shape(expected["meta"])
    assert page["billing_requests"][0].keys() == expected["billing_requests"][0].keys()
    assert shape(payments) == shape(sample("payments/list_page_last"))


async def test_the_pages_of_events_follow_each_other_without_gap(
    client: httpx.AsyncClient,
) -> None:
    await play(client, "paid_out")
    whole = await ids(client, "events", limit=500)

    walked, cursor, sizes = [], None, []
    while True:
        params = {"limit": 4} if cursor is None else {"limit": 4, "after": cursor}
        page = await listed(client, "events", **params)
        walked += [event["id"] for event in page["events"]]
        sizes.append(len(page["events"]))
        cursor = page["meta"]["cursors"]["after"]
        if cursor is None:
            break

    assert walked == whole
    assert len(whole) == len(set(whole)) == sum(sizes)
    assert set(sizes[:-1]) == {4}


async def test_events_are_newest_first(client: httpx.AsyncClient) -> None:
    await play(client, "paid")

    events = (await listed(client, "events"))["events"]

    assert [event["action"] for event in events[:3]] == ["confirmed", "submitted", "created"]
    times = [event["created_at"] for event in events]
    assert times == sorted(times, reverse=True)


async def test_news_does_not_move_a_page_that_is_asked_for_by_cursor(
    client: httpx.AsyncClient,
) -> None:
    await play(client, "paid")
    first = await listed(client, "events", limit=3)
    cursor = first["meta"]["cursors"]["after"]
    before = await ids(client, "events", after=cursor)

    await play(client, "paid")

    assert await ids(client, "events", after=cursor) == before
    newer = await ids(client, "events", before=first["meta"]["cursors"]["after"], limit=2)
    assert newer == [event["id"] for event in first["events"][:2]]


async def test_events_are_found_by_what_they_are_about(client: httpx.AsyncClient) -> None:
    request_id = await play(client, "late_failure")
    await play(client, "paid")
    payment = await payment_of(client, request_id)

    of_payment = (await listed(client, "events", payment=payment["id"]))["events"]
    of_request = (await listed(client, "events", billing_request=request_id))["events"]
    paid_out = (await listed(client, "events", resource_type="payments", action="paid_out"))[
        "events"
    ]

    assert [event["action"] for event in of_payment] == [
        "late_failure_settled",
        "failed",
        "paid_out",
        "confirmed",
        "submitted",
        "created",
    ]
    assert {event["links"]["billing_request"] for event in of_request} == {request_id}
    assert [event["links"]["payment"] for event in paid_out] == [payment["id"]]
    assert await ids(client, "events", payment="PM000000000000") == []


async def test_created_at_is_compared_as_it_is_shown(client: httpx.AsyncClient) -> None:
    await play(client, "paid", pace={"min_ms": 3, "max_ms": 5})
    events = (await listed(client, "events"))["events"]
    times = [event["created_at"] for event in events]
    moment = times[3]

    counts = [
        len(await ids(client, "events", **{f"created_at[{comparison}]": moment}))
        for comparison in ("gt", "gte", "lt", "lte")
    ]

    assert counts == [
        sum(time > moment for time in times),
        sum(time >= moment for time in times),
        sum(time < moment for time in times),
        sum(time <= moment for time in times),
    ]
    assert 0 < counts[0] < counts[1]


async def test_an_event_is_listed_some_time_after_it_was_sent() -> None:
    async with visiting(events_lag_ms=3_600_000) as client:
        await play(client, "paid")
        (webhook, *_) = (await listed(client, "webhooks"))["webhooks"]
        (shown,) = [event["id"] for event in sent(webhook)]

        event = await client.get(f"/events/{shown}")
        listed_ids = await ids(client, "events")

    assert event.status_code == 404
    assert shown not in listed_ids


def test_events_are_listed_after_a_time_of_their_own_so_that_they_overtake() -> None:
    holder = account(events_lag_ms=60_000)
    request = played("paid", at=holder)
    page = holder.events.page(Stretch(limit=500), lambda event: event.request is request)

    shown = [event.visible_at for event in page.items]
    assert all(event.at <= event.visible_at <= event.at + MINUTE for event in page.items)
    assert shown != sorted(shown, reverse=True)


def sent(webhook: Any) -> Any:
    return httpx.Response(200, content=webhook["request_body"].encode()).json()["events"]


async def test_one_event_has_the_shape_of_its_sample(client: httpx.AsyncClient) -> None:
    await play(client, "paid")
    (event_id,) = await ids(client, "events", resource_type="billing_requests", action="fulfilled")

    event = (await client.get(f"/events/{event_id}")).json()

    assert shape(event) == shape(sample("events/get_one"))


async def test_payments_are_narrowed_down(client: httpx.AsyncClient) -> None:
    paid = await payment_of(client, await play(client, "paid", currency="GBP"))
    debit = await payment_of(client, await play(client, "late_failure", currency="EUR"))
    date = paid["charge_date"]

    assert await ids(client, "payments") == [debit["id"], paid["id"]]
    assert await ids(client, "payments", status="confirmed") == [paid["id"]]
    assert await ids(client, "payments", scheme="sepa_core") == [debit["id"]]
    assert await ids(client, "payments", mandate=debit["links"]["mandate"]) == [debit["id"]]
    assert await ids(client, "payments", currency="GBP") == [paid["id"]]
    assert len(await ids(client, "payments", **{"charge_date[lte]": date})) == 2
    assert await ids(client, "payments", **{"charge_date[gt]": date}) == []
    assert await ids(client, "payments", **{"created_at[lt]": paid["created_at"]}) == []


async def test_billing_requests_are_narrowed_down(client: httpx.AsyncClient) -> None:
    opened, paid = await play(client, "open"), await play(client, "paid")

    assert await ids(client, "billing_requests", status="pending") == [opened]
    assert await ids(client, "billing_requests") == [paid, opened]


@pytest.mark.parametrize(
    ("name", "params", "status"),
    [
        ("events", {"limit": "0"}, 422),
        ("events", {"limit": "501"}, 422),
        ("events", {"limit": "many"}, 422),
        ("events", {"after": "EV000000000000"}, 422),
        ("events", {"created_at[gte]": "yesterday"}, 422),
        ("events", {"created_at[lte]": "9999-12-31T23:59:59.999999Z"}, 422),
        ("events", {"created_at[gte]": "2026-11-20T12:00:00"}, 422),
        ("events", {"created_at": "2026-11-20T12:00:00Z"}, 400),
        ("events", {"resource_type": "payments", "payment": "PM1"}, 400),
        ("payments", {"customer": "CU1", "creditor": "CR1"}, 400),
        ("billing_requests", {"created_at[gte]": "2026-11-20T12:00:00Z"}, 400),
        ("webhooks", {"successful": "no"}, 422),
    ],
)
async def test_what_a_list_does_not_take_is_refused(
    client: httpx.AsyncClient, name: str, params: dict[str, str], status: int
) -> None:
    answer = await client.get(f"/{name}", params=params)

    assert answer.status_code == status


def test_cursors_are_null_at_the_ends_of_what_matches() -> None:
    shelf: Shelf[int] = Shelf()
    for number in range(10):
        shelf.add(f"N{number}", number, NOON)

    def odd(number: int) -> bool:
        return number % 2 == 1

    first = shelf.page(Stretch(limit=3), odd)
    last = shelf.page(Stretch(limit=3, after=first.after), odd)
    back = shelf.page(Stretch(limit=2, before=last.before), odd)

    assert (list(first.items), first.before, first.after) == ([9, 7, 5], None, "N5")
    assert (list(last.items), last.before, last.after) == ([3, 1], "N3", None)
    assert (list(back.items), back.before, back.after) == ([7, 5], "N7", "N5")
