"""What an operator does at the console: what comes of it, and who did it and why."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.runtime import Runtime
from service.storage.identifiers import new_id
from tests.flow.surroundings import arrived
from tests.storage.rows import (
    insert,
    insert_event,
    insert_notification,
    insert_order,
    insert_request,
    insert_transition,
)
from tests.web.console.conftest import Visitor, in_mode, text_in, visiting
from tests.web.console.seed import HOSTILE, id_of


async def rows(runtime: Runtime, query: str) -> list[Any]:
    async with runtime.pool.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def acts(runtime: Runtime) -> list[Any]:
    """Return what is written down, in the order in which it was done."""
    return await rows(runtime, "select did, who, reason, about from interventions order by at")


async def a_delivery(runtime: Runtime, number: int = 1) -> str:
    """A delivery that arrived, of a notification made just now."""
    request_id = await insert_request(runtime.pool, f"r{number}", id=id_of("prq", number))
    await insert_transition(runtime.pool, request_id, 1)
    notification = await insert_notification(
        runtime.pool, request_id, 1, account="ginger-nl", created_at=datetime.now(UTC)
    )
    return await arrived(runtime.pool, notification)


async def test_many_deliveries_are_planned_confirmed_and_sent_again(operator: Visitor) -> None:
    ids = [await a_delivery(operator.runtime, number) for number in (1, 2)]

    planned = await operator.page(f"/console/deliveries/resend?id={ids[0]}&id={ids[1]}")
    states = await rows(operator.runtime, "select distinct state from deliveries")
    answer = await operator.send("/console/deliveries/resend", id=ids, reason="ERP was restored")

    assert "Send 2 again" in planned
    assert re.findall(r'name="id" value="(\w+)"', planned) == ids
    assert states == [("delivered",)]
    assert answer.headers["location"] == "/console/deliveries?done=resent"
    assert await rows(operator.runtime, "select distinct state from deliveries") == [("waiting",)]
    assert await acts(operator.runtime) == [
        ("resend", "console:operator", "ERP was restored", each) for each in sorted(ids)
    ]


async def test_one_delivery_that_is_not_there_keeps_all_from_being_sent(
    operator: Visitor,
) -> None:
    delivery = await a_delivery(operator.runtime)

    answer = await operator.send("/console/deliveries/resend", id=[delivery, id_of("dlv", 9)])

    assert answer.status_code == 404
    assert await acts(operator.runtime) == []


@pytest.mark.parametrize("reason", ["", " ", "x" * 201, "a\nb"])
async def test_nothing_is_done_without_a_reason(operator: Visitor, reason: str) -> None:
    answer = await operator.send("/console/endpoints/erp/pause", reason=reason)

    assert answer.status_code == 400
    assert "reason: expected 1 to 200 printable characters" in answer.text
    assert await acts(operator.runtime) == []


async def test_an_endpoint_is_paused_and_resumed(operator: Visitor) -> None:
    paused = await operator.send("/console/endpoints/erp/pause", reason="ERP is being upgraded")
    shown = await operator.page(paused.headers["location"])
    resumed = await operator.send("/console/endpoints/erp/resume", reason="upgrade is done")

    assert "Nothing more goes out until somebody resumes it." in shown
    assert "Because: ERP is being upgraded" in shown
    assert "drains" in await operator.page(resumed.headers["location"])
    assert [act[:3] for act in await acts(operator.runtime)] == [
        ("pause", "console:operator", "ERP is being upgraded"),
        ("resume", "console:operator", "upgrade is done"),
    ]


async def test_a_test_of_an_endpoint_shows_what_was_answered(operator: Visitor) -> None:
    answer = await operator.send("/console/endpoints/erp/test")

    assert answer.status_code == 200
    assert "It was not taken" in text_in(answer.text)  # nobody listens at erp.example.com
    assert [act[:2] for act in await acts(operator.runtime)] == [("test", "console:operator")]


async def test_a_recovery_is_planned_begun_watched_and_stopped(operator: Visitor) -> None:
    await a_delivery(operator.runtime)

    planned = await operator.page("/console/endpoints/erp/recover?since=1h")
    times = dict(re.findall(r'name="(since|until)" value="(2[^"]+Z)"', planned))
    begun = await operator.send("/console/endpoints/erp/recover", **times)
    watched = await operator.page(begun.headers["location"])
    stopped = await operator.send(begun.headers["location"] + "/stop", reason="enough")

    assert "1 would go out again" in planned
    assert '<progress max="1" value="0">' in watched
    assert 'hx-trigger="every 2s"' in watched
    assert "stopped" in text_in(await operator.page(stopped.headers["location"]))
    assert [act[:3] for act in await acts(operator.runtime)] == [
        ("recover", "console:operator", "a test"),
        ("stop", "console:operator", "enough"),
    ]


async def test_a_sync_and_a_replay_make_a_request_due_and_are_written_down(
    operator: Visitor,
) -> None:
    provider_id = "4c6afd74-0000-4000-8000-000000000001"
    request_id = await insert_request(operator.runtime.pool, provider_id, id=id_of("prq", 1))
    event_id = await insert_event(
        operator.runtime.pool, "1", provider_id, id=new_id("evt"),
        received_at=datetime.now(UTC), day=datetime.now(UTC).date(),
    )  # fmt: skip

    async def read_whatever_is_asked_for() -> None:
        while True:
            async with operator.runtime.pool.connection() as connection:
                await connection.execute("update due set done = wanted")
            await asyncio.sleep(0.01)

    reading = asyncio.create_task(read_whatever_is_asked_for())
    synced = await operator.send(f"/console/requests/{request_id}/sync", reason="payer called")
    replayed = await operator.send(f"/console/events/{event_id}/replay", reason="once more")
    reading.cancel()

    assert synced.headers["location"].endswith("?done=read")
    assert replayed.headers["location"].endswith("?done=replayed")
    assert await rows(operator.runtime, "select wanted, observed_by from due") == [(2, "operator")]
    assert await acts(operator.runtime) == [
        ("sync", "console:operator", "payer called", None),
        ("replay", "console:operator", "once more", event_id),
    ]
    assert "by console:operator" in text_in(await operator.page(f"/console/requests/{request_id}"))


async def test_codes_of_a_request_and_of_an_order_are_acknowledged_with_a_reason(
    operator: Visitor,
) -> None:
    pool = operator.runtime.pool
    await insert_order(pool, HOSTILE, id=id_of("ord", 1), attention=["overpaid"])
    request_id = await insert_request(
        pool, "a", id=id_of("prq", 1), attention=["late_money"], order_id=id_of("ord", 1),
        reference=HOSTILE,
    )  # fmt: skip

    at_request = await operator.send(
        f"/console/requests/{request_id}/acknowledge", code="late_money", reason="refunded by hand"
    )
    at_order = await operator.send(
        "/console/order/acknowledge", code="overpaid", reference=HOSTILE, reason="kept as credit"
    )

    assert "Acknowledged." in await operator.page(at_request.headers["location"])
    assert "kept as credit" in await operator.page(at_order.headers["location"])
    decided = "select subject, who, reason from decisions order by at"
    assert await rows(operator.runtime, decided) == [
        ("request", "console:operator", "refunded by hand"),
        ("order", "console:operator", "kept as credit"),
    ]
    assert await rows(operator.runtime, "select attention from requests") == [([],)]


async def test_a_code_that_is_not_there_is_a_page_that_says_which_are(operator: Visitor) -> None:
    request_id = await insert_request(operator.runtime.pool, "a", id=id_of("prq", 1))

    answer = await operator.send(f"/console/requests/{request_id}/acknowledge", code="overpaid")

    assert answer.status_code == 409
    assert "has no such attention code; it has none" in answer.text


async def test_in_live_mode_an_act_is_confirmed_as_live(runtime: Runtime) -> None:
    async with visiting(in_mode(runtime, "live")) as operator:
        page = await operator.page("/console/endpoints/erp")
        plain = await operator.send("/console/endpoints/erp/pause")
        confirmed = await operator.send("/console/endpoints/erp/pause", live="yes")

    assert 'name="live" value="yes" required' in page
    assert (plain.status_code, confirmed.status_code) == (400, 303)
    assert "this installation is LIVE" in plain.text
    assert len(await acts(runtime)) == 1


async def test_what_is_no_small_form_does_nothing(operator: Visitor) -> None:
    path, token = "/console/endpoints/erp/pause", await operator.token()

    as_json = await operator.client.post(path, json={"token": token, "reason": "json"})
    large = await operator.client.post(path, data={"token": token, "reason": "x" * 70_000})
    many = await operator.client.post(path, data={f"f{number}": "" for number in range(700)})
    twice = await operator.client.post(path, data={"token": token, "reason": ["a", "b"]})

    answers = [as_json, large, many, twice]
    assert [answer.status_code for answer in answers] == [415, 413, 400, 400]
    assert await acts(operator.runtime) == []


async def test_what_the_ledger_of_acts_shows_is_what_was_done(operator: Visitor) -> None:
    await insert(
        operator.runtime.pool, "interventions", id=id_of("ivn", 1), did="pause", who="api:ops",
        reason=HOSTILE, endpoint="erp", at=datetime.now(UTC) - timedelta(minutes=5),
    )  # fmt: skip

    text = text_in(await operator.page("/console/acts?endpoint=erp"))

    assert f"5 min ago pause api:ops {HOSTILE.partition('<')[0]}" in text
