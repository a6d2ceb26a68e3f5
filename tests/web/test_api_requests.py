"""/v1/requests: tracking one, reading it, its story, and a read on demand."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb

from service.runtime import Runtime
from service.storage.due import Rest
from service.storage.unit_of_work import unit_of_work
from tests.storage.rows import (
    AT,
    insert_event,
    insert_notification,
    insert_request,
    insert_transition,
)

UUID = "4c6afd74-840a-4aa7-b411-bc3f2a2bce42"
UNKNOWN = "prq_" + "0" * 26


def a_request(**changed: object) -> dict[str, Any]:
    return {"account": "ginger-nl", "kind": "order", "provider_id": UUID, **changed}


async def finish_one_read(runtime: Runtime) -> None:
    """Do what a worker does around a read that finds nothing new: claim it and put it to rest."""
    while True:
        async with unit_of_work(runtime.pool) as work:
            claimed = await work.due.claim(1)
        if claimed:
            break
        await asyncio.sleep(0.01)
    async with unit_of_work(runtime.pool) as work:
        await work.due.rest([Rest(claimed[0], covered=claimed[0].wanted, next_seconds=None)])


async def test_a_tracked_request_is_shown_before_it_was_read(api: httpx.AsyncClient) -> None:
    response = await api.post("/v1/requests", json=a_request(reference="INV-1043"))

    request = response.json()
    assert response.status_code == 201
    assert (request["registered"], request["status"], request["sequence"]) == (True, None, 0)
    assert (request["reference"], request["received"]) == ("INV-1043", None)
    assert (await api.get(f"/v1/requests/{request['id']}")).json() == request


async def test_tracking_a_request_twice_is_200(api: httpx.AsyncClient) -> None:
    first = await api.post("/v1/requests", json=a_request())
    again = await api.post("/v1/requests", json=a_request(reference=None))

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"account": "gone"}, "account"),
        ({"kind": "bank"}, "kind"),
        ({"provider_id": "1"}, "provider_id"),
        ({"reference": "\x00"}, "body"),
        ({"reference": "\t"}, "reference"),
        ({"extra": 1}, "extra"),
    ],
)
async def test_a_bad_field_is_named(
    offline: httpx.AsyncClient, changed: dict[str, object], field: str
) -> None:
    response = await offline.post("/v1/requests", json=a_request(**changed))

    assert response.status_code == 400
    assert field in response.json()["detail"]


async def test_an_unknown_request_is_not_found(api: httpx.AsyncClient) -> None:
    for request_id in (UNKNOWN, "prq_x", "%00", "ord_1"):
        for suffix in ("", "/timeline"):
            response = await api.get(f"/v1/requests/{request_id}{suffix}")

            assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_an_unknown_request_cannot_be_synced(api: httpx.AsyncClient) -> None:
    response = await api.post(f"/v1/requests/{UNKNOWN}/sync")

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_requests_are_listed_by_what_they_are(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    await insert_request(runtime.pool, "a", reference="INV/1")
    await insert_request(runtime.pool, "b", status="open", account="gc-live")

    async def listed(**query: str) -> list[str]:
        page = (await api.get("/v1/requests", params=query)).json()
        return [request["provider_id"] for request in page["data"]]

    assert await listed(status="paid") == ["a"]
    assert await listed(account="gc-live") == ["b"]
    assert await listed(provider_id="b") == ["b"]
    assert await listed(reference="INV/1") == ["a"]
    assert await listed(account="unheard-of") == []


async def test_a_sync_answers_with_the_request_once_a_read_has_finished(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    tracked = (await api.post("/v1/requests", json=a_request())).json()
    await finish_one_read(runtime)

    response, _ = await asyncio.gather(
        api.post(f"/v1/requests/{tracked['id']}/sync"), finish_one_read(runtime)
    )

    assert (response.status_code, response.json()["id"]) == (200, tracked["id"])
    assert "sync" not in response.json()


async def test_a_sync_that_nobody_carries_out_in_time_goes_on_without_the_caller(
    api: httpx.AsyncClient,
) -> None:
    tracked = (await api.post("/v1/requests", json=a_request())).json()

    response = await api.post(f"/v1/requests/{tracked['id']}/sync?wait=0")

    assert response.status_code == 202
    assert response.json() == {**tracked, "sync": "pending"}


async def test_a_sync_is_written_down_with_who_asked_for_it_and_why(
    api: httpx.AsyncClient,
) -> None:
    tracked = (await api.post("/v1/requests", json=a_request())).json()
    path = f"/v1/requests/{tracked['id']}/sync?wait=0"

    await api.post(path)
    await api.post(path, json={"reason": "the payer says so"})
    refused = await api.post(path, json={"why": "a key that nobody knows"})

    kept = (await api.get("/v1/interventions?did=sync")).json()["data"]
    assert [(act["who"], act["reason"], act["subject_id"]) for act in kept] == [
        ("api:erp", "the payer says so", tracked["id"]),
        ("api:erp", None, tracked["id"]),
    ]
    assert refused.status_code == 400


async def test_a_timeline_pages_through_what_happened(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    request_id = "prq_" + "1" * 26
    await insert_request(runtime.pool, "a", id=request_id)
    await insert_event(runtime.pool, "1", "a")
    await insert_transition(runtime.pool, request_id, 1)

    first = (await api.get(f"/v1/requests/{request_id}/timeline?limit=1")).json()
    second = (
        await api.get(f"/v1/requests/{request_id}/timeline?limit=1&cursor={first['next']}")
    ).json()

    assert [entry["what"] for entry in first["data"] + second["data"]] == ["event", "transition"]
    assert second["next"] is None


async def test_a_request_is_answered_as_it_was(api: httpx.AsyncClient, runtime: Runtime) -> None:
    request_id = await insert_request(runtime.pool, "a", id="prq_" + "1" * 26, status="reversed")
    told: dict[str, object] = {
        "reference": "INV-1",
        "order_id": None,
        "attention": [],
        "observed_at": None,
    }
    facts = {"final": True, "currency": "EUR", "amount": 4000, "received": 4000, "refunded": 0}
    facts |= {"taken_back": 0, "booked": 0, "provider_status": "completed", "reason": None}
    for sequence, status in ((1, "open"), (2, "paid")):
        at = AT + timedelta(hours=sequence)
        after = Jsonb({**facts, "status": status})
        await insert_transition(
            runtime.pool, request_id, sequence, after=after, recorded_at=at, occurred_at=AT
        )
        body = json.dumps({"data": told}).encode()
        await insert_notification(runtime.pool, request_id, sequence, body=body, created_at=at)

    async def answer(**when: datetime) -> tuple[int, object]:
        query = {name: at.isoformat() for name, at in when.items()}
        response = await api.get(f"/v1/requests/{request_id}", params=query)
        return response.status_code, response.json().get("status")

    assert await answer() == (200, "reversed")
    assert await answer(at=AT + timedelta(hours=1)) == (200, "open")
    assert await answer(at=AT + timedelta(hours=2), as_of=AT) == (200, "paid")
    assert await answer(at=AT) == (404, 404)
    assert await answer(as_of=AT - timedelta(seconds=1)) == (404, 404)
    assert (await api.get(f"/v1/requests/{request_id}?at=now")).status_code == 400
