"""/openapi.json: the document of these routes, OpenAPI 3.1, built by hand from the contract.

The objects stand in `openapi_schemas`; a test holds the document against the routes.
"""

from functools import cache
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.domain.event import EventVerdict
from service.domain.order import OrderStatus
from service.domain.request import Kind
from service.domain.status import Status
from service.storage.views.deliveries import STATES
from service.storage.views.reconciles import STATES as RECONCILE_STATES
from service.web.api.changes import WAIT_SECONDS_MAX
from service.web.api.query import LIMIT_DEFAULT, LIMIT_MAX
from service.web.api.requests import SYNC_WAIT_SECONDS
from service.web.openapi_schemas import SCHEMAS, TEXT, TIME, Schema, array, nullable, one_of, ref

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"

LIMIT: Final[Schema] = {
    "type": "integer",
    "minimum": 1,
    "maximum": LIMIT_MAX,
    "default": LIMIT_DEFAULT,
}
FILTER: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 200}
IDEMPOTENCY_KEY: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 255}
IF_MATCH: Final[Schema] = TEXT | {"description": "The ETag that was read, or *."}
PAGE: Final[dict[str, Schema]] = {"limit": LIMIT, "cursor": TEXT}
PAST: Final[dict[str, Schema]] = {"at": TIME, "as_of": TIME}

REFUSALS: Final = {
    "400": "Malformed; detail names the parameter, header or field",
    "401": "No key, or none of ours",
    "403": "The key's role is too small",
    "503": "Something we need is away; come again after Retry-After",
}
REFUSALS_OF_POST: Final = {
    "409": "Contradicts what is recorded, or the same call is in progress",
    "413": "More than 256 KiB",
    "415": "Not JSON, or encoded",
    "422": "This Idempotency-Key was used for another call",
}
REFUSALS_OF_PATCH: Final = {
    "409": "Nobody registered the order, or there is money on it in the currency that it has",
    "412": "If-Match names an older version: read the order again",
    "413": REFUSALS_OF_POST["413"],
    "415": REFUSALS_OF_POST["415"],
    "428": "Without If-Match",
}
NOT_FOUND: Final = {"404": "No such thing"}
GONE: Final = {"410": "The cursor is older than what is kept; detail says how to start again"}


