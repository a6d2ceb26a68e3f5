"""/v1/changes: the pull feed and its long poll."""

import asyncio
import time

import httpx
from starlette.types import Message, Scope

from service.runtime import Runtime
from service.storage.database import Pool
from service.web.app import create_app
from tests.storage.rows import AT, insert, insert_notification, insert_request, insert_transition
from tests.web.conftest import KEYS, not_opened


async def add_change(pool: Pool, sequence: int) -> bytes:
    """Write one more notification of the request that is there; return its body."""
    body = b'{"id":"ntf_%d", "data": {"minor":  4000}}' % sequence
    await insert_transition(pool, "prq_a", sequence)
    await insert_notification(pool, "prq_a", sequence, body=body)
    return body


async def test_the_feed_holds_each_body_once_byte_for_byte(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    await insert_request(runtime.pool, "a")
    bodies = [await add_change(runtime.pool, sequence) for sequence in (1, 2, 3)]

    first = await api.get("/v1/changes?limit=2")
    second = await api.get("/v1/changes", params={"after": first.json()["next"]})
    third = await api.get("/v1/changes", params={"after": second.json()["next"]})

    assert all(body in first.content for body in bodies[:2])
    assert [change["id"] for change in second.json()["data"]] == ["ntf_3"]
    assert third.json() == {"data": [], "next": second.json()["next"]}


async def test_a_cursor_to_what_was_dropped_is_410_with_the_oldest_one(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    await insert_request(runtime.pool, "a")
    bodies = [await add_change(runtime.pool, sequence) for sequence in (1, 2, 3)]
    first, second = [
        (await api.get("/v1/changes", params={"limit": limit})).json()["next"] for limit in (1, 2)
    ]
    await insert(runtime.pool, "forgotten", ends_at=AT, position=int(second[1:]))

    gone = await api.get("/v1/changes", params={"after": first})

    problem = gone.json()
    assert (gone.status_code, problem["code"], problem["oldest"]) == (410, "gone", second)
    assert f"begin again with after={second}" in problem["detail"]
    assert bodies[2] in (await api.get("/v1/changes", params={"after": second})).content


async def test_without_wait_an_empty_feed_answers_at_once(api: httpx.AsyncClient) -> None:
    began = time.monotonic()

    response = await api.get("/v1/changes")

    assert response.json()["data"] == []
    assert time.monotonic() - began < 1


async def test_a_waiting_call_is_answered_as_soon_as_something_changes(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    await insert_request(runtime.pool, "a")
    waiting = asyncio.create_task(api.get("/v1/changes?wait=60"))
    answered, _ = await asyncio.wait({waiting}, timeout=0.3)

    await add_change(runtime.pool, 1)
    response = await asyncio.wait_for(waiting, timeout=10)

    assert not answered
    assert [change["id"] for change in response.json()["data"]] == ["ntf_1"]


async def test_a_waiting_call_ends_when_its_time_is_over(api: httpx.AsyncClient) -> None:
    began = time.monotonic()

    response = await api.get("/v1/changes?wait=1")

    assert response.json()["data"] == []
    assert 1 <= time.monotonic() - began < 5


async def test_a_caller_who_goes_away_is_not_waited_for(runtime: Runtime) -> None:
    waiting = Waiting(runtime)

    waiting.gone.set()

    await asyncio.wait_for(waiting.call(), timeout=10)


async def test_a_server_that_stops_answers_those_who_wait(runtime: Runtime) -> None:
    waiting = Waiting(runtime)

    waiting.app.state.stopping.set()
    await asyncio.wait_for(waiting.call(), timeout=10)

    assert waiting.sent[0]["status"] == 200


class Waiting:
    """A call that waits a minute, spoken in ASGI so that its caller can go away."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.app = create_app(not_opened)
        self.gone = asyncio.Event()
        self.sent: list[Message] = []

    async def call(self) -> None:
        scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/changes",
            "raw_path": b"/v1/changes",
            "query_string": b"wait=60",
            "headers": [(b"authorization", f"Bearer {KEYS['erp']}".encode())],
            "state": {"runtime": self._runtime},
        }
        await self.app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
