"""What the charts of the pages count, over rows whose times are known."""

import re
from datetime import UTC, datetime, timedelta

from service.runtime import Runtime
from service.storage.identifiers import first_id, new_id
from service.storage.views.hours import hours_of_account, hours_of_all, hours_of_endpoint
from service.storage.views.lanes import COUNTED_MAX
from service.storage.views.spread import (
    ANSWER_EDGES_MS,
    spread_of_answers,
    spread_of_calls,
    spread_of_waiting,
)
from tests.storage.rows import (
    insert,
    insert_delivery,
    insert_event,
    insert_notification,
    insert_request,
    insert_transition,
)
from tests.web.console.conftest import Visitor
from tests.web.console.seed import id_of

NOW = datetime.now(UTC)
HOUR = NOW.replace(minute=0, second=0, microsecond=0)  # when the hour under way began

EMPTY = [0] * 24


def at(**hours: int) -> list[int]:
    """24 hours, oldest first, with these counts: last=2, before=1, first=3; 0 in all others."""
    return [hours.get("first", 0), *[0] * 21, hours.get("before", 0), hours.get("last", 0)]


async def a_delivery(runtime: Runtime, number: int, state: str, closed_at: datetime) -> str:
    request_id = await insert_request(runtime.pool, f"p{number}", id=id_of("prq", number))
    await insert_transition(runtime.pool, request_id, 1, recorded_at=closed_at)
    notification = await insert_notification(runtime.pool, request_id, 1, created_at=NOW)
    return await insert_delivery(
        runtime.pool, notification, id=id_of("dlv", number), subject_id=request_id, state=state,
        closed_at=None if state == "waiting" else closed_at, notified_at=NOW, created_at=NOW,
    )  # fmt: skip


async def an_attempt(runtime: Runtime, delivery: str, number: int, **values: object) -> None:
    ordinary = {"at": HOUR, "outcome": "http_204", "status_code": 204, "duration_ms": 15}
    row = ordinary | values
    await insert(
        runtime.pool, "attempts", delivery_id=delivery, number=number, notified_at=NOW, **row
    )


async def test_hours_count_what_came_in_what_moved_and_what_went_out(runtime: Runtime) -> None:
    for number, hours in enumerate((0, 1, 23, 24)):
        time = HOUR - timedelta(hours=hours)
        await insert_event(
            runtime.pool, f"e{number}", "p", id=new_id("evt"), day=time.date(), received_at=time
        )
        await a_delivery(runtime, number, "dead" if hours == 1 else "delivered", time)
    waiting = await a_delivery(runtime, 9, "waiting", HOUR)
    outcomes = {"timeout": True, "http_503": True, "written": False, "http_204": False}
    for number, (outcome, failed) in enumerate(outcomes.items()):
        await an_attempt(runtime, waiting, number, outcome=outcome, failed=failed)

    assert await hours_of_all(runtime.pool) == {
        "webhooks": at(first=1, before=1, last=1),
        "changes": at(first=1, before=1, last=2),
        "delivered": at(first=1, last=1),
        "dead": at(before=1),
        "failed": at(last=2),
    }


async def test_hours_of_an_endpoint_leave_other_endpoints_out(runtime: Runtime) -> None:
    await insert(runtime.pool, "endpoints", name="other", kind="webhook")
    mine = await a_delivery(runtime, 1, "delivered", HOUR)
    await an_attempt(runtime, mine, 1, outcome="http_500", status_code=500)

    hours = await hours_of_endpoint(runtime.pool, "erp")

    assert (hours["delivered"], hours["failed"]) == (at(last=1), at(last=1))
    assert set(map(tuple, (await hours_of_endpoint(runtime.pool, "other")).values())) == {
        tuple(EMPTY)
    }


async def test_hours_of_an_account_count_its_webhooks_alone(runtime: Runtime) -> None:
    for number, account in enumerate(["ginger-nl", "ginger-nl", "other"]):
        await insert_event(
            runtime.pool, f"e{number}", "p",
            id=new_id("evt"), account=account, day=HOUR.date(), received_at=HOUR,
        )  # fmt: skip

    assert await hours_of_account(runtime.pool, "ginger-nl") == {"webhooks": at(last=2)}