async def openapi(_request: Request) -> Response:
    """Answer the document."""
    return Response(_encoded(), media_type=JSON)


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """Return the whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "settled",
            "version": "1",
            "description": "Reads the truth from payment providers and tells the ERP.",
        },
        "security": [{"key": []}],
        "paths": _PATHS,
        "webhooks": {"notification": {"post": _NOTIFICATION}},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": SCHEMAS,
        },
    }


def _get(
    summary: str,
    answer: Schema,
    query: dict[str, Schema],
    *,
    in_path: str = "",
    refusals: dict[str, str] | None = None,
) -> Schema:
    """Return a GET; refusals are those besides the usual ones."""
    all_refusals = REFUSALS | (NOT_FOUND if in_path else {}) | (refusals or {})
    return {
        "summary": summary,
        "parameters": [*_in_path(in_path), *_parameters("query", query)],
        "responses": {"200": _answer("Fine", answer), **_problems(all_refusals)},
    }


def _list(summary: str, name: str, query: dict[str, Schema], *, in_path: str = "") -> Schema:
    """Return a GET that answers a page of things."""
    page = {
        "type": "object",
        "required": ["data", "next"],
        "properties": {"data": array(ref(name)), "next": nullable(TEXT)},
    }
    return _get(summary, page, query, in_path=in_path)


def _post(
    summary: str,
    answers: dict[str, str],
    name: str,
    *,
    body: str = "",
    query: dict[str, Schema] | None = None,
    in_path: str = "",
    headers: dict[str, Schema] | None = None,
) -> Schema:
    refusals = REFUSALS | REFUSALS_OF_POST | (NOT_FOUND if in_path else {})
    parameters = [
        *_in_path(in_path),
        *_parameters("query", query or {}),
        *_parameters("header", {"Idempotency-Key": IDEMPOTENCY_KEY, **(headers or {})}),
    ]
    operation: Schema = {
        "summary": summary,
        "parameters": parameters,
        "responses": {
            **{status: _answer(text, ref(name)) for status, text in answers.items()},
            **_problems(refusals),
        },
    }
    if body:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": ref(body)}}}
    return operation


def _patch_of_order() -> Schema:
    """Return the PATCH of an order: it names the version that the caller has read."""
    if_match = _parameters("header", {"If-Match": IF_MATCH})
    return {
        "summary": "Change what is expected of it: a credit note, a withdrawal, other metadata",
        "parameters": [*_in_path("reference"), *(one | {"required": True} for one in if_match)],
        "requestBody": {"required": True, "content": {JSON: {"schema": ref("OrderAmendment")}}},
        "responses": {
            "200": _answer("As it is now; nothing is told where nothing changed", ref("Order")),
            **_problems(REFUSALS | NOT_FOUND | REFUSALS_OF_PATCH),
        },
    }


def _open(summary: str, content: str, schema: Schema, *, refusals: dict[str, str]) -> Schema:
    """Return a GET that takes no key."""
    fine = {"description": "Fine", "content": {content: {"schema": schema}}}
    return {
        "summary": summary,
        "security": [],
        "responses": {"200": fine, **_problems(refusals)},
    }


def _parameters(place: str, schemas: dict[str, Schema]) -> list[Schema]:
    return [{"name": name, "in": place, "schema": schema} for name, schema in schemas.items()]


def _in_path(name: str) -> list[Schema]:
    return [{"name": name, "in": "path", "required": True, "schema": TEXT}] if name else []


def _answer(text: str, schema: Schema) -> Schema:
    return {"description": text, "content": {JSON: {"schema": schema}}}


def _wait(default: int, most: int) -> Schema:
    return {"type": "integer", "minimum": 0, "maximum": most, "default": default}


def _problems(refusals: dict[str, str]) -> Schema:
    content = {PROBLEM: {"schema": ref("Problem")}}
    return {status: {"description": text, "content": content} for status, text in refusals.items()}


_CHANGES: Final[Schema] = {
    "type": "object",
    "required": ["data", "next"],
    "properties": {"data": array(ref("Notification")), "next": TEXT},
}

_SIGNATURE_HEADERS: Final[dict[str, Schema]] = {
    "webhook-id": TEXT | {"description": "Stays the same over all tries."},
    "webhook-timestamp": TEXT | {"description": "Seconds since 1970, of this try."},
    "webhook-signature": TEXT | {"description": "Standard Webhooks 1.0.0, one per live secret."},
}

_NOTIFICATION: Final[Schema] = {
    "summary": "What an endpoint receives",
    "security": [],
    "parameters": _parameters("header", _SIGNATURE_HEADERS),
    "requestBody": {"required": True, "content": {JSON: {"schema": ref("Notification")}}},
    "responses": {"2XX": {"description": "Delivered; anything else is tried again or set aside"}},
}

_PATHS: Final[dict[str, Schema]] = {
    "/healthz": {"get": _open("Alive", JSON, {"type": "object"}, refusals={})},
    "/readyz": {
        "get": _open(
            "Database, migrations and broker are fine",
            JSON,
            {"type": "object"},
            refusals={"503": "One of them is not, and is named"},
        )
    },
    "/metrics": {
        "get": _open(
            "Prometheus text; takes a key where metrics_public is false",
            "text/plain",
            TEXT,
            refusals={status: REFUSALS[status] for status in ("401", "503")},
        )
    },
    "/openapi.json": {"get": _open("This document", JSON, {"type": "object"}, refusals={})},
    "/v1/orders": {
        "get": _list(
            "Orders; newest change first, with updated_since oldest first",
            "Order",
            {"status": one_of(OrderStatus), "updated_since": TIME, "q": FILTER, **PAGE},
        ),
        "post": _post(
            "Register what the ERP expects",
            {"201": "Registered, or adopted", "200": "Was registered with the same content"},
            "Order",
            body="NewOrder",
        ),
    },
    "/v1/orders/{reference}": {
        "get": _get("One order; its version is the ETag", ref("Order"), {}, in_path="reference"),
        "patch": _patch_of_order(),
    },
    "/v1/orders/{reference}/acknowledge": {
        "post": _post(
            "A person has seen to what an attention code asks for (operator)",
            {"200": "Without the code, until something new raises it"},
            "Order",
            body="Acknowledgement",
            in_path="reference",
            headers={"If-Match": IF_MATCH},
        )
    },
    "/v1/requests": {
        "get": _list(
            "Requests; newest change first, with updated_since oldest first",
            "Request",
            {
                "status": one_of(Status),
                "account": FILTER,
                "provider_id": FILTER,
                "reference": FILTER,
                "updated_since": TIME,
                **PAGE,
            },
        ),
        "post": _post(
            "Track one request",
            {"201": "Tracked from now on", "200": "Was tracked already"},
            "Request",
            body="NewRequest",
        ),
    },
    "/v1/requests/{id}": {"get": _get("One request", ref("Request"), PAST, in_path="id")},
    "/v1/requests/{id}/timeline": {
        "get": _list("What happened to it, oldest first", "TimelineEntry", PAGE, in_path="id"),
    },
    "/v1/requests/{id}/sync": {
        "post": _post(
            "Read it at its provider now",
            {"200": "As it is now", "202": "As it was; the read goes on"},
            "Request",
            query={"wait": _wait(SYNC_WAIT_SECONDS, SYNC_WAIT_SECONDS)},
            in_path="id",
        )
    },
    "/v1/requests/{id}/acknowledge": {
        "post": _post(
            "A person has seen to what an attention code asks for (operator)",
            {"200": "Without the code, until something new raises it"},
            "Request",
            body="Acknowledgement",
            in_path="id",
        )
    },
    "/v1/requests/{id}/link": {
        "post": _post(
            "Put it under another order, where it stays (operator)",
            {"200": "Under that order; both are added up again"},
            "Request",
            body="Link",
            in_path="id",
        )
    },
    "/v1/changes": {
        "get": _get(
            "Each notification once, in the order of the feed",
            _CHANGES,
            {
                "after": FILTER,
                "limit": LIMIT | {"default": LIMIT_MAX},
                "wait": _wait(0, WAIT_SECONDS_MAX),
            },
            refusals=GONE,
        )
    },
    "/v1/events": {
        "get": _list(
            "The inbox, newest first",
            "Event",
            {
                "account": FILTER,
                "kind": one_of(Kind),
                "provider_id": FILTER,
                "verdict": one_of(EventVerdict),
                **PAGE,
            },
        )
    },
    "/v1/deliveries": {
        "get": _list(
            "The outbox, newest first",
            "Delivery",
            {
                "endpoint": FILTER,
                "state": one_of(STATES),
                "reference": FILTER,
                "request_id": FILTER,
                **PAGE,
            },
        )
    },
    "/v1/accounts": {"get": _list("Health of the accounts", "Account", {})},
    "/v1/endpoints": {"get": _list("Health of the endpoints", "Endpoint", {})},
    "/v1/coverage": {"get": _list("What was looked through", "Coverage", {})},
    "/v1/reconcile": {
        "post": _post(
            "Have accounts compared with their providers, and what drifted repaired",
            {"202": "The runs, which workers work off"},
            "Reconciles",
            body="NewReconcile",
        )
    },
    "/v1/reconciles": {
        "get": _list(
            "Runs of reconcile, whoever began them; newest first",
            "Reconcile",
            {"account": FILTER, "state": one_of(RECONCILE_STATES), **PAGE},
        )
    },
    "/v1/reconciles/{id}": {
        "get": _get("How far a run is and what it found", ref("Reconcile"), {}, in_path="id"),
    },
}

ROUTES: Final = [Route("/openapi.json", openapi)]
