"""/v1/orders: registering what the ERP wants paid, and reading it."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from service.runtime import Runtime
from service.storage.views.orders import LOOKED_AT_MAX, OrderFilter, search_orders
from tests.storage.rows import AT, insert_order, insert_request
from tests.web.conftest import KEYS, client_of

UUID = "4c6afd74-840a-4aa7-b411-bc3f2a2bce42"
REQUEST = {"account": "ginger-nl", "kind": "order", "provider_id": UUID}


def an_order(**changed: object) -> dict[str, Any]:
    return {
        "reference": "INV-1043",
        "amount": {"currency": "EUR", "minor": 4000},
        "requests": [REQUEST],
        "metadata": {"debtor": 7},
        **changed,
    }


async def test_a_registered_order_is_shown_with_its_unread_request(api: httpx.AsyncClient) -> None:
    response = await api.post("/v1/orders", json=an_order())

    order = response.json()
    assert response.status_code == 201
    assert (order["reference"], order["registered"], order["status"]) == (
        "INV-1043",
        True,
        "unpaid",
    )
    assert order["amount"] == {"currency": "EUR", "minor": 4000, "exponent": 2, "decimal": "40.00"}
    assert order["metadata"] == {"debtor": 7}
    (request,) = order["requests"]
    assert (request["provider_id"], request["status"], request["amount"]) == (UUID, None, None)


async def test_the_same_content_again_is_200_and_other_content_409(api: httpx.AsyncClient) -> None:
    first = await api.post("/v1/orders", json=an_order())
    again = await api.post("/v1/orders", json=an_order())
    other = await api.post("/v1/orders", json=an_order(amount={"currency": "EUR", "minor": 1}))

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json()["id"] == first.json()["id"]
    assert other.json()["code"] == "conflict"


async def test_an_order_without_requests_may_be_registered(api: httpx.AsyncClient) -> None:
    response = await api.post("/v1/orders", json=an_order(requests=[]))

    assert (response.status_code, response.json()["requests"]) == (201, [])


async def test_a_reference_may_hold_any_printable_character(api: httpx.AsyncClient) -> None:
    for reference in ("2026/INV/7", "/INV/", "a b?c#d%e+", "Ünïcode ✓"):
        await api.post("/v1/orders", json=an_order(reference=reference, requests=[]))

        response = await api.get(f"/v1/orders/{quote(reference, safe='')}")

        assert response.json()["reference"] == reference


async def test_an_unknown_reference_is_not_found(api: httpx.AsyncClient) -> None:
    for path in ("/v1/orders/none", "/v1/orders/", "/v1/orders/%00", "/v1/orders/%ff"):
        response = await api.get(path)

        assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"reference": ""}, "reference"),
        ({"reference": "x" * 201}, "reference"),
        ({"reference": "a\nb"}, "reference"),
        ({"reference": 7}, "reference"),
        ({"amount": None}, "amount"),
        ({"amount": {"currency": "EUR", "minor": 0}}, "amount.minor"),
        ({"amount": {"currency": "EUR", "minor": 10**15 + 1}}, "amount.minor"),
        ({"amount": {"currency": "EUR", "minor": 40.0}}, "amount.minor"),
        ({"amount": {"currency": "EUR", "minor": True}}, "amount.minor"),
        ({"amount": {"currency": "eur", "minor": 1}}, "amount.currency"),
        ({"amount": {"currency": "EUR", "minor": 1, "tax": 1}}, "amount.'tax'"),
        ({"requests": {}}, "requests"),
        ({"requests": [REQUEST, REQUEST]}, "requests"),
        ({"requests": [REQUEST] * 101}, "requests"),
        ({"requests": ["prq"]}, "requests[0]"),
        ({"requests": [REQUEST | {"account": "gone"}]}, "requests[0].account"),
        ({"requests": [REQUEST | {"account": []}]}, "requests[0].account"),
        ({"requests": [REQUEST | {"kind": "request_inquiry"}]}, "requests[0].kind"),
        ({"requests": [REQUEST | {"provider_id": "../x"}]}, "requests[0].provider_id"),
        ({"requests": [REQUEST | {"more": 1}]}, "requests[0].'more'"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"text": "x" * 16_400}}, "metadata"),
        ({"metdata": {}}, "metdata"),
    ],
)
async def test_a_bad_field_is_named(
    offline: httpx.AsyncClient, changed: dict[str, object], field: str
) -> None:
    response = await offline.post("/v1/orders", json=an_order(**changed))

    assert response.status_code == 400
    assert field in response.json()["detail"]


async def test_metadata_comes_back_as_it_was_given(api: httpx.AsyncClient) -> None:
    metadata = {"rate": 1.25, "big": 10**17, "nested": [{"é": None}, True], "text": "/"}

    response = await api.post("/v1/orders", json=an_order(metadata=metadata))

    assert response.json()["metadata"] == metadata


async def test_an_order_known_by_discovery_is_adopted(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    order_id = await insert_order(
        runtime.pool, "INV-1043", registered=False, amount=None, currency=None, status=None
    )

    response = await api.post("/v1/orders", json=an_order())

    assert (response.status_code, response.json()["id"]) == (201, order_id)


async def test_orders_are_listed_by_status_part_of_reference_and_time(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    await insert_order(runtime.pool, "INV-1", status="paid")
    await insert_order(runtime.pool, "CN-2", status="unpaid")

    async def listed(query: str) -> list[str]:
        page = (await api.get(f"/v1/orders?{query}")).json()
        return [order["reference"] for order in page["data"]]

    assert await listed("status=paid") == ["INV-1"]
    assert await listed("q=cn-") == ["CN-2"]
    assert await listed(f"updated_since={quote(AT.isoformat())}") == ["CN-2", "INV-1"]
    assert await listed("updated_since=2026-11-21T00:00:00Z") == []


async def test_a_search_looks_at_so_many_orders_for_one_page_and_goes_on(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    async with runtime.pool.connection() as connection:
        await connection.execute(
            "insert into orders (id, reference, updated_at)"
            " select 'ord_' || n, case when n = 1 then 'CN-' else 'INV-' end || n,"
            "        now() + n * interval '1 ms' from generate_series(1, %s) as n",
            [LOOKED_AT_MAX + 1],
        )

    first = (await api.get("/v1/orders?q=cn-")).json()
    second = (await api.get(f"/v1/orders?q=cn-&cursor={first['next']}")).json()
    common = (await api.get("/v1/orders?q=inv&limit=2")).json()

    assert first["data"] == []
    assert [order["reference"] for order in second["data"]] == ["CN-1"]
    assert second["next"] is None
    assert len(common["data"]) == 2
    found = await search_orders(runtime.pool, OrderFilter(q="cn-"), limit=5)
    assert ([order["reference"] for order in found.items], found.after) == (["CN-1"], None)


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_acknowledge_is_a_call_of_an_order_and_no_part_of_its_reference(
    api: httpx.AsyncClient, method: str
) -> None:
    await api.post("/v1/orders", json=an_order(reference="INV-1/acknowledge", requests=[]))
    headers = {"if-match": "*"}

    meant = await api.request(method, "/v1/orders/INV-1/acknowledge", headers=headers, json={})
    order = await api.get("/v1/orders/INV-1%2Facknowledge")
    posted = await api.post("/v1/orders/INV-1%2Facknowledge", json={})

    assert (meant.status_code, meant.headers["allow"]) == (405, "POST")
    assert (meant.json()["code"], meant.headers["content-type"]) == (
        "method_not_allowed", "application/problem+json",
    )  # fmt: skip
    assert order.json()["reference"] == "INV-1/acknowledge"
    assert posted.status_code == 403


async def test_an_operator_cannot_post_to_an_order_either(runtime: Runtime) -> None:
    async with client_of(runtime, key=KEYS["operator"]) as operator:
        answer = await operator.post("/v1/orders/INV-1%2Facknowledge", json={})

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, PATCH")


async def test_a_listed_order_carries_its_requests(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    order_id = await insert_order(runtime.pool, "INV-1")
    await insert_request(runtime.pool, "a", order_id=order_id)

    (order,) = (await api.get("/v1/orders")).json()["data"]

    assert [request["id"] for request in order["requests"]] == ["prq_a"]
