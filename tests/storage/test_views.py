"""Views over real rows: what an answer holds, how lists page, what is complete."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg.types.json import Jsonb

from service.errors import Unavailable
from service.settings import Rate
from service.storage.database import Pool, pool_of
from service.storage.views.accounts import Configured, list_accounts, list_coverage
from service.storage.views.deliveries import DeliveryFilter, list_deliveries
from service.storage.views.endpoints import list_endpoints
from service.storage.views.events import EventFilter, list_events
from service.storage.views.evidence import read_evidence
from service.storage.views.gauges import read_gauges
from service.storage.views.orders import OrderFilter, find_order, list_orders
from service.storage.views.requests import RequestFilter, find_request, list_requests
from service.storage.views.timeline import list_timeline
from tests.storage.rows import (
    AT,
    insert,
    insert_delivery,
    insert_event,
    insert_notification,
    insert_order,
    insert_request,
    insert_transition,
)

GINGER = Configured("ginger-nl", "ginger", "test", Rate(5, 1.0))


async def test_a_request_that_was_never_read_shows_no_status_and_no_amounts(pool: Pool) -> None:
    bare = await insert_request(
        pool, "new", status=None, provider_status=None, currency=None, amount=None, sequence=0,
        received=0, final=False, observed_at=None,
    )  # fmt: skip

    shown = await find_request(pool, bare)

    assert shown is not None
    assert (shown["status"], shown["sequence"], shown["observed_at"]) == (None, 0, None)
    assert [shown[name] for name in ("amount", "received", "refunded", "booked")] == [None] * 4


async def test_a_request_shows_what_its_order_asks_a_person_to_see(pool: Pool) -> None:
    order = await insert_order(pool, "INV-1", attention=["overpaid", "some_condition"])
    request = await insert_request(pool, "a", order_id=order, attention=["late_money"])

    shown = await find_request(pool, request)

    assert shown is not None
    assert shown["attention"] == ["late_money", "overpaid"]


async def test_an_unknown_request_and_an_unknown_order_are_not_found(pool: Pool) -> None:
    assert await find_request(pool, "prq_none") is None
    assert await find_order(pool, "none") is None


async def test_an_order_shows_its_requests_in_brief(pool: Pool) -> None:
    order = await insert_order(pool, "INV/1043", metadata='{"debtor": 7}')
    await insert_request(pool, "a", order_id=order)
    await insert_request(pool, "b", order_id=order, first_seen_at=AT + timedelta(seconds=1))
    await insert_request(pool, "elsewhere")

    shown = await find_order(pool, "INV/1043")

    assert shown is not None
    assert [request["id"] for request in shown["requests"]] == ["prq_a", "prq_b"]
    assert shown["amount"] == {"currency": "EUR", "minor": 4000, "exponent": 2, "decimal": "40.00"}
    assert shown["metadata"] == {"debtor": 7}
    assert shown["updated_at"] == "2026-11-20T14:31:02.418Z"


async def test_a_part_of_another_request_is_shown_as_such_and_not_under_its_order(
    pool: Pool,
) -> None:
    order = await insert_order(pool, "INV-1")
    link = await insert_request(pool, "a-link", kind="payment_link", order_id=order)
    attempt = await insert_request(pool, "an-attempt", order_id=order)
    await insert(
        pool,
        "related",
        account="ginger-nl",
        kind="order",
        provider_id="an-attempt",
        request_id=link,
        related_as="attempt",
    )

    shown = await find_order(pool, "INV-1")
    listed = await list_requests(pool, RequestFilter(), after=None, limit=10)
    whole = await find_request(pool, link)

    assert shown is not None
    assert [brief["id"] for brief in shown["requests"]] == [link]
    assert {each["id"]: each["part_of"] for each in listed.items} == {link: None, attempt: link}
    assert whole is not None
    assert whole["part_of"] is None


async def test_pages_of_a_list_hold_every_row_once_although_times_are_equal(pool: Pool) -> None:
    for number in range(5):
        await insert_request(pool, f"r{number}")

    first = await list_requests(pool, RequestFilter(), after=None, limit=2)
    second = await list_requests(pool, RequestFilter(), after=first.after, limit=2)
    third = await list_requests(pool, RequestFilter(), after=second.after, limit=2)

    ids = [request["id"] for page in (first, second, third) for request in page.items]
    assert ids == ["prq_r4", "prq_r3", "prq_r2", "prq_r1", "prq_r0"]
    assert third.after is None


async def test_a_walk_since_a_time_meets_what_changed_meanwhile_at_its_end(pool: Pool) -> None:
    for number in range(3):
        await insert_order(pool, f"o{number}", updated_at=AT + timedelta(seconds=number))
    since = OrderFilter(updated_since=AT)

    first = await list_orders(pool, since, after=None, limit=2)
    async with pool.connection() as connection:
        await connection.execute("update orders set updated_at = now() where reference = 'o0'")
    second = await list_orders(pool, since, after=first.after, limit=2)

    assert [order["reference"] for order in first.items] == ["o0", "o1"]
    assert [order["reference"] for order in second.items] == ["o2", "o0"]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (RequestFilter(status="paid"), {"prq_a"}),
        (RequestFilter(account="gc-live"), {"prq_b"}),
        (RequestFilter(provider_id="b"), {"prq_b"}),
        (RequestFilter(reference="INV-2"), {"prq_b"}),
        (RequestFilter(updated_since=AT + timedelta(seconds=1)), {"prq_b"}),
        (RequestFilter(status="paid", account="gc-live"), set()),
    ],
)
async def test_a_list_of_requests_narrows(
    pool: Pool, chosen: RequestFilter, found: set[str]
) -> None:
    await insert_request(pool, "a", reference="INV-1")
    await insert_request(
        pool, "b", reference="INV-2", account="gc-live", status="open",
        updated_at=AT + timedelta(seconds=1),
    )  # fmt: skip

    page = await list_requests(pool, chosen, after=None, limit=10)

    assert {request["id"] for request in page.items} == found


@pytest.mark.parametrize("q", ["inv-1", "1043", "-10_3", "%"])
async def test_q_finds_any_part_of_a_reference_and_knows_no_wildcards(pool: Pool, q: str) -> None:
    await insert_order(pool, "INV-1043")
    await insert_order(pool, "INV-2000%")

    page = await list_orders(pool, OrderFilter(q=q), after=None, limit=10)

    expected = {"inv-1": ["INV-1043"], "1043": ["INV-1043"], "%": ["INV-2000%"]}
    assert [order["reference"] for order in page.items] == expected.get(q, [])


async def test_an_event_names_the_request_it_belongs_to_also_through_a_refund(pool: Pool) -> None:
    request = await insert_request(pool, "a")
    await insert(
        pool, "related", account="ginger-nl", kind="order", provider_id="refund-1",
        request_id=request, related_as="refund",
    )  # fmt: skip
    for event, provider_id in (("1", "a"), ("2", "refund-1"), ("3", "stranger")):
        await insert_event(pool, event, provider_id)

    page = await list_events(pool, EventFilter(), after=None, limit=10)

    assert [event["request_id"] for event in page.items] == [None, request, request]
    assert "body" not in page.items[0]


async def test_events_page_across_days_newest_first(pool: Pool) -> None:
    for number in range(4):
        at = AT - timedelta(days=number)
        await insert_event(pool, str(number), "a", day=at.date(), received_at=at)

    first = await list_events(pool, EventFilter(), after=None, limit=3)
    second = await list_events(pool, EventFilter(), after=first.after, limit=3)

    ids = [event["id"] for event in [*first.items, *second.items]]
    assert ids == ["evt_0", "evt_1", "evt_2", "evt_3"]


async def test_all_days_that_an_event_of_a_request_may_have_are_looked_at(pool: Pool) -> None:
    request = await insert_request(pool, "a")
    first, last = AT.date() - timedelta(days=36), AT.date() + timedelta(days=1)
    for event, day in (("old", first), ("ahead", last)):
        await insert_event(pool, event, "a", day=day)
        await insert_event(pool, f"{event}_of_another", "b", day=day)

    page = await list_events(pool, EventFilter(provider_id="a"), after=None, limit=10)
    timeline = await list_timeline(pool, request, after=None, limit=10)
    pack = await read_evidence(pool, request, with_raw=False, at=AT) or []

    listed = {event["id"] for event in page.items}
    told = {entry["id"] for entry in timeline.items if entry["what"] == "event"}
    packed = {row["id"] for row in pack if row["what"] == "event"}
    assert listed == told == packed == {"evt_old", "evt_ahead"}


async def endpoint_with_one_notification(pool: Pool) -> str:
    await insert(pool, "endpoints", name="erp", kind="webhook")
    request = await insert_request(pool, "a")
    await insert_transition(pool, request, 1)
    return await insert_notification(pool, request, 1)


async def test_a_delivery_shows_its_attempts_in_order_and_when_the_next_one_is(pool: Pool) -> None:
    notification = await endpoint_with_one_notification(pool)
    delivery = await insert_delivery(pool, notification, subject_id="prq_a", reference="INV-1")
    for number, status in ((1, 503), (2, None)):
        await insert(
            pool, "attempts", delivery_id=delivery, number=number, at=AT, outcome="failed",
            notified_at=AT,
            status_code=status, duration_ms=12,
        )  # fmt: skip

    page = await list_deliveries(pool, DeliveryFilter(state="waiting"), after=None, limit=10)

    (shown,) = page.items
    assert (shown["request_id"], shown["order_id"]) == ("prq_a", None)
    assert [attempt["status_code"] for attempt in shown["attempts"]] == [503, None]
    assert shown["next_at"] == "2026-11-20T14:31:02.418Z"


async def test_deliveries_page_and_narrow(pool: Pool) -> None:
    await endpoint_with_one_notification(pool)
    for number in range(2, 5):
        await insert_transition(pool, "prq_a", number)
        notification = await insert_notification(pool, "prq_a", number)
        await insert_delivery(pool, notification, subject_id="prq_a", sequence=number)
    chosen = DeliveryFilter(endpoint="erp", request_id="prq_a")

    first = await list_deliveries(pool, chosen, after=None, limit=2)
    second = await list_deliveries(pool, chosen, after=first.after, limit=2)

    assert [one["sequence"] for one in [*first.items, *second.items]] == [4, 3, 2]
    assert not (
        await list_deliveries(pool, DeliveryFilter(state="dead"), after=None, limit=2)
    ).items


async def test_a_timeline_tells_the_story_in_order_without_bodies(pool: Pool) -> None:
    notification = await endpoint_with_one_notification(pool)
    delivery = await insert_delivery(pool, notification, subject_id="prq_a")
    await insert_event(pool, "1", "a", body=b'{"secret": "payer"}')
    await insert(
        pool, "observations", day=AT.date(), id="obs_1", request_id="prq_a", read_at=AT,
        lease_no=1, observed_by="webhook", verdict="transition", answer_sha256=b"\x01" * 32,
        answer=b"payer",
    )  # fmt: skip
    await insert(
        pool, "attempts", delivery_id=delivery, number=1, at=AT, outcome="delivered",
        notified_at=AT,
        status_code=204, duration_ms=12, excerpt="payer",
    )  # fmt: skip

    first = await list_timeline(pool, "prq_a", after=None, limit=3)
    second = await list_timeline(pool, "prq_a", after=first.after, limit=3)

    entries = [*first.items, *second.items]
    assert [entry["what"] for entry in entries] == [
        "event", "observation", "transition", "notification", "attempt",
    ]  # fmt: skip
    assert entries[1]["answer_sha256"] == entries[2]["answer_sha256"] == "01" * 32
    assert "payer" not in str(entries)


async def insert_window(pool: Pool, start: int, end: int, *, finished: bool) -> None:
    await insert(
        pool, "windows", account="ginger-nl", since=AT + timedelta(minutes=start),
        until=AT + timedelta(minutes=end), finished_at=AT if finished else None, found=2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("windows", "complete_minutes"),
    [
        ([], None),
        ([(0, 10, False)], None),
        ([(0, 10, True), (9, 20, True)], 20),
        ([(0, 10, True), (9, 20, False)], 10),
        ([(0, 10, True), (9, 20, False), (19, 30, True)], 10),
    ],
)
async def test_coverage_is_complete_up_to_the_first_unfinished_window(
    pool: Pool, windows: list[tuple[int, int, bool]], complete_minutes: int | None
) -> None:
    for start, end, finished in windows:
        await insert_window(pool, start, end, finished=finished)

    (shown,) = await list_coverage(pool, ["ginger-nl"])
    (account,) = await list_accounts(pool, [GINGER])

    minute = complete_minutes and 31 + complete_minutes
    expected = {None: None, 41: "2026-11-20T14:41:02.418Z", 51: "2026-11-20T14:51:02.418Z"}[minute]
    assert shown["complete_up_to"] == account["complete_up_to"] == expected
    assert len(shown["windows"]) == len(windows)


async def test_coverage_counts_changes_by_what_made_us_look(pool: Pool) -> None:
    request = await insert_request(pool, "a")
    for sequence, observed_by in enumerate(("webhook", "sweep", "sweep"), start=1):
        await insert_transition(
            pool, request, sequence, observed_by=observed_by, recorded_at=datetime.now(UTC)
        )

    (shown,) = await list_coverage(pool, ["ginger-nl"])

    assert shown["changes"] == {"webhook": 1, "poll": 0, "sweep": 2, "operator": 0}


async def test_an_account_shows_its_health(pool: Pool) -> None:
    now = datetime.now(UTC)
    await insert(
        pool, "accounts", name="ginger-nl", provider="ginger", state="paused", reason="http_401"
    )
    await insert(
        pool, "budgets", credential="ginger-nl", share="all",
        granted_at=[now - timedelta(seconds=5), now], granted_calls=[5, 3],
    )  # fmt: skip
    await insert_event(pool, "1", "a")
    for provider_id, parked in (("a", "not_found"), ("b", "part_of_another")):
        await insert(
            pool, "due", account="ginger-nl", kind="order", provider_id=provider_id, parked=parked
        )

    (shown,) = await list_accounts(pool, [GINGER])

    assert (shown["state"], shown["reason"], shown["parked"]) == ("paused", "http_401", 1)
    assert shown["budget"] == {
        "limit": 5, "seconds": 1.0, "used": 3, "planned": None, "possible": None,
    }  # fmt: skip
    assert shown["stretched"] == 1.0
    assert shown["last_event_at"] == "2026-11-20T14:31:02.418Z"


async def test_an_account_shows_what_its_polls_would_cost_and_what_its_budget_carries(
    pool: Pool,
) -> None:
    await insert(pool, "accounts", name="bunq-main", provider="bunq")
    await insert(
        pool, "poll_plans", account="bunq-main", planned=4.5, possible=2 / 3, stretch=6.75,
        next_at=datetime.now(UTC),
    )  # fmt: skip
    await insert(
        pool, "budgets", credential="fingerprint", share="all",
        granted_at=[datetime.now(UTC)], granted_calls=[2],
    )  # fmt: skip

    (shown,) = await list_accounts(
        pool, [Configured("bunq-main", "bunq", "test", Rate(3, 3.0), "fingerprint")]
    )

    assert shown["budget"] == {
        "limit": 3, "seconds": 3.0, "used": 2, "planned": 13.5, "possible": 2.0,
    }  # fmt: skip
    assert shown["stretched"] == 6.75


async def test_an_endpoint_shows_its_backlog_and_its_last_day(pool: Pool) -> None:
    notification = await endpoint_with_one_notification(pool)
    await insert(pool, "endpoints", name="idle", kind="webhook")
    delivery = await insert_delivery(pool, notification, subject_id="prq_a")
    for number, status in ((1, 503), (2, 204)):
        await insert(
            pool, "attempts", delivery_id=delivery, number=number, at=datetime.now(UTC),
            notified_at=AT,
            outcome="tried", status_code=status, duration_ms=number * 10,
        )  # fmt: skip

    erp, idle = await list_endpoints(pool)

    assert (erp["backlog"], erp["oldest_at"]) == (1, "2026-11-20T14:31:02.418Z")
    assert (erp["failed_24h"], erp["delivered_24h"], erp["p95_ms"]) == (1, 0, 20)
    assert (idle["backlog"], idle["oldest_at"], idle["p95_ms"]) == (0, None, None)


async def test_gauges_count_what_is_due_and_what_waits(pool: Pool) -> None:
    await insert(pool, "accounts", name="ginger-nl", provider="ginger")
    await insert(pool, "due", account="ginger-nl", kind="order", provider_id="a", due_at=AT)
    await insert(pool, "due", account="ginger-nl", kind="order", provider_id="b", due_at="infinity")
    notification = await endpoint_with_one_notification(pool)
    await insert_delivery(pool, notification, subject_id="prq_a")

    gauges = {gauge.name: gauge.samples for gauge in await read_gauges(pool)}

    assert gauges["settled_due_requests"] == [({"account": "ginger-nl"}, 1.0)]
    assert gauges["settled_deliveries_waiting"] == [({"endpoint": "erp"}, 1.0)]
    assert gauges["settled_due_oldest_seconds"][0][1] > 0


async def test_drift_is_that_of_the_newest_finished_run_and_0_for_what_it_did_not_find(
    pool: Pool,
) -> None:
    for name in ("ginger-nl", "never-compared"):
        await insert(pool, "accounts", name=name, provider="ginger")
    for finished_at, drift in (
        (AT + timedelta(1), {"missed": 2}),
        (AT, {"lagging": 9}),
        (None, {}),
    ):
        await insert(
            pool, "reconciles", account="ginger-nl", asked="7d", dry_run=True,
            since=AT - timedelta(7), until=AT, finished_at=finished_at, drift=Jsonb(drift),
        )  # fmt: skip

    (samples,) = [g.samples for g in await read_gauges(pool) if g.name == "settled_drift"]

    assert {labels["account"] for labels, _ in samples} == {"ginger-nl"}
    assert {labels["class"]: value for labels, value in samples} == {
        "missed": 2,
        "lagging": 0,
        "conflicting_amount": 0,
        "unknown_here": 0,
        "unknown_there": 0,
    }


async def test_without_a_database_a_view_says_try_later() -> None:
    nowhere = pool_of(
        "postgresql://settled@/none?host=/nonexistent", application="test", connections_max=1
    )

    with pytest.raises(Unavailable):
        await find_request(nowhere, "prq_a")
