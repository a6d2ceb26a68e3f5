"""The objects of the API and the notification, as JSON Schema.

Source: CONTRACT.md, sections 5 and 6.
"""

from collections.abc import Iterable
from typing import Any, Final

from service.domain.drift import DriftClass
from service.domain.event import EventVerdict
from service.domain.money import EXPONENTS
from service.domain.order import OrderStatus
from service.domain.request import Direction, Kind, LinkedBy, ObservedBy
from service.domain.status import Status
from service.storage.views.deliveries import STATES
from service.storage.views.reconciles import STATES as RECONCILE_STATES

Schema = dict[str, Any]


def one_of(words: Iterable[str]) -> Schema:
    """Return the schema of a text that is one of words."""
    return {"type": "string", "enum": [str(word) for word in words]}


def nullable(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def ref(name: str) -> Schema:
    """Return a reference to one of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def thing(required: Schema, optional: Schema | None = None) -> Schema:
    """Return the schema of an object of ours; fields may be added to it later."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def given(required: Schema, optional: Schema | None = None) -> Schema:
    """Return the schema of an object that a caller sends: nothing else may stand in it."""
    return thing(required, optional) | {"additionalProperties": False}


TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number", "minimum": 0}
YES_OR_NO: Final[Schema] = {"type": "boolean"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
SHA256: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
REFERENCE: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 200}
REASON: Final[Schema] = REFERENCE
PROVIDER_ID: Final[Schema] = REFERENCE
ANYTHING: Final[Schema] = {"type": "object", "additionalProperties": True}

AMOUNTS: Final[Schema] = {
    name: nullable(ref("Money"))
    for name in ("amount", "received", "refunded", "taken_back", "booked")
}

BRIEF: Final[Schema] = {
    "id": TEXT,
    "account": TEXT,
    "kind": one_of(Kind),
    "direction": one_of(Direction),
    "provider_id": TEXT,
    "status": nullable(one_of(Status)),
    **AMOUNTS,
    "final": YES_OR_NO,
}

COUNTED_BY: Final[Schema] = thing({str(observed_by): COUNT for observed_by in ObservedBy})

_ENTRIES: Final = (
    *("event", "observation", "transition", "notification", "attempt"),
    *("acknowledgement", "link"),
)

_EXPECTED: Final[Schema] = thing({"amount": ref("Money"), "withdrawn": YES_OR_NO})

_OBJECTS: Final[dict[str, Schema]] = {
    "Money": thing(
        {
            "currency": one_of(EXPONENTS),
            "minor": WHOLE,
            "exponent": {"type": "integer", "minimum": 0, "maximum": 4},
            "decimal": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,4})?$"},
        }
    ),
    "Problem": thing(
        {"type": TEXT, "title": TEXT, "status": WHOLE, "code": TEXT}, {"detail": TEXT}
    ),
    "RequestInBrief": thing(BRIEF),
    "Request": thing(
        {
            **BRIEF,
            "registered": YES_OR_NO,
            "reference": nullable(TEXT),
            "order_id": nullable(TEXT),
            "linked_by": nullable(one_of(LinkedBy)),
            "provider_status": nullable(TEXT),
            "reason": nullable(TEXT),
            "part_of": nullable(TEXT),
            "sequence": COUNT,
            "parked": nullable(TEXT),
            "attention": array(TEXT),
            "decisions": array(ref("Decision")),
            "first_seen_at": TIME,
            "occurred_at": nullable(TIME),
            "observed_at": nullable(TIME),
            "updated_at": TIME,
        },
        {"sync": one_of(["pending"])},
    ),
    "Order": thing(
        {
            "id": TEXT,
            "reference": TEXT,
            "registered": YES_OR_NO,
            "withdrawn": YES_OR_NO,
            "version": COUNT,
            "status": nullable(one_of(OrderStatus)),
            "rule": nullable(TEXT),
            **AMOUNTS,
            "sequence": COUNT,
            "attention": array(TEXT),
            "requests": array(ref("RequestInBrief")),
            "decisions": array(ref("Decision")),
            "metadata": ANYTHING,
            "created_at": TIME,
            "updated_at": TIME,
        }
    ),
    "TimelineEntry": thing(
        {
            "at": TIME,
            "what": one_of(_ENTRIES),
        },
        {
            "body_sha256": SHA256,
            "answer_sha256": nullable(SHA256),
            "hash": SHA256,
            "sequence": COUNT,
        },
    ),
    "Decision": thing(
        {
            "at": TIME,
            "what": one_of(["acknowledgement", "link", "amendment"]),
            "who": TEXT,
            "reason": nullable(TEXT),
        },
        {
            "code": TEXT,
            "request_id": TEXT,
            "from": nullable(TEXT),
            "to": TEXT,
            "changed": array(one_of(["amount", "withdrawn", "metadata"])),
            "before": _EXPECTED,
            "after": _EXPECTED,
        },
    ),
    "Event": thing(
        {
            "id": TEXT,
            "account": TEXT,
            "kind": nullable(one_of(Kind)),
            "provider_id": nullable(TEXT),
            "event_id": nullable(TEXT),
            "received_at": TIME,
            "verdict": one_of(EventVerdict),
            "reason": nullable(TEXT),
            "request_id": nullable(TEXT),
            "body_sha256": SHA256,
        }
    ),
    "Delivery": thing(
        {
            "id": TEXT,
            "notification_id": TEXT,
            "endpoint": TEXT,
            "type": TEXT,
            "reference": nullable(TEXT),
            "request_id": nullable(TEXT),
            "order_id": nullable(TEXT),
            "sequence": COUNT,
            "state": one_of(STATES),
            "attempts": array(ref("Attempt")),
            "next_at": nullable(TIME),
            "created_at": TIME,
            "closed_at": nullable(TIME),
        }
    ),
    "Attempt": thing(
        {
            "at": TIME,
            "outcome": TEXT,
            "status_code": nullable(WHOLE),
            "duration_ms": COUNT,
            "excerpt": TEXT,
        }
    ),
    "Account": thing(
        {
            "name": TEXT,
            "provider": TEXT,
            "mode": one_of(["test", "live"]),
            "state": one_of(["ok", "paused", "silent"]),
            "reason": nullable(TEXT),
            "last_event_at": nullable(TIME),
            "last_read_at": nullable(TIME),
            "budget": thing(
                {
                    "limit": COUNT,
                    "seconds": NUMBER,
                    "used": COUNT,
                    "planned": nullable(NUMBER),
                    "possible": nullable(NUMBER),
                }
            ),
            "stretched": NUMBER,
            "complete_up_to": nullable(TIME),
            "parked": COUNT,
        }
    ),
    "Endpoint": thing(
        {
            "name": TEXT,
            "kind": TEXT,
            "configured": YES_OR_NO,
            "state": one_of(["open", "on_hold", "probing", "draining", "paused"]),
            "reason": nullable(TEXT),
            "backlog": COUNT,
            "oldest_at": nullable(TIME),
            "delivered_24h": COUNT,
            "failed_24h": COUNT,
            "p95_ms": nullable(COUNT),
        }
    ),
    "Coverage": thing(
        {
            "account": TEXT,
            "complete_up_to": nullable(TIME),
            "windows": array(
                thing(
                    {
                        "from": TIME,
                        "to": TIME,
                        "started_at": TIME,
                        "finished_at": nullable(TIME),
                        "cursor": nullable(TEXT),
                        "found": COUNT,
                        "pages": COUNT,
                    }
                )
            ),
            "changes": COUNTED_BY,
            "untold": COUNT,
        }
    ),
}

