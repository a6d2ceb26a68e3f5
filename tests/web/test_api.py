"""What holds for every call of the API: keys, parameters, bodies, problems, answers given once."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.types import Message, Scope

from service.runtime import Runtime
from service.web.app import create_app
from tests.storage.rows import insert_request
from tests.web.conftest import KEYS, client_of, not_opened

READS = [
    "/v1/orders",
    "/v1/requests",
    "/v1/changes",
    "/v1/events",
    "/v1/deliveries",
    "/v1/accounts",
    "/v1/endpoints",
    "/v1/coverage",
    "/v1/recover",
    "/v1/interventions",
]


def an_order(**changed: object) -> dict[str, Any]:
    return {"reference": "INV-1043", "amount": {"currency": "EUR", "minor": 4000}, **changed}


def problem_in(response: httpx.Response) -> tuple[int, str]:
    """The status and code of a problem, which must be one in every respect."""
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == response.status_code
    return response.status_code, problem["code"]


@pytest.mark.parametrize("path", READS)
async def test_no_read_is_open_to_whoever_has_no_key(offline: httpx.AsyncClient, path: str) -> None:
    response = await offline.get(path, headers={"authorization": ""})

    assert problem_in(response) == (401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_every_read_is_open_to_a_viewer(runtime: Runtime) -> None:
    async with client_of(runtime, key=KEYS["viewer"]) as viewer:
        answers = [(await viewer.get(path)).json() for path in READS]

    assert all(set(answer) == {"data", "next"} for answer in answers)


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Bearer", "Basic a2V5", "Bearer key-of-the-er", ""]
)
async def test_what_is_no_key_of_ours_is_refused(offline: httpx.AsyncClient, header: str) -> None:
    response = await offline.get("/v1/orders", headers={"authorization": header})

    assert problem_in(response) == (401, "unauthenticated")


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/requests", "/v1/requests/prq_1/sync"])
async def test_a_viewer_may_not_write(offline: httpx.AsyncClient, path: str) -> None:
    viewer = {"authorization": f"Bearer {KEYS['viewer']}"}

    response = await offline.post(path, json=an_order(), headers=viewer)

    assert problem_in(response) == (403, "forbidden")


async def test_a_larger_role_may_do_what_a_smaller_one_may(runtime: Runtime) -> None:
    async with client_of(runtime, key=KEYS["operator"]) as operator:
        response = await operator.post("/v1/orders", json=an_order())

    assert response.status_code == 201


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/none", "/v1/requests/prq_1/none"])
async def test_an_unknown_path_is_a_problem(offline: httpx.AsyncClient, path: str) -> None:
    assert problem_in(await offline.get(path)) == (404, "not_found")


async def test_a_method_that_a_path_does_not_have_is_a_problem(offline: httpx.AsyncClient) -> None:
    response = await offline.delete("/v1/orders")

    assert problem_in(response) == (405, "method_not_allowed")
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/orders?limit=0", "limit"),
        ("/v1/orders?limit=501", "limit"),
        ("/v1/orders?limit=1e2", "limit"),
        ("/v1/orders?limit=1&limit=2", "limit"),
        ("/v1/orders?status=done", "status"),
        ("/v1/orders?updated_since=yesterday", "updated_since"),
        ("/v1/orders?updated_since=2026-11-20T14:31:02", "updated_since"),
        ("/v1/orders?updated_since=0001-01-01T00:00:00%2B14:00", "updated_since"),
        ("/v1/orders?q=%00", "q"),
        ("/v1/orders?stauts=paid", "stauts"),
        ("/v1/requests?cursor=!", "cursor"),
        ("/v1/requests?cursor=eHl6", "cursor"),
        ("/v1/requests?cursor=OTk5OTk5OTk5OTk5OTk5OTk5LmE", "cursor"),
        ("/v1/requests?provider_id=", "provider_id"),
        ("/v1/events?kind=bank", "kind"),
        ("/v1/deliveries?state=sent", "state"),
        ("/v1/changes?after=x", "after"),
        ("/v1/changes?wait=61", "wait"),
        ("/v1/accounts?name=a", "name"),
    ],
)
async def test_a_bad_parameter_is_named(offline: httpx.AsyncClient, path: str, name: str) -> None:
    response = await offline.get(path)

    assert problem_in(response)[0] == 400
    assert name in response.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b'{"reference": "a", "reference": "b"}', b'{"a": NaN}', b"\xff"],
)
async def test_a_body_that_is_no_strict_json_object_is_refused(
    offline: httpx.AsyncClient, body: bytes
) -> None:
    assert problem_in(await offline.post("/v1/orders", content=body))[0] == 400


async def test_a_body_over_256_kib_is_refused(offline: httpx.AsyncClient) -> None:
    response = await offline.post("/v1/orders", content=b" " * (256 * 1024 + 1))

    assert problem_in(response) == (413, "too_large")


@pytest.mark.parametrize(
    "headers", [{"content-type": "application/xml"}, {"content-encoding": "gzip"}]
)
async def test_a_body_that_says_it_is_not_json_is_refused(
    offline: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert problem_in(await offline.post("/v1/orders", content=b"{}", headers=headers))[0] == 415


async def test_answers_open_to_no_other_origin_and_are_not_kept(offline: httpx.AsyncClient) -> None:
    response = await offline.get("/v1/none", headers={"origin": "https://elsewhere.example"})

    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in response.headers


async def test_without_a_database_the_caller_is_asked_to_come_again(
    offline: httpx.AsyncClient,
) -> None:
    response = await offline.get("/v1/orders")

    assert problem_in(response) == (503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1


async def test_a_bug_is_answered_without_a_word_of_what_went_wrong() -> None:
    without_runtime = httpx.ASGITransport(create_app(not_opened), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=without_runtime, base_url="http://settled") as client:
        response = await client.get("/v1/orders")

    assert problem_in(response) == (500, "internal_error")
    assert "runtime" not in response.text


async def test_a_caller_who_leaves_in_the_middle_of_a_body_is_no_bug(
    offline_runtime: Runtime,
) -> None:
    sent: list[Message] = []
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/orders",
        "raw_path": b"/v1/orders",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {KEYS['erp']}".encode())],
        "state": {"runtime": offline_runtime},
    }

    async def leave() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await create_app(not_opened)(scope, leave, send)

    assert sent[0]["status"] == 400


async def test_pages_follow_each_other_by_cursor(api: httpx.AsyncClient, runtime: Runtime) -> None:
    for number in range(5):
        await insert_request(runtime.pool, f"r{number}")

    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"/v1/requests?limit=2{cursor and '&cursor=' + cursor}")).json()
        seen += [request["provider_id"] for request in page["data"]]
        cursor = page["next"]

    assert seen == ["r4", "r3", "r2", "r1", "r0"]


async def test_the_same_call_under_the_same_key_is_answered_alike_and_done_once(
    api: httpx.AsyncClient,
) -> None:
    headers = {"idempotency-key": str(uuid4())}

    first = await api.post("/v1/orders", json=an_order(), headers=headers)
    second = await api.post("/v1/orders", json=an_order(), headers=headers)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second.headers["idempotency-replayed"] == "true"
    assert first.headers["etag"] == second.headers["etag"] == f'"{first.json()["version"]}"'


async def test_an_answer_without_a_version_names_none_when_it_is_repeated(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    request_id = await insert_request(runtime.pool, "a", id="prq_" + "1" * 26)
    headers = {"idempotency-key": str(uuid4())}

    path = f"/v1/requests/{request_id}/sync?wait=0"
    answers = [await api.post(path, headers=headers) for _ in range(2)]

    assert [each.status_code for each in answers] == [202, 202]
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert not any("etag" in each.headers for each in answers)


async def test_another_call_under_the_same_key_is_refused(api: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": str(uuid4())}
    await api.post("/v1/orders", json=an_order(), headers=headers)

    response = await api.post("/v1/orders", json=an_order(reference="INV-2"), headers=headers)

    assert problem_in(response) == (422, "idempotency_key_reused")


async def test_a_key_is_its_callers_own(runtime: Runtime) -> None:
    headers = {"idempotency-key": "same"}
    async with client_of(runtime) as erp, client_of(runtime, key=KEYS["operator"]) as operator:
        first = await erp.post("/v1/orders", json=an_order(), headers=headers)
        second = await operator.post("/v1/orders", json=an_order(reference="B"), headers=headers)

    assert (first.status_code, second.status_code) == (201, 201)


async def test_a_refused_call_leaves_its_key_free(api: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": str(uuid4())}

    refused = await api.post("/v1/orders", json=an_order(reference=""), headers=headers)
    accepted = await api.post("/v1/orders", json=an_order(), headers=headers)

    assert (refused.status_code, accepted.status_code) == (400, 201)


async def test_of_many_equal_calls_at_once_one_acts(api: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": str(uuid4())}

    responses = await asyncio.gather(
        *(api.post("/v1/orders", json=an_order(), headers=headers) for _ in range(5))
    )

    acted = [r for r in responses if r.is_success and "idempotency-replayed" not in r.headers]
    in_progress = [problem_in(r) for r in responses if not r.is_success]
    assert len(acted) == 1
    assert set(in_progress) <= {(409, "idempotency_key_in_progress")}


async def test_a_key_whose_call_died_with_its_process_is_taken_over(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    headers = {"idempotency-key": "died"}
    await api.post("/v1/orders", json=an_order(), headers=headers)
    async with runtime.pool.connection() as connection:
        await connection.execute(
            "update idempotency_keys set status_code = null, body = null,"
            " created_at = now() - interval '1 hour'"
        )

    response = await api.post("/v1/orders", json=an_order(), headers=headers)

    assert response.status_code == 200


async def test_a_key_that_no_header_should_hold_is_refused(offline: httpx.AsyncClient) -> None:
    response = await offline.post(
        "/v1/orders", json=an_order(), headers={"idempotency-key": "x" * 256}
    )

    assert problem_in(response) == (400, "bad_header")


async def test_a_call_still_in_progress_is_not_repeated(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    headers = {"idempotency-key": "busy"}
    await api.post("/v1/orders", json=an_order(), headers=headers)
    async with runtime.pool.connection() as connection:
        await connection.execute("update idempotency_keys set status_code = null, body = null")

    response = await api.post("/v1/orders", json=an_order(), headers=headers)

    assert problem_in(response) == (409, "idempotency_key_in_progress")
