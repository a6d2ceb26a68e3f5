"""What an endpoint receives, as JSON Schema. Source: CONTRACT.md, section 5."""

from typing import Final

from service.domain.order import OrderStatus
from service.domain.request import Direction, Kind, ObservedBy
from service.domain.status import Status
from service.web.openapi.operations import JSON, parameters_in
from service.web.openapi.shapes import (
    AMOUNTS,
    COUNT,
    TEXT,
    TIME,
    YES_OR_NO,
    Schema,
    array,
    nullable,
    one_of,
    ref,
    thing,
)

NEVER_ARRIVED: Final[Schema] = {
    "dead": array(COUNT) | {"description": "Earlier sequences that this endpoint turned down."},
    "superseded": array(COUNT) | {"description": "Earlier ones skipped, as compact asks for."},
}
NEWS: Final[dict[str, Schema]] = {
    "Notification": thing(
        {
            "type": TEXT | {"examples": ["payment_request.paid", "order.paid", "endpoint.test"]},
            "id": {"type": "string", "pattern": "^ntf_[0-9a-z]{26}$"},
            "timestamp": TIME,
            "schema": one_of(["1"]),
            "data": {"anyOf": [ref("RequestNews"), ref("OrderNews"), ref("Test")]},
        }
    ),
    "RequestNews": thing(
        {
            "reference": nullable(TEXT),
            "request_id": TEXT,
            "account": TEXT,
            "sequence": COUNT,
            "status": one_of(Status),
            "previous_status": nullable(one_of(Status)),
            "final": YES_OR_NO,
            "correction": YES_OR_NO,
            **AMOUNTS,
            "iso20022": thing({"status": nullable(TEXT), "reason": nullable(TEXT)}),
            "reason": nullable(TEXT),
            "provider": thing({"name": TEXT, "id": TEXT, "status": TEXT}),
            "occurred_at": nullable(TIME),
            "observed_at": TIME,
            "observed_by": one_of(ObservedBy),
        },
        {
            "order_id": nullable(TEXT),
            "kind": one_of(Kind),
            "direction": one_of(Direction),
            "attention": array(TEXT),
            **NEVER_ARRIVED,
        },
    ),
    "Test": thing({"endpoint": TEXT}),
    "OrderNews": thing(
        {
            "reference": TEXT,
            "order_id": TEXT,
            "sequence": COUNT,
            "status": one_of(OrderStatus),
            "previous_status": nullable(one_of(OrderStatus)),
            **AMOUNTS,
            "rule": TEXT,
            "withdrawn": YES_OR_NO,
            "requests": array(
                thing(
                    {
                        "id": TEXT,
                        "account": TEXT,
                        "status": nullable(one_of(Status)),
                        "received": nullable(ref("Money")),
                        "refunded": nullable(ref("Money")),
                    }
                )
            ),
        },
        {"attention": array(TEXT), **NEVER_ARRIVED},
    ),
}

_SIGNATURE_HEADERS: Final[dict[str, Schema]] = {
    "webhook-id": TEXT | {"description": "Stays the same over all tries."},
    "webhook-timestamp": TEXT | {"description": "Seconds since 1970, of this try."},
    "webhook-signature": TEXT | {"description": "Standard Webhooks 1.0.0, one per live secret."},
    "content-digest": TEXT | {"description": "RFC 9530, sha-256 of the body."},
    "traceparent": TEXT | {"description": "W3C; of the webhook behind it, if it had one."},
}

NOTIFICATION: Final[Schema] = {
    "summary": "What an endpoint receives",
    "security": [],
    "parameters": parameters_in("header", _SIGNATURE_HEADERS),
    "requestBody": {"required": True, "content": {JSON: {"schema": ref("Notification")}}},
    "responses": {"2XX": {"description": "Delivered; anything else is tried again or set aside"}},
}
