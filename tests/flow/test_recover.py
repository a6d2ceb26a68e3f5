"""A window of notifications, sent to one endpoint again: planned, fed, and each once per run."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.errors import Malformed, NotFound
from service.flow.attempt import DeliverParts
from service.flow.deliver import deliver_due
from service.flow.intervene import pause
from service.flow.recover import begin, feed, plan, stop
from service.settings import Rate
from service.storage.database import Pool
from service.storage.recoveries import Run, Window
from service.storage.views.reading import Json
from service.storage.views.recoveries import find_recovery
from service.storage.views.timeline import list_timeline
from tests.flow.surroundings import Erp, answers, endpoint, sending
from tests.storage.rows import (
    AT,
    insert_delivery,
    insert_notification,
    insert_order,
    insert_request,
    insert_transition,
)

WHO = "api:ops"
HOUR = timedelta(hours=1)
WINDOW = Window("all", AT - HOUR, AT + HOUR)


@pytest.fixture
def pool(emptied: Pool) -> Pool:
    return emptied


async def told(
    pool: Pool,
    about: str,
    sequence: int = 1,
    *,
    state: str | None = "delivered",
    at: datetime = AT,
    **message: Any,
) -> str:
    """A notification as it stands after its delivery to erp came to state, None: it had none."""
    subject = message.get("subject", "request")
    await insert_transition(pool, about, sequence, subject=subject)
    body = json.dumps({"data": {"request_id": about, "sequence": sequence}}).encode()
    row = {"account": "ginger-nl", "body": body, "created_at": at} | message
    notification = await insert_notification(pool, about, sequence, **row)
    if state is not None:
        closed_at = None if state == "waiting" else at
        await insert_delivery(
            pool, notification, subject_id=about, sequence=sequence, state=state,
            closed_at=closed_at, tries=0 if state == "waiting" else 1,
        )  # fmt: skip
    return notification


async def drain(parts: DeliverParts) -> int:
    return await deliver_due(parts, slots=16, bell=asyncio.Event())


async def start(parts: DeliverParts, window: Window = WINDOW) -> Run:
    return await begin(parts.pool, parts.endpoints["erp"], window, who=WHO)


async def feed_slowly(parts: DeliverParts, erp: Erp) -> int:
    """Feed as for an endpoint that takes one a second: two at a time."""
    return await feed(parts.pool, {"erp": endpoint(erp, rate=Rate(1, 1.0))})


async def shown(parts: DeliverParts, run: Run) -> Json:
    found = await find_recovery(parts.pool, run.id)
    assert found is not None
    return found


async def see_it_through(parts: DeliverParts, run: Run) -> Json:
    """Feed and deliver in turn until the run is finished."""
    for _ in range(20):
        await feed(parts.pool, parts.endpoints)
        await drain(parts)
        if (await shown(parts, run))["state"] == "finished":
            break
    return await shown(parts, run)


async def test_a_plan_counts_by_type_and_state_and_changes_nothing(
    parts: DeliverParts, erp: Erp
) -> None:
    await told(parts.pool, "prq_1")
    await told(parts.pool, "prq_2", state="dead", type="payment_request.expired")
    await told(parts.pool, "prq_3", state=None)
    await told(parts.pool, "prq_4", state="waiting")
    await told(parts.pool, "prq_5", at=AT - 2 * HOUR)

    planned = await plan(parts.pool, endpoint(erp, rate=Rate(1, 2.0)), WINDOW)

    assert planned.by_type == {"payment_request.paid": 2, "payment_request.expired": 1}
    assert planned.by_state == {"delivered": 1, "dead": 1, "never": 1, "waiting": 1}
    assert (planned.planned, planned.seconds, planned.lane) == (3, 6.0, "open")
    assert await feed(parts.pool, parts.endpoints) == 0


async def test_what_was_delivered_dead_or_never_sent_goes_out_once_and_the_rest_stays(
    parts: DeliverParts, erp: Erp
) -> None:
    wanted = {
        await told(parts.pool, "prq_1"),
        await told(parts.pool, "prq_2", state="dead"),
        await told(parts.pool, "prq_3", state=None),
    }
    await told(parts.pool, "prq_4", at=AT + 2 * HOUR)

    finished = await see_it_through(parts, await start(parts))

    assert sorted(erp.ids) == sorted(wanted)
    assert (finished["state"], finished["planned"], finished["delivered"]) == ("finished", 3, 3)


async def test_what_still_waits_is_not_sent_twice(parts: DeliverParts, erp: Erp) -> None:
    waiting = await told(parts.pool, "prq_1", state="waiting")

    await see_it_through(parts, await start(parts))

    assert erp.ids == [waiting]


async def test_each_request_hears_its_news_in_order(parts: DeliverParts, erp: Erp) -> None:
    for sequence in (1, 2, 3):
        for subject in ("prq_1", "prq_2"):
            await told(parts.pool, subject, sequence)

    await see_it_through(parts, await start(parts))

    for subject in ("prq_1", "prq_2"):
        heard = [sequence for about, sequence in erp.places if about == subject]
        assert heard == [1, 2, 3]


async def test_no_more_is_on_its_way_than_the_lane_takes_in_two_seconds(
    parts: DeliverParts, erp: Erp
) -> None:
    for number in range(5):
        await told(parts.pool, f"prq_{number}")
    run = await start(parts)

    assert [await feed_slowly(parts, erp), await feed_slowly(parts, erp)] == [2, 0]
    await drain(parts)
    assert await feed_slowly(parts, erp) == 2
    assert (await shown(parts, run))["delivered"] == 2


async def test_nothing_more_is_put_on_its_way_while_the_lane_is_closed(
    parts: DeliverParts, erp: Erp
) -> None:
    for number in range(5):
        await told(parts.pool, f"prq_{number}")
    await pause(parts.pool, endpoint="erp", who=WHO)
    await start(parts)

    assert [await feed_slowly(parts, erp) for _ in range(3)] == [2, 0, 0]
    assert await drain(parts) == 0


async def test_a_stopped_run_is_gone_on_with_where_it_stood_and_sends_nothing_twice(
    parts: DeliverParts, erp: Erp
) -> None:
    ids = [await told(parts.pool, f"prq_{number}") for number in range(5)]
    run = await start(parts)
    await feed_slowly(parts, erp)
    await stop(parts.pool, run.id, who=WHO)
    await drain(parts)
    assert await feed(parts.pool, parts.endpoints) == 0
    assert (await shown(parts, run))["state"] == "stopped"

    again = await start(parts)
    finished = await see_it_through(parts, again)

    assert again.id == run.id
    assert erp.ids == ids
    assert (finished["queued"], finished["delivered"]) == (5, 5)


async def test_two_that_feed_at_once_put_nothing_on_its_way_twice(
    parts: DeliverParts, erp: Erp
) -> None:
    ids = [await told(parts.pool, f"prq_{number}") for number in range(4)]
    await start(parts)

    fed = await asyncio.gather(*(feed(parts.pool, parts.endpoints) for _ in range(4)))
    await drain(parts)

    assert sum(fed) == 4
    assert sorted(erp.ids) == sorted(ids)


async def test_a_run_of_another_name_or_after_the_end_sends_again(
    parts: DeliverParts, erp: Erp
) -> None:
    sent = await told(parts.pool, "prq_1")
    first = await start(parts)
    await see_it_through(parts, first)
    second = await start(parts)
    await see_it_through(parts, second)

    assert first.id != second.id
    assert erp.ids == [sent, sent]


async def test_a_run_that_stopped_a_day_ago_is_not_gone_on_with(parts: DeliverParts) -> None:
    run = await start(parts)
    async with parts.pool.connection() as connection:
        await connection.execute(
            "update recoveries set started_at = started_at - interval '25 hours'"
        )

    assert (await start(parts)).id != run.id


async def test_what_the_erp_turns_down_again_is_counted_as_dead(
    parts: DeliverParts, erp: Erp
) -> None:
    await told(parts.pool, "prq_1")
    erp.answering = answers(422)

    finished = await see_it_through(parts, await start(parts))

    assert (finished["delivered"], finished["dead"]) == (0, 1)


async def test_an_endpoint_gets_only_what_it_wants(pool: Pool, erp: Erp) -> None:
    only = endpoint(erp, accounts=("gc-live",), types=("*.paid",))
    order = await insert_order(pool, "INV-1")
    await insert_request(pool, "a", account="gc-live", order_id=order)
    async with sending(pool, only) as parts:
        wanted = [
            await told(pool, "prq_1", state=None, account="gc-live"),
            await told(pool, order, state=None, account=None, subject="order", type="order.paid"),
        ]
        await told(pool, "prq_2", state=None)
        await told(pool, "prq_3", state=None, account="gc-live", type="payment_request.open")
        finished = await see_it_through(parts, await start(parts))

    assert sorted(erp.ids) == sorted(wanted)
    assert finished["planned"] == 2


async def test_a_recovery_is_in_the_timeline_of_what_it_sent(parts: DeliverParts) -> None:
    await told(parts.pool, "prq_1")
    run = await start(parts)
    await see_it_through(parts, run)

    entries = (await list_timeline(parts.pool, "prq_1", after=None, limit=50)).items
    (again,) = [entry for entry in entries if entry["what"] == "recovered"]
    assert (again["recovery"], again["endpoint"]) == (run.id, "erp")


async def test_who_began_and_who_stopped_it_is_kept(parts: DeliverParts) -> None:
    run = await start(parts)
    await stop(parts.pool, run.id, who="command:eva", reason="too early")

    async with parts.pool.connection() as connection:
        cursor = await connection.execute(
            "select did, who, reason, about from interventions order by at"
        )
        assert await cursor.fetchall() == [
            ("recover", WHO, None, run.id),
            ("stop", "command:eva", "too early", run.id),
        ]


async def test_an_empty_window_is_finished_at_once(parts: DeliverParts) -> None:
    run = await start(parts)
    await feed(parts.pool, parts.endpoints)

    assert (await shown(parts, run))["state"] == "finished"


async def test_a_window_that_ends_before_it_begins_is_refused(parts: DeliverParts) -> None:
    with pytest.raises(Malformed):
        await start(parts, Window("wrong", AT, AT))


async def test_an_endpoint_that_the_service_never_started_with_is_not_found(
    pool: Pool, erp: Erp
) -> None:
    with pytest.raises(NotFound):
        await plan(pool, endpoint(erp, "new"), WINDOW)
