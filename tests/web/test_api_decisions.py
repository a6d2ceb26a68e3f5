"""POST .../acknowledge and .../link: what a person decides, by the role operator."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from service.runtime import Runtime
from tests.storage.rows import insert_order, insert_request
from tests.web.conftest import KEYS, client_of

REQUEST_ID = "prq_" + "1" * 26
CODE = {"code": "overpaid", "reason": "the payer gets it back"}
LATE = {"code": "late_money", "reason": "booked by hand"}


@pytest_asyncio.fixture(loop_scope="session")
async def operator(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(runtime, key=KEYS["operator"]) as client:
        yield client


async def overpaid(runtime: Runtime, reference: str = "INV/1") -> None:
    """An order of 40.00 with a request that brought 50.00, late."""
    order_id = await insert_order(runtime.pool, reference)
    await insert_request(
        runtime.pool, "a", id=REQUEST_ID, order_id=order_id, reference=reference, amount=4000,
        received=5000, attention=["late_money"],
    )  # fmt: skip


async def test_an_acknowledged_code_leaves_the_order_and_its_requests(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    await overpaid(runtime)

    response = await operator.post(f"/v1/orders/{quote('INV/1', safe='')}/acknowledge", json=CODE)

    order = response.json()
    assert (response.status_code, order["status"], order["attention"]) == (200, "overpaid", [])
    assert response.headers["etag"] == f'"{order["version"]}"'
    (decision,) = order["decisions"]
    assert (decision["who"], decision["code"]) == ("api:operator", "overpaid")
    shown = (await operator.get(f"/v1/requests/{REQUEST_ID}")).json()
    assert shown["attention"] == ["late_money"]


async def test_an_acknowledged_code_leaves_the_request_and_stands_in_its_timeline(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    await overpaid(runtime)

    response = await operator.post(f"/v1/requests/{REQUEST_ID}/acknowledge", json=LATE)

    assert (response.status_code, response.json()["attention"]) == (200, [])
    timeline = (await operator.get(f"/v1/requests/{REQUEST_ID}/timeline")).json()["data"]
    (entry,) = [entry for entry in timeline if entry["what"] == "acknowledgement"]
    assert (entry["code"], entry["reason"]) == ("late_money", "booked by hand")


async def test_what_persons_decided_stands_with_what_they_did(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    await overpaid(runtime)
    await insert_order(runtime.pool, "INV/2")
    await operator.post(f"/v1/requests/{REQUEST_ID}/acknowledge", json=LATE)
    await operator.post(f"/v1/requests/{REQUEST_ID}/sync?wait=0")
    await operator.post(f"/v1/requests/{REQUEST_ID}/link", json={"reference": "INV/2"})

    everything = (await operator.get("/v1/interventions")).json()["data"]
    links = (await operator.get("/v1/interventions?did=link")).json()["data"]

    assert [act["did"] for act in everything] == ["link", "sync", "acknowledge"]
    assert {act["subject_id"] for act in everything} == {REQUEST_ID}
    assert everything[2]["detail"] == {"code": "late_money"}
    assert links == everything[:1]


async def test_the_same_acknowledgement_again_is_a_conflict_and_its_key_answers_alike(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    await overpaid(runtime)
    path = "/v1/orders/INV%2F1/acknowledge"
    key = {"idempotency-key": "once"}

    first = await operator.post(path, json=CODE, headers=key)
    repeated = await operator.post(path, json=CODE, headers=key)
    again = await operator.post(path, json=CODE)

    assert (repeated.status_code, repeated.json()) == (200, first.json())
    assert (again.status_code, again.json()["code"]) == (409, "no_such_code")
    assert "it has none" in again.json()["detail"]


async def test_an_acknowledgement_may_name_the_version_that_was_seen(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    await overpaid(runtime)

    response = await operator.post(
        "/v1/orders/INV%2F1/acknowledge", json=CODE, headers={"if-match": '"77"'}
    )

    assert (response.status_code, response.json()["code"]) == (412, "version_mismatch")


async def test_a_linked_request_is_under_the_other_order_and_says_since_when(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    await overpaid(runtime)
    await insert_order(runtime.pool, "INV/2")

    response = await operator.post(
        f"/v1/requests/{REQUEST_ID}/link", json={"reference": "INV/2", "reason": "mistyped"}
    )

    shown = response.json()
    assert (response.status_code, shown["reference"], shown["linked_by"]) == (
        200,
        "INV/2",
        "operator",
    )
    (decision,) = shown["decisions"]
    assert (decision["from"], decision["to"]) == ("INV/1", "INV/2")
    left = (await operator.get("/v1/orders/INV%2F1")).json()
    assert (left["status"], left["requests"], len(left["decisions"])) == ("unpaid", [], 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/orders/none/acknowledge", CODE),
        ("/v1/orders/%00/acknowledge", CODE),
        (f"/v1/requests/{REQUEST_ID}/acknowledge", LATE),
        ("/v1/requests/prq_x/acknowledge", LATE),
        (f"/v1/requests/{REQUEST_ID}/link", {"reference": "INV/2"}),
    ],
)
async def test_what_is_not_there_is_not_found(
    operator: httpx.AsyncClient, path: str, body: dict[str, str]
) -> None:
    response = await operator.post(path, json=body)

    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_reference_that_nobody_knows_is_not_linked_to(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    await overpaid(runtime)

    response = await operator.post(f"/v1/requests/{REQUEST_ID}/link", json={"reference": "INV/3"})

    assert response.status_code == 404
    assert "POST /v1/orders" in response.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("orders/INV/acknowledge", {"code": "overpaid"}, "reason"),
        ("orders/INV/acknowledge", {"code": "overpaid", "reason": " \n"}, "reason"),
        ("orders/INV/acknowledge", {"code": 7, "reason": "seen"}, "code"),
        ("orders/INV/acknowledge", CODE | {"codes": []}, "codes"),
        (f"requests/{REQUEST_ID}/acknowledge", {"reason": "seen"}, "code"),
        (f"requests/{REQUEST_ID}/link", {}, "reference"),
        (f"requests/{REQUEST_ID}/link", {"reference": "a\nb"}, "reference"),
        (f"requests/{REQUEST_ID}/link", {"reference": "INV", "order": 1}, "order"),
    ],
)
async def test_a_bad_field_is_named(
    offline_runtime: Runtime, path: str, body: dict[str, object], field: str
) -> None:
    async with client_of(offline_runtime, key=KEYS["operator"]) as client:
        response = await client.post(f"/v1/{path}", json=body)

    assert response.status_code == 400
    assert field in response.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "orders/INV/acknowledge",
        f"requests/{REQUEST_ID}/acknowledge",
        f"requests/{REQUEST_ID}/link",
    ],
)
async def test_a_person_decides_not_the_erp(offline: httpx.AsyncClient, path: str) -> None:
    response = await offline.post(f"/v1/{path}", json={})

    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