_AMOUNT: Final[Schema] = given(
    {
        "currency": one_of(EXPONENTS),
        "minor": {"type": "integer", "minimum": 1, "maximum": 10**15},
    }
)
_RECONCILES: Final[dict[str, Schema]] = {
    "Reconcile": thing(
        {
            "id": TEXT,
            "account": TEXT,
            "state": one_of(RECONCILE_STATES),
            "dry_run": YES_OR_NO,
            "asked_by": nullable(TEXT),
            "from": TIME,
            "to": TIME,
            "compared": COUNT,
            "expected": COUNT,
            "unread": COUNT,
            "drift": thing({str(each): COUNT for each in DriftClass}),
            "started_at": TIME,
            "finished_at": nullable(TIME),
        }
    ),
    "Reconciles": thing({"data": array(ref("Reconcile")), "next": nullable(TEXT)}),
}

_GIVEN: Final[dict[str, Schema]] = {
    "RequestKey": given({"account": TEXT, "kind": one_of(Kind), "provider_id": PROVIDER_ID}),
    "NewRequest": given(
        {"account": TEXT, "kind": one_of(Kind), "provider_id": PROVIDER_ID},
        {"reference": nullable(REFERENCE)},
    ),
    "NewReconcile": given(
        {
            "since": {"type": "string", "minLength": 1, "maxLength": 40, "examples": ["7d"]},
            "dry_run": YES_OR_NO,
        },
        {"account": nullable(TEXT)},
    ),
    "NewOrder": given(
        {"reference": REFERENCE, "amount": _AMOUNT},
        {
            "requests": array(ref("RequestKey")) | {"maxItems": 100, "uniqueItems": True},
            "metadata": ANYTHING | {"description": "At most 16 KiB of JSON."},
        },
    ),
    "OrderAmendment": given(
        {},
        {
            "amount": _AMOUNT
            | {"description": "In the same currency once there is money. For nothing: withdrawn."},
            "withdrawn": YES_OR_NO | {"description": "Nothing of it is expected any more."},
            "metadata": ANYTHING | {"description": "Replaces all of it; at most 16 KiB of JSON."},
        },
    )
    | {"minProperties": 1},
    "Acknowledgement": given({"code": TEXT, "reason": REASON}),
    "Link": given({"reference": REFERENCE}, {"reason": nullable(REASON)}),
}

_NOTIFICATIONS: Final[dict[str, Schema]] = {
    "Notification": thing(
        {
            "type": TEXT | {"examples": ["payment_request.paid", "order.paid"]},
            "id": {"type": "string", "pattern": "^ntf_[0-9a-z]{26}$"},
            "timestamp": TIME,
            "schema": one_of(["1"]),
            "data": {"anyOf": [ref("RequestNews"), ref("OrderNews")]},
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
        }
    ),
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
        }
    ),
}

SCHEMAS: Final[dict[str, Schema]] = {**_OBJECTS, **_RECONCILES, **_GIVEN, **_NOTIFICATIONS}