async def test_nothing_at_all_is_24_empty_hours(runtime: Runtime) -> None:
    assert set(map(tuple, (await hours_of_all(runtime.pool)).values())) == {tuple(EMPTY)}


async def test_answer_times_fall_into_their_bars_and_have_percentiles(runtime: Runtime) -> None:
    delivery = await a_delivery(runtime, 1, "delivered", HOUR)
    for number, took_ms in enumerate([0, 9, 10, 60_000]):
        await an_attempt(runtime, delivery, number, at=NOW, duration_ms=took_ms)

    answers = await spread_of_answers(runtime.pool, "erp")
    nothing = await spread_of_answers(runtime.pool, "other")

    assert answers.found == [2, 1, *[0] * (len(ANSWER_EDGES_MS) - 3), 1]
    assert (answers.p50_ms, answers.p95_ms) == (9, 60_000)
    assert (sum(nothing.found), nothing.p50_ms) == (0, None)


async def test_what_waits_falls_into_bars_by_its_age_and_is_counted_to_a_bound(
    runtime: Runtime,
) -> None:
    ages = [timedelta(0), timedelta(minutes=2), timedelta(hours=3), timedelta(days=9)]
    async with runtime.pool.connection() as connection:
        for number, age in enumerate(ages):
            await connection.execute(
                "insert into deliveries (id, notification_id, endpoint, type, subject_id, sequence,"
                " notified_at) select %s || n, %s || n, 'erp', 't', 's', 1, now()"
                " from generate_series(1, %s) as n",
                [
                    first_id("dlv", NOW - age)[:-4],
                    f"ntf_{number}_",
                    COUNTED_MAX + 5 if age.days else number + 1,
                ],
            )

    found = await spread_of_waiting(runtime.pool, now=NOW)

    assert found == [1, 2, 0, 0, 3, 0, 0, COUNTED_MAX]


async def test_calls_fall_into_the_slices_of_their_window(runtime: Runtime) -> None:
    async with runtime.pool.connection() as connection:
        await connection.execute(
            "insert into budgets (credential, share, granted_calls, granted_at)"
            " values ('ginger-nl', 'all', '{4,7,2}', array[now() - interval '11 s',"
            " now() - interval '9.5 s', now() - interval '0.5 s'])"
        )

    calls = await spread_of_calls(runtime.pool, "ginger-nl", seconds=10.0, slices=2)

    assert calls == [7, 2]


async def test_each_page_draws_its_charts_and_tells_them_in_words(operator: Visitor) -> None:
    for path, titles in {
        "/console": ["Webhooks received", "Changes", "Notifications delivered", "Failures"],
        "/console/endpoints/erp": ["Attempts", "Answer times"],
        "/console/accounts/ginger-nl": ["Webhooks received", "Budget use"],
        "/console/deliveries": ["Waiting by age"],
    }.items():
        told = re.findall('<svg role="img" aria-label="([^"]+)"', await operator.page(path))
        assert len(told) == len(titles), path
        for words, title in zip(told, titles, strict=True):
            assert words.startswith(title), path


async def test_reconcile_draws_the_drift_of_finished_runs_oldest_first(operator: Visitor) -> None:
    for days, found in ((2, '{"missed": 5}'), (1, '{"missed": 1, "wrong_status": 2}')):
        await insert(
            operator.runtime.pool, "reconciles", account="ginger-nl", asked="7d",
            since=NOW - timedelta(days=9), until=NOW, dry_run=False, drift=found,
            started_at=NOW - timedelta(days=days), finished_at=NOW - timedelta(days=days),
        )  # fmt: skip

    page = await operator.page("/console/reconciles")

    first, second = re.findall(r'<rect class="bar warn"[^>]* height="([0-9.]+)"', page)
    assert float(first) > float(second) > 0
    assert "in the newest run" in page
