"""The paths of the document, in the order of the contract. Source: CONTRACT.md, section 6."""

from typing import Final

from service.domain.event import EventVerdict
from service.domain.order import OrderStatus
from service.domain.request import Kind
from service.domain.status import Status
from service.storage.views.deliveries import STATES
from service.storage.views.interventions import DID
from service.storage.views.reconciles import STATES as RECONCILE_STATES
from service.web.api.changes import WAIT_SECONDS_MAX
from service.web.api.query import LIMIT_MAX
from service.web.api.requests import SYNC_WAIT_SECONDS
from service.web.openapi.operations import (
    FILTER,
    GONE,
    IF_MATCH,
    JSON,
    LIMIT,
    PAGE,
    PAST,
    REFUSALS,
    get,
    open_to_all,
    page_of,
    patch_of_order,
    post,
    wait,
)
from service.web.openapi.shapes import TEXT, TIME, Schema, array, one_of, ref

_CHANGES: Final[Schema] = {
    "type": "object",
    "required": ["data", "next"],
    "properties": {"data": array(ref("Notification")), "next": TEXT},
}

PATHS: Final[dict[str, Schema]] = {
    "/healthz": {"get": open_to_all("Alive", JSON, {"type": "object"}, refusals={})},
    "/readyz": {
        "get": open_to_all(
            "Database, migrations and broker are fine",
            JSON,
            {"type": "object"},
            refusals={"503": "One of them is not, and is named"},
        )
    },
    "/metrics": {
        "get": open_to_all(
            "Prometheus text; takes a key where metrics_public is false",
            "text/plain",
            TEXT,
            refusals={status: REFUSALS[status] for status in ("401", "503")},
        )
    },
    "/openapi.json": {"get": open_to_all("This document", JSON, {"type": "object"}, refusals={})},
    "/v1/orders": {
        "get": page_of(
            "Orders; newest change first, with updated_since oldest first",
            "Order",
            {"status": one_of(OrderStatus), "updated_since": TIME, "q": FILTER, **PAGE},
        ),
        "post": post(
            "Register what the ERP expects",
            {"201": "Registered, or adopted", "200": "Was registered with the same content"},
            "Order",
            body="NewOrder",
        ),
    },
    "/v1/orders/{reference}": {
        "get": get("One order; its version is the ETag", ref("Order"), {}, in_path="reference"),
        "patch": patch_of_order(),
    },
    "/v1/orders/{reference}/acknowledge": {
        "post": post(
            "A person has seen to what an attention code asks for (operator)",
            {"200": "Without the code, until something new raises it"},
            "Order",
            body="Acknowledgement",
            in_path="reference",
            headers={"If-Match": IF_MATCH},
        )
    },
    "/v1/requests": {
        "get": page_of(
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
        "post": post(
            "Track one request",
            {"201": "Tracked from now on", "200": "Was tracked already"},
            "Request",
            body="NewRequest",
        ),
    },
    "/v1/requests/{id}": {"get": get("One request", ref("Request"), PAST, in_path="id")},
    "/v1/requests/{id}/timeline": {
        "get": page_of("What happened to it, oldest first", "TimelineEntry", PAGE, in_path="id"),
    },
    "/v1/requests/{id}/sync": {
        "post": post(
            "Read it at its provider now",
            {"200": "As it is now", "202": "As it was; the read goes on"},
            "Request",
            body="Reason",
            query={"wait": wait(SYNC_WAIT_SECONDS, SYNC_WAIT_SECONDS)},
            in_path="id",
        )
    },
    "/v1/requests/{id}/acknowledge": {
        "post": post(
            "A person has seen to what an attention code asks for (operator)",
            {"200": "Without the code, until something new raises it"},
            "Request",
            body="Acknowledgement",
            in_path="id",
        )
    },
    "/v1/requests/{id}/link": {
        "post": post(
            "Put it under another order, where it stays (operator)",
            {"200": "Under that order; both are added up again"},
            "Request",
            body="Link",
            in_path="id",
        )
    },
    "/v1/changes": {
        "get": get(
            "Each notification once, in the order of the feed",
            _CHANGES,
            {
                "after": FILTER,
                "limit": LIMIT | {"default": LIMIT_MAX},
                "wait": wait(0, WAIT_SECONDS_MAX),
            },
            refusals=GONE,
        )
    },
    "/v1/events": {
        "get": page_of(
            "The inbox, newest first",
            "Event",
            {
                "account": FILTER,
                "kind": one_of(Kind),
                "provider_id": FILTER,
                "verdict": one_of(EventVerdict),
                "since": TIME,
                **PAGE,
            },
        )
    },
    "/v1/events/{id}": {"get": get("One event", ref("Event"), {}, in_path="id")},
    "/v1/events/{id}/replay": {
        "post": post(
            "Read what it names at its provider; what it said is not looked at (operator)",
            {"200": "Read", "202": "The read goes on"},
            "Event",
            body="Reason",
            query={"wait": wait(SYNC_WAIT_SECONDS, SYNC_WAIT_SECONDS)},
            in_path="id",
        )
    },
    "/v1/deliveries": {
        "get": page_of(
            "The outbox, newest first",
            "Delivery",
            {
                "endpoint": FILTER,
                "state": one_of(STATES),
                "type": FILTER,
                "reference": FILTER,
                "request_id": FILTER,
                "since": TIME,
                **PAGE,
            },
        )
    },
    "/v1/deliveries/{id}": {"get": get("One delivery", ref("Delivery"), {}, in_path="id")},
    "/v1/deliveries/{id}/resend": {
        "post": post(
            "Send it again at once, with the same id and bytes (operator)",
            {"202": "On its way"},
            "Delivery",
            body="Reason",
            in_path="id",
        )
    },
    "/v1/recover": {
        "get": page_of("Recoveries, newest first", "Recovery", PAGE),
        "post": post(
            "Send a window of notifications to one endpoint again (operator)",
            {"202": "Begun, or gone on with", "200": "With dry_run: what it would send"},
            "RecoveryOrPlan",
            body="NewRecovery",
        ),
    },
    "/v1/recover/{id}": {"get": get("One recovery", ref("Recovery"), {}, in_path="id")},
    "/v1/recover/{id}/stop": {
        "post": post(
            "Put no more of it on its way (operator)",
            {"200": "Stopped; the same POST /v1/recover goes on with it within a day"},
            "Recovery",
            body="Reason",
            in_path="id",
        )
    },
    "/v1/interventions": {
        "get": page_of(
            "What persons did, and why; newest first",
            "Intervention",
            {"did": one_of(DID), "endpoint": FILTER, "since": TIME, **PAGE},
        )
    },
    "/v1/accounts": {"get": page_of("Health of the accounts", "Account", {})},
    "/v1/endpoints": {"get": page_of("Health of the endpoints", "Endpoint", {})},
    "/v1/endpoints/{name}/pause": {
        "post": post(
            "Send nothing until it is resumed (operator)",
            {"200": "Paused"},
            "Endpoint",
            body="Reason",
            in_path="name",
        )
    },
    "/v1/endpoints/{name}/resume": {
        "post": post(
            "Drain what waits, slowly at first (operator)",
            {"200": "Resumed"},
            "Endpoint",
            body="Reason",
            in_path="name",
        )
    },
    "/v1/endpoints/{name}/test": {
        "post": post(
            "Send one message of type endpoint.test, outside the feed (operator)",
            {"200": "What it answered; ok is true for 2xx"},
            "EndpointTest",
            body="Reason",
            in_path="name",
        )
    },
    "/v1/coverage": {"get": page_of("What was looked through", "Coverage", {})},
    "/v1/reconcile": {
        "post": post(
            "Have accounts compared with their providers, and what drifted repaired",
            {"202": "The runs, which workers work off"},
            "Reconciles",
            body="NewReconcile",
        )
    },
    "/v1/reconciles": {
        "get": page_of(
            "Runs of reconcile, whoever began them; newest first",
            "Reconcile",
            {"account": FILTER, "state": one_of(RECONCILE_STATES), **PAGE},
        )
    },
    "/v1/reconciles/{id}": {
        "get": get("How far a run is and what it found", ref("Reconcile"), {}, in_path="id"),
    },
}
