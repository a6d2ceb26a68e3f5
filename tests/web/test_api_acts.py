"""What an operator does by API: replay, resend, recover, pause, resume, try an endpoint."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio

from service.runtime import Runtime
from service.storage.identifiers import new_id
from tests.flow.surroundings import arrived
from tests.storage.rows import (
    insert_event,
    insert_notification,
    insert_request,
    insert_transition,
)
from tests.web.conftest import KEYS, client_of
from tests.web.test_api import problem_in

DELIVERY = "dlv_" + "1" * 26
RECOVERY = "rcv_" + "1" * 26

ACTS = [
    f"/v1/deliveries/{DELIVERY}/resend",
    "/v1/events/evt_1/replay",
    "/v1/recover",
    f"/v1/recover/{RECOVERY}/stop",
    "/v1/endpoints/erp/pause",
    "/v1/endpoints/erp/resume",
    "/v1/endpoints/erp/test",
]


@pytest_asyncio.fixture(loop_scope="session")
async def operator(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(runtime, key=KEYS["operator"]) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def offline_operator(offline_runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(offline_runtime, key=KEYS["operator"]) as client:
        yield client


async def a_delivery(runtime: Runtime) -> str:
    """A delivery that arrived, of a notification made just now."""
    request_id = await insert_request(runtime.pool, "a")
    await insert_transition(runtime.pool, request_id, 1)
    notification = await insert_notification(
        runtime.pool, request_id, 1, account="ginger-nl", created_at=datetime.now(UTC)
    )
    return await arrived(runtime.pool, notification)


async def acts(runtime: Runtime) -> list[Any]:
    async with runtime.pool.connection() as connection:
        cursor = await connection.execute("select did, who, reason from interventions order by at")
        return await cursor.fetchall()


@pytest.mark.parametrize("path", ACTS)
async def test_an_erp_may_not_do_what_an_operator_does(
    offline: httpx.AsyncClient, path: str
) -> None:
    assert problem_in(await offline.post(path)) == (403, "forbidden")


async def test_a_resent_delivery_waits_again_and_who_and_why_is_kept(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    delivery_id = await a_delivery(runtime)

    answer = await operator.post(f"/v1/deliveries/{delivery_id}/resend", json={"reason": "lost"})

    assert answer.status_code == 202
    assert (answer.json()["id"], answer.json()["state"]) == (delivery_id, "waiting")
    assert await acts(runtime) == [("resend", "api:operator", "lost")]


async def test_a_resend_under_the_same_key_is_done_once(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    delivery_id = await a_delivery(runtime)
    headers = {"idempotency-key": "once"}

    answers = [
        await operator.post(f"/v1/deliveries/{delivery_id}/resend", headers=headers)
        for _ in range(2)
    ]

    assert answers[0].content == answers[1].content
    assert len(await acts(runtime)) == 1


async def test_deliveries_narrow_by_type_and_since(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    delivery_id = await a_delivery(runtime)

    async def ids(query: str) -> list[str]:
        page = (await operator.get(f"/v1/deliveries?{query}")).json()
        return [each["id"] for each in page["data"]]

    assert await ids("type=payment_request.paid&since=2026-01-01T00:00:00Z") == [delivery_id]
    assert await ids("type=order.paid") == []
    assert await ids("since=2999-01-01T00:00:00Z") == []
    shown = (await operator.get(f"/v1/deliveries/{delivery_id}")).json()
    assert shown["state"] == "delivered"


async def test_what_is_not_there_is_not_found(operator: httpx.AsyncClient) -> None:
    reads = ["deliveries/dlv_1", f"deliveries/{DELIVERY}", "events/evt_%00", f"recover/{RECOVERY}"]
    acts = [
        *(f"deliveries/{DELIVERY}/resend", "events/evt_1/replay"),
        *("recover/rcv_%00/stop", f"recover/{RECOVERY}/stop"),
        *("endpoints/none/pause", "endpoints/%00/resume", "endpoints/none/test"),
    ]

    answers = [await operator.get(f"/v1/{path}") for path in reads]
    answers += [await operator.post(f"/v1/{path}") for path in acts]

    assert {problem_in(answer) for answer in answers} == {(404, "not_found")}


@pytest.mark.parametrize("body", [b"[]", b'{"reason": 1}', b'{"resaon": "x"}', b'{"reason": ""}'])
async def test_a_reason_that_is_none_is_refused(
    offline_operator: httpx.AsyncClient, body: bytes
) -> None:
    answer = await offline_operator.post(f"/v1/deliveries/{DELIVERY}/resend", content=body)

    assert problem_in(answer)[0] == 400


async def test_a_paused_endpoint_says_so_until_it_is_resumed(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    paused = await operator.post("/v1/endpoints/erp/pause", json={"reason": "moving house"})
    resumed = await operator.post("/v1/endpoints/erp/resume")

    assert (paused.json()["state"], paused.json()["reason"]) == ("paused", "moving house")
    assert resumed.json()["state"] == "draining"
    page = (await operator.get("/v1/interventions?endpoint=erp&limit=1")).json()
    rest = (await operator.get(f"/v1/interventions?cursor={page['next']}")).json()
    listed = [(act["did"], act["who"], act["reason"]) for act in page["data"] + rest["data"]]
    assert listed == [("resume", "api:operator", None), ("pause", "api:operator", "moving house")]


async def test_a_try_of_an_endpoint_that_is_away_tells_why(operator: httpx.AsyncClient) -> None:
    tried = (await operator.post("/v1/endpoints/erp/test")).json()

    assert (tried["ok"], tried["status_code"]) == (False, None)
    assert tried["outcome"]
    assert tried["notification_id"].startswith("ntf_")


async def test_a_recovery_is_planned_begun_shown_and_stopped(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    await a_delivery(runtime)
    window = {"endpoint": "erp", "since": "1h"}

    planned = await operator.post("/v1/recover", json={**window, "dry_run": True})
    begun = await operator.post("/v1/recover", json=window)
    stopped = await operator.post(f"/v1/recover/{begun.json()['id']}/stop")
    shown = await operator.get(f"/v1/recover/{begun.json()['id']}")
    again = await operator.post("/v1/recover", json=window)

    assert (planned.status_code, planned.json()["by_state"]) == (200, {"delivered": 1})
    assert (begun.status_code, begun.json()["state"], begun.json()["planned"]) == (
        202, "running", 1,
    )  # fmt: skip
    assert stopped.json() == shown.json()
    assert shown.json()["state"] == "stopped"
    assert (again.json()["id"], again.json()["state"]) == (begun.json()["id"], "running")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"endpoint": "none"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-11-20T14:31:02"}, "since"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"state": "dead"}, "state"),
    ],
)
async def test_a_bad_recovery_names_the_field(
    offline_operator: httpx.AsyncClient, changed: Mapping[str, Any], field: str
) -> None:
    body = {"endpoint": "erp", "since": "7d", **changed}

    answer = await offline_operator.post("/v1/recover", json=body)

    assert problem_in(answer)[0] == 400
    assert field in answer.json()["detail"]


async def test_a_window_that_ends_before_it_begins_is_refused(operator: httpx.AsyncClient) -> None:
    for window in ({"since": "2999-01-01T00:00:00Z"}, {"since": "7d", "until": "8d"}):
        answer = await operator.post("/v1/recover", json={"endpoint": "erp", **window})

        assert problem_in(answer)[0] == 400


async def test_a_replay_answers_with_the_event_and_that_its_read_goes_on(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    now = datetime.now(UTC)
    event_id = await insert_event(
        runtime.pool, "1", "00000001-0000-4000-8000-000000000000",
        id=new_id("evt"), day=now.date(), received_at=now,
    )  # fmt: skip

    answer = await operator.post(f"/v1/events/{event_id}/replay?wait=0")

    assert (answer.status_code, answer.json()["replay"]) == (202, "pending")
    assert answer.json()["id"] == event_id
    assert (await operator.get(f"/v1/events/{event_id}")).json()["account"] == "ginger-nl"


async def test_a_replay_of_an_event_about_no_request_says_so(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    now = datetime.now(UTC)
    event_id = await insert_event(
        runtime.pool, "1", "", id=new_id("evt"), day=now.date(), received_at=now, kind=None,
        verdict="set_aside", reason="no_events",
    )  # fmt: skip

    answer = await operator.post(f"/v1/events/{event_id}/replay")

    assert problem_in(answer) == (409, "about_no_request")
