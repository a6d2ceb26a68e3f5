"""PATCH /v1/orders/{reference}: a credit note, a withdrawal; versioned, and told once."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from service.runtime import Runtime
from tests.storage.rows import insert_order, insert_request
from tests.web.conftest import KEYS, client_of

EUROS = {"currency": "EUR", "minor": 4000}
ANY = {"if-match": "*"}


async def register(api: httpx.AsyncClient, reference: str = "INV-1043") -> httpx.Response:
    return await api.post("/v1/orders", json={"reference": reference, "amount": EUROS})


async def amend(
    api: httpx.AsyncClient,
    body: object,
    reference: str = "INV-1043",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    path = f"/v1/orders/{quote(reference, safe='')}"
    return await api.patch(path, json=body, headers=ANY if headers is None else headers)


async def told(runtime: Runtime) -> list[dict[str, Any]]:
    """What the ERP is told of orders."""
    async with runtime.pool.connection() as connection:
        cursor = await connection.execute("select body from notifications order by serial")
        bodies: list[tuple[Any, ...]] = await cursor.fetchall()
    return [json.loads(body) for (body,) in bodies]


async def history(runtime: Runtime) -> list[tuple[Any, ...]]:
    """Sequence, amount before and after of each change of an order, if each is chained."""
    async with runtime.pool.connection() as connection:
        cursor = await connection.execute(
            "select sequence, before -> 'amount', after -> 'amount', chained_from, hash"
            " from transitions where subject = 'order' order by sequence"
        )
        rows: list[tuple[Any, ...]] = await cursor.fetchall()
    assert [row[3] for row in rows] == [b"", *(row[4] for row in rows[:-1])]
    return [row[:3] for row in rows]


async def test_a_credit_note_is_told_and_recorded_with_who_made_it(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    first = await register(api)

    response = await amend(
        api, {"amount": EUROS | {"minor": 3000}}, headers={"if-match": first.headers["etag"]}
    )

    order = response.json()
    assert (response.status_code, order["amount"]["minor"]) == (200, 3000)
    assert [(m["type"], m["data"]["amount"]["minor"]) for m in await told(runtime)] == [
        ("order.unpaid", 4000),
        ("order.unpaid", 3000),
    ]
    assert await history(runtime) == [(1, None, 4000), (2, 4000, 3000)]
    (decision,) = order["decisions"]
    assert (decision["what"], decision["who"], decision["changed"]) == (
        "amendment",
        "api:erp",
        ["amount"],
    )
    assert decision["before"]["amount"]["minor"] == 4000


async def test_money_that_covers_the_lower_amount_makes_the_order_paid(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    order_id = await insert_order(runtime.pool, "INV-1043", status="part_paid", received=3000)
    await insert_request(runtime.pool, "a", order_id=order_id, amount=3000, received=3000)

    order = (await amend(api, {"amount": EUROS | {"minor": 3000}})).json()

    assert (order["status"], order["rule"]) == ("paid", "net_equals_amount")
    (message,) = await told(runtime)
    assert (message["type"], message["data"]["previous_status"]) == ("order.paid", "part_paid")


@pytest.mark.parametrize(
    ("request_is", "expected"),
    [
        (None, ("closed", "withdrawn_nothing_to_come", [])),
        ({"status": "expired", "received": 0}, ("closed", "withdrawn_nothing_to_come", [])),
        ({"status": "open", "received": 0, "final": False}, ("unpaid", "withdrawn_still_open", [])),
        ({"status": "paid"}, ("overpaid", "withdrawn_money_kept", ["overpaid"])),
    ],
)
async def test_of_a_withdrawn_order_nothing_is_expected(
    api: httpx.AsyncClient,
    runtime: Runtime,
    request_is: dict[str, object] | None,
    expected: tuple[str, str, list[str]],
) -> None:
    order_id = (await register(api)).json()["id"]
    if request_is is not None:
        await insert_request(runtime.pool, "a", order_id=order_id, **request_is)

    order = (await amend(api, {"withdrawn": True})).json()

    assert (order["status"], order["rule"], order["attention"]) == expected
    assert (order["withdrawn"], order["amount"]["minor"]) == (True, 4000)
    assert (await told(runtime))[-1]["data"]["withdrawn"] is True


async def test_a_withdrawal_can_be_taken_back(api: httpx.AsyncClient, runtime: Runtime) -> None:
    await register(api)
    await amend(api, {"withdrawn": True})

    order = (await amend(api, {"withdrawn": False})).json()

    assert (order["status"], order["withdrawn"]) == ("unpaid", False)
    assert [message["type"] for message in await told(runtime)] == [
        "order.unpaid",
        "order.closed",
        "order.unpaid",
    ]


async def test_the_same_amendment_again_changes_nothing_and_tells_nobody(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    await register(api)
    body = {"amount": EUROS | {"minor": 3000}, "withdrawn": False, "metadata": {"a": [1.5]}}

    first, again = await amend(api, body), await amend(api, body)

    assert (again.status_code, again.json()) == (200, first.json())
    assert len(await told(runtime)) == 2


async def test_other_metadata_is_kept_and_told_to_nobody(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    first = await register(api)
    await amend(api, {"metadata": {"debtor": 1}})

    response = await amend(api, {"metadata": {"debtor": True}})

    assert response.json()["metadata"] == {"debtor": True}
    assert response.headers["etag"] != first.headers["etag"]
    assert len(await told(runtime)) == 1


async def test_the_original_registration_sent_again_does_not_undo_an_amendment(
    api: httpx.AsyncClient,
) -> None:
    await register(api)
    await amend(api, {"amount": EUROS | {"minor": 3000}})

    again = await register(api)
    other = await api.post(
        "/v1/orders", json={"reference": "INV-1043", "amount": EUROS | {"minor": 3000}}
    )

    assert (again.status_code, again.json()["amount"]["minor"]) == (200, 3000)
    assert other.status_code == 409
    assert "PATCH" in other.json()["detail"]


async def test_every_answer_names_the_version_that_the_next_change_must_name(
    api: httpx.AsyncClient,
) -> None:
    await register(api)
    shown = await api.get("/v1/orders/INV-1043")
    seen = {"if-match": shown.headers["etag"]}

    first = await amend(api, {"withdrawn": True}, headers=seen)
    late = await amend(api, {"amount": EUROS | {"minor": 1}}, headers=seen)
    new = await amend(
        api,
        {"amount": EUROS | {"minor": 1}},
        headers={"if-match": f'W/"1", "other", {first.headers["etag"]}'},
    )

    assert (first.status_code, late.status_code, new.status_code) == (200, 412, 200)
    assert late.json()["code"] == "version_mismatch"
    assert first.headers["etag"] == f'"{first.json()["version"]}"'


async def test_of_changes_at_once_that_name_the_same_version_one_is_made(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    seen = {"if-match": (await register(api)).headers["etag"]}

    answers = await asyncio.gather(
        *(amend(api, {"amount": EUROS | {"minor": minor}}, headers=seen) for minor in range(1, 6))
    )

    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]
    assert len(await told(runtime)) == 2


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 428, "precondition_required"),
        ({"if-match": "7"}, 400, "bad_header"),
        ({"if-match": ""}, 400, "bad_header"),
        ({"if-match": '"7'}, 400, "bad_header"),
    ],
)
async def test_a_change_without_a_version_is_refused(
    offline: httpx.AsyncClient, headers: dict[str, str], status: int, code: str
) -> None:
    response = await amend(offline, {"withdrawn": True}, headers=headers)

    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "amount, withdrawn or metadata"),
        ([], "JSON object"),
        ({"amount": None}, "amount"),
        ({"amount": {"currency": "EUR", "minor": 0}}, "amount.minor"),
        ({"amount": {"currency": "EUR", "minor": 1, "tax": 1}}, "amount.'tax'"),
        ({"withdrawn": None}, "withdrawn"),
        ({"withdrawn": 1}, "withdrawn"),
        ({"metadata": None}, "metadata"),
        ({"metadata": {"text": "x" * 16_400}}, "metadata"),
        ({"withdrawn": True, "reference": "INV-2"}, "reference"),
    ],
)
async def test_a_bad_field_is_named(offline: httpx.AsyncClient, body: object, field: str) -> None:
    response = await amend(offline, body)

    assert response.status_code == 400
    assert field in response.json()["detail"]


async def test_an_order_that_nobody_registered_is_registered_first(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    await insert_order(
        runtime.pool, "INV-1043", registered=False, amount=None, currency=None, status=None
    )

    response = await amend(api, {"withdrawn": True})

    assert (response.status_code, response.json()["code"]) == (409, "not_registered")
    assert "POST /v1/orders" in response.json()["detail"]


@pytest.mark.parametrize(("received", "status"), [(0, 200), (1, 409)])
async def test_the_currency_is_fixed_once_there_is_money(
    api: httpx.AsyncClient, runtime: Runtime, received: int, status: int
) -> None:
    order_id = (await register(api)).json()["id"]
    await insert_request(
        runtime.pool, "a", order_id=order_id, status="open", final=False, received=received
    )

    response = await amend(api, {"amount": {"currency": "USD", "minor": 4500}})

    assert response.status_code == status
    amount = (await api.get("/v1/orders/INV-1043")).json()["amount"]
    assert amount["currency"] == ("USD" if status == 200 else "EUR")


async def test_a_reference_may_hold_any_printable_character(api: httpx.AsyncClient) -> None:
    for reference in ("2026/INV/7", "/INV/acknowledge", "a b?c#d%e+", "Ünïcode ✓"):
        await register(api, reference)

        response = await amend(api, {"withdrawn": True}, reference)

        assert (response.json()["reference"], response.json()["withdrawn"]) == (reference, True)


async def test_an_unknown_order_is_not_found_and_a_viewer_may_not(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    async with client_of(runtime, key=KEYS["viewer"]) as viewer:
        assert (await amend(viewer, {"withdrawn": True})).status_code == 403
    assert (await amend(api, {"withdrawn": True})).status_code == 404


async def test_a_request_that_leaves_the_amount_open_is_measured_anew(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    order_id = (await register(api)).json()["id"]
    await insert_request(runtime.pool, "a", order_id=order_id)

    await amend(api, {"amount": EUROS | {"minor": 3000}})

    async with runtime.pool.connection() as connection:
        cursor = await connection.execute("select provider_id, observed_by from due")
        assert await cursor.fetchall() == [("a", "operator")]
