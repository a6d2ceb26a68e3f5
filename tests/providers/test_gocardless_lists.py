"""The traps in GoCardless's lists, one test each. Source: fact sheet gocardless, 2, 7 and 8."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.request import Kind, Listing
from service.domain.status import Status
from service.errors import Unreadable
from service.providers import Listed, Page
from tests.providers.exchange import always, run
from tests.providers.gocardless_bodies import (
    NOW,
    PAYMENT,
    REQUEST,
    billing_request,
    event,
    events,
    failure,
    gocardless,
    payment,
    seen,
    step,
)
from tests.providers.test_contract import mutated
from tests.providers.world import recording

SINCE = datetime(2025, 3, 3, 8, tzinfo=UTC)
PAGES = (
    "events_list_page_1.json",
    "billing_requests_list_page_1.json",
    "payments_list_page_last.json",
)

# Events of a window


def page(cursor: str | None, body: object) -> tuple[Page, httpx.Request]:
    since = (NOW - timedelta(hours=1)).astimezone(timezone(timedelta(hours=2)))
    exchange = gocardless().list_page(since, NOW, cursor)
    found, (request,) = run(exchange, always(json.dumps(body).encode()))
    return found, request


def test_the_list_is_one_of_events_in_a_window_of_utc_times() -> None:
    found, request = page(None, events(event(), step("flow_visited", id="EV02")))

    assert request.url.path == "/events"
    assert request.headers["gocardless-version"] == "2015-07-06"
    assert dict(request.url.params) == {
        "created_at[gte]": "2025-03-03T08:05:00.000Z",
        "created_at[lt]": "2025-03-03T09:05:00.000Z",
        "limit": "250",
    }
    assert found.next is None
    assert found.items == (
        Listed(Kind.BILLING_REQUEST, REQUEST, None, event_id="EV02"),
        Listed(Kind.PAYMENT, PAYMENT, None, event_id="EV01"),
    )


def test_the_events_of_a_page_are_oldest_first_whatever_their_order_there() -> None:
    def at(minute: int, event_id: str) -> dict[str, Any]:
        return event(id=event_id, created_at=f"2025-03-03T09:{minute:02}:00.000Z")

    listed = (at(4, "EV5"), at(4, "EV4"), at(1, "EV2"), at(3, "EV3"), event(created_at=7, id="EV1"))
    found, _ = page(None, events(*listed))

    assert [item.event_id for item in found.items] == ["EV1", "EV2", "EV3", "EV4", "EV5"]


def test_a_list_goes_on_after_its_cursor() -> None:
    found, request = page("EV 9&limit=1", events(after="EV08"))

    assert request.url.params["after"] == "EV 9&limit=1"
    assert request.url.params["limit"] == "250"
    assert found == Page((), "EV08")


@pytest.mark.parametrize(
    "other",
    [
        7,
        {},
        event(links={}),
        event(links={"payment": "../x"}),
        event("created", resource_type="mandates", links={"mandate": "MD1"}),
        event("paid", resource_type="payouts", links={"payout": "PO1"}),
        event("created", resource_type="brand_new", links={"payment": PAYMENT}),
    ],
)
def test_an_event_that_leads_nowhere_does_not_keep_a_sweep_from_the_others(other: object) -> None:
    assert page(None, events(other, event()))[0].items == (
        Listed(Kind.PAYMENT, PAYMENT, None, event_id="EV01"),
    )


def test_a_sweep_looks_also_where_an_action_is_new() -> None:
    assert page(None, events(event("brand_new")))[0].items[0].provider_id == PAYMENT


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"events": []},
        {"events": {}, "meta": {"cursors": {"after": None}}},
        {"events": [], "meta": {"cursors": {}}},
        {"events": [], "meta": {"cursors": {"after": 7}}},
        events(after=""),
        events(after="x" * 201),
        events(after="EV08\n"),
        events(after="EV\u046b8"),
        events(after="EV09"),
    ],
)
def test_a_page_that_does_not_say_how_to_go_on_is_unreadable(body: object) -> None:
    with pytest.raises(Unreadable):
        page("EV09", body)


@pytest.mark.parametrize("odd", ['{"id": "EV0\\u0000"}', "NaN", '{"a": 1, "a": 2}', "1e999"])
def test_an_event_that_strict_json_refuses_does_not_stop_a_sweep_for_ever(odd: str) -> None:
    body = f'{{"events": [{odd}, {json.dumps(event())}], "meta": {{"cursors": {{"after": null}}}}}}'
    exchange = gocardless().list_page(SINCE, NOW, None)
    found, _ = run(exchange, always(body.encode()))

    assert [item.event_id for item in found.items] == ["EV01"]


# All requests with their statuses


def look(cursor: str | None, body: object) -> tuple[Page, httpx.Request]:
    exchange = gocardless().look_through(SINCE, cursor)
    found, (request,) = run(exchange, always(json.dumps(body).encode()))
    return found, request


def requests(*answers: dict[str, Any], after: str | None = None) -> dict[str, Any]:
    """Return a page of billing requests, given as they are read one by one."""
    items = [answer["billing_requests"] for answer in answers]
    return {"billing_requests": items, "meta": {"cursors": {"after": after}}}


def payments(*answers: dict[str, Any], after: str | None = None) -> dict[str, Any]:
    return {
        "payments": [answer["payments"] for answer in answers],
        "meta": {"cursors": {"after": after}},
    }


def pending(**changes: Any) -> dict[str, Any]:
    """Return a billing request that has led to no payment."""
    part = {"amount": 12500, "currency": "GBP", "links": {}}
    return billing_request(**{"status": "pending", "payment_request": part, "links": {}, **changes})


def test_all_requests_are_looked_through_and_then_all_payments() -> None:
    walked = []
    cursor: str | None = None
    for body in (
        requests(pending(), after="BRQ9"),
        requests(pending(id="BRQ2")),
        payments(payment(), after="PM9"),
        payments(payment(id="PM2")),
    ):
        found, request = look(cursor, body)
        assert request.headers["gocardless-version"] == "2015-07-06"
        walked += [
            (request.url.path, dict(request.url.params), [i.provider_id for i in found.items])
        ]
        cursor = found.next

    since = {"created_at[gte]": "2025-03-03T08:00:00.000Z"}
    assert cursor is None
    assert walked == [
        ("/billing_requests", {"limit": "250"}, [REQUEST]),
        ("/billing_requests", {"limit": "250", "after": "BRQ9"}, ["BRQ2"]),
        ("/payments", {**since, "limit": "250"}, [PAYMENT]),
        ("/payments", {**since, "limit": "250", "after": "PM9"}, ["PM2"]),
    ]


def test_billing_requests_are_left_at_the_first_one_made_before() -> None:
    made = {"created_at": "2025-03-03T08:00:00.000Z"}
    before = {"created_at": "2025-03-03T07:59:59.999Z"}
    body = requests(
        pending(**made),
        pending(id="BRQ2", **before, payment_request=None),
        pending(id="BRQ3"),
        after="BRQ3",
    )
    found, _ = look(None, body)

    assert [item.provider_id for item in found.items] == [REQUEST]
    assert found.next == "payments"


def test_a_mandate_alone_is_not_listed() -> None:
    assert look(None, requests(pending(payment_request=None)))[0].items == ()


@pytest.mark.parametrize("other", [None, 7, {}, {"id": "BRQ1"}, {"id": "../creditors"}])
def test_an_item_that_cannot_be_read_keeps_nobody_from_the_others(other: object) -> None:
    asked = billing_request()["billing_requests"]
    paid = payment()["payments"]
    broken = other if not isinstance(other, dict) else {**asked, "status": 7, **other}

    def listed(cursor: str | None, name: str, good: object) -> list[str]:
        body = {name: [broken, good], "meta": {"cursors": {"after": None}}}
        return [item.provider_id for item in look(cursor, body)[0].items]

    assert listed(None, "billing_requests", asked) == [REQUEST]
    assert listed("payments", "payments", paid) == [PAYMENT]


@pytest.mark.parametrize("wrong_id", ["../creditors", "PM1", "BRQ1/actions/cancel", ""])
def test_an_id_of_the_wrong_shape_is_not_listed(wrong_id: str) -> None:
    assert look(None, requests(pending(id=wrong_id), pending()))[0].items[0].provider_id == REQUEST
    if wrong_id != "PM1":
        assert look("payments", payments(payment(id=wrong_id)))[0].items == ()


@pytest.mark.parametrize("cursor", ["events EV1", "billing_requests/BRQ1", "../creditors", ""])
def test_only_cursors_of_ours_are_followed(cursor: str) -> None:
    if cursor:
        with pytest.raises(Unreadable):
            next(gocardless().look_through(SINCE, cursor))
    else:
        assert next(gocardless().look_through(SINCE, cursor)).url.path == "/billing_requests"


def test_a_list_of_requests_that_leads_to_itself_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        look("billing_requests BRQ9", requests(after="BRQ9"))
    with pytest.raises(Unreadable):
        look("payments PM9", payments(after="PM9"))


# Marks: what a list shows and what a read came to


def marks(cursor: str | None, body: object) -> dict[str, str | None]:
    return {item.provider_id: item.mark for item in look(cursor, body)[0].items}


@pytest.mark.parametrize("word", ["pending", "ready_to_fulfil", "fulfilling", "fulfilled"])
def test_without_a_payment_a_read_comes_to_the_mark_that_the_list_shows(word: str) -> None:
    asked = pending(status=word)
    listing = seen(asked=asked).listing

    assert listing is not None
    assert marks(None, requests(asked)) == {listing.provider_id: listing.mark}


@pytest.mark.parametrize(
    "paid_by",
    [
        payment("pending_submission"),
        payment("submitted"),
        payment("confirmed"),
        payment("confirmed", amount_refunded=2500),
        payment("paid_out", links={"payout": "PO1"}),
        payment("cancelled"),
        payment("customer_approval_denied"),
    ],
)
def test_with_a_payment_a_read_comes_to_the_mark_of_the_payment(paid_by: dict[str, Any]) -> None:
    listing = seen(paid_by).listing

    assert listing is not None
    assert listing.provider_id == PAYMENT
    assert marks("payments", payments(paid_by)) == {PAYMENT: listing.mark}


def test_whatever_would_change_the_facts_changes_the_mark() -> None:
    answers = [
        payment("submitted"),
        payment("submitted", links={"payout": "PO1"}),
        payment("confirmed"),
        payment("confirmed", amount_refunded=1),
        payment("confirmed", amount_refunded=2),
        payment("confirmed", amount=12501),
        payment("paid_out"),
    ]
    paid = {marks("payments", payments(answer))[PAYMENT] for answer in answers}
    chosen = {"payment_request": {"amount": None, "currency": "EUR"}}
    asked = [pending(), pending(status="fulfilled"), pending(**chosen), billing_request()]

    assert len(paid) == len(answers)
    assert len({marks(None, requests(answer))[REQUEST] for answer in asked}) == len(asked)


def test_a_request_is_no_longer_shown_as_before_once_it_leads_to_a_payment() -> None:
    """Its own status stays fulfilled; only the link comes."""
    before = seen(asked=pending(status="fulfilled"))

    assert before.facts.status is Status.PROCESSING
    assert before.listing != Listing(
        REQUEST, marks(None, requests(billing_request()))[REQUEST] or ""
    )


def test_no_list_shows_when_a_payment_becomes_visible_or_what_only_its_events_tell() -> None:
    charged_back = event("charged_back", created_at="2025-03-09T09:00:00.000Z")
    known = seen(payment("charged_back"), charged_back).facts
    again = event("chargeback_cancelled", created_at="2025-03-10T09:00:00.000Z")

    assert seen(None).listing is None
    assert seen(payment("failed"), failure()).listing is None
    assert seen(payment("charged_back"), charged_back).listing is None
    assert seen(payment("confirmed"), again, charged_back, known=known).listing is None


# Anything at all


@given(st.data())
def test_any_page_is_unreadable_or_lists_what_is_ours(data: st.DataObject) -> None:
    adapter = gocardless()
    body = data.draw(
        st.binary(max_size=80) | mutated(recording("gocardless", data.draw(st.sampled_from(PAGES))))
    )
    cursor = data.draw(st.none() | st.sampled_from(["payments", "billing_requests x", "odd"]))

    for exchange in (adapter.list_page(SINCE, NOW, cursor), adapter.look_through(SINCE, cursor)):
        with suppress(Unreadable):
            found, (request,) = run(exchange, always(body))
            assert str(request.url).startswith("https://api.psp.example/")
            assert all(adapter.knows(item.kind, item.provider_id) for item in found.items)
            assert all(item.event_id or item.mark for item in found.items)
            assert "\0" not in (found.next or "")
