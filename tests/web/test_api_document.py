"""/openapi.json against the routes and the answers that it describes."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import httpx
from psycopg.types.json import Jsonb

from service.domain.notification import notification_of_request
from service.domain.request import ObservedBy
from service.domain.status import Status
from service.flow.record import facts_json
from service.runtime import Runtime
from service.storage.identifiers import first_id
from service.web.app import API_ROUTES
from service.web.openapi import document
from tests.builders import request
from tests.storage.rows import (
    AT,
    insert,
    insert_delivery,
    insert_event,
    insert_notification,
    insert_order,
    insert_request,
    insert_transition,
)

# Described as text.
NOT_OBJECTS = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
REQUEST_ID = "prq_" + "1" * 26
NOTIFICATION_ID = "ntf_" + "1" * 26
IDS = {
    "requests": REQUEST_ID,
    "deliveries": "dlv_" + "1" * 26,
    "events": first_id("evt", AT),
    "recover": "rcv_" + "1" * 26,
    "reconciles": "1",
}


def misfits(value: object, schema: Mapping[str, Any], at: str = "$") -> Iterator[str]:
    """Yield where value does not fit schema, as far as types, names and choices go."""
    if "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        if all(list(misfits(value, choice, at)) for choice in schema["anyOf"]):
            yield f"{at}: fits none of its choices"
        return
    types = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    types |= {"null": type(None), "number": float}
    if not isinstance(value, types[schema["type"]]):
        yield f"{at}: {value!r} is no {schema['type']}"
    if value not in schema.get("enum", [value]):
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        yield from (
            f"{at}.{name}: missing" for name in set(schema.get("required", ())) - set(value)
        )
        for name, item in value.items():
            if name in properties:
                yield from misfits(item, properties[name], f"{at}.{name}")
            elif at == "$.data[0]" and "what" not in properties:
                yield f"{at}.{name}: not in the document"
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from misfits(item, schema["items"], f"{at}[{index}]")


def news() -> bytes:
    """The message about a request that was open and is paid."""
    return notification_of_request(
        request(Status.OPEN),
        request(Status.PAID),
        notification_id=NOTIFICATION_ID,
        notification_type="payment_request.paid",
        provider="ginger",
        correction=False,
        observed_by=ObservedBy.WEBHOOK,
        observed_at=AT,
        recorded_at=AT,
    )


async def fill(runtime: Runtime) -> None:
    """Put one of everything into the tables."""
    pool = runtime.pool
    order = await insert_order(pool, "INV-1", attention=["overpaid"])
    await insert_request(pool, "a", id=REQUEST_ID, order_id=order, reference="INV-1")
    after = Jsonb(facts_json(request(Status.PAID)))
    await insert_transition(pool, REQUEST_ID, 1, after=after, occurred_at=AT)
    notification = await insert_notification(pool, REQUEST_ID, 1, id=NOTIFICATION_ID, body=news())
    delivery = await insert_delivery(
        pool, notification, id=IDS["deliveries"], subject_id=REQUEST_ID
    )
    await insert(
        pool, "attempts", delivery_id=delivery, number=1, at=AT, outcome="delivered",
        notified_at=AT,
        status_code=204, duration_ms=12,
    )  # fmt: skip
    await insert_event(pool, "1", "a", id=IDS["events"])
    await insert(pool, "interventions", id="ivn_1", did="pause", who="api:ops", endpoint="erp")
    await insert(
        pool, "recoveries", id=IDS["recover"], endpoint="erp", asked="1h", since=AT,
        until=AT + timedelta(hours=1), planned=1, after_serial=0, last_serial=1,
    )  # fmt: skip
    await insert(pool, "windows", account="ginger-nl", since=AT, until=AT, found=1)
    await insert(
        pool, "reconciles", account="ginger-nl", asked="7d", dry_run=False,
        since=AT - timedelta(days=7), until=AT,
    )  # fmt: skip


def test_the_document_names_every_route_and_no_other() -> None:
    described = {
        (path, method.upper())
        for path, operations in document()["paths"].items()
        for method in operations
        if path.startswith("/v1/")
    }
    served = {
        (route.path.replace(":path", ""), method)
        for route in API_ROUTES
        for method in route.methods or ()
        if method != "HEAD"
    }

    assert described == served


async def test_answers_are_as_the_document_describes_them(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    await fill(runtime)
    reads = {path: found["get"] for path, found in document()["paths"].items() if "get" in found}

    for path in reads.keys() - NOT_OBJECTS:
        schema = reads[path]["responses"]["200"]["content"]["application/json"]["schema"]
        id_ = IDS.get(path.split("/")[2])
        answer = (await api.get(path.format(reference="INV-1", id=id_))).json()

        assert answer.get("data", [answer]), f"there is one of everything at {path}"
        assert list(misfits(answer, schema)) == [], path


async def test_the_document_is_open_and_says_how_notifications_look(
    offline: httpx.AsyncClient,
) -> None:
    response = await offline.get("/openapi.json", headers={"authorization": ""})

    served = response.json()
    assert served["openapi"].startswith("3.1")
    body = served["webhooks"]["notification"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["$ref"] == "#/components/schemas/Notification"


def test_every_reference_in_the_document_leads_somewhere() -> None:
    def references(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (text for name, text in value.items() if name == "$ref")
            for item in value.values():
                yield from references(item)
        if isinstance(value, list):
            for item in value:
                yield from references(item)

    known = {f"#/components/schemas/{name}" for name in document()["components"]["schemas"]}
    assert set(references(document())) <= known
