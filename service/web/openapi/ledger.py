"""Orders, requests and what led to their states, as JSON Schema. Source: CONTRACT.md, section 6."""

from typing import Final

from service.domain.event import EventVerdict
from service.domain.money import EXPONENTS
from service.domain.order import OrderStatus
from service.domain.request import Direction, Kind, LinkedBy
from service.domain.status import Status
from service.web.openapi.shapes import (
    AMOUNTS,
    ANYTHING,
    COUNT,
    SHA256,
    TEXT,
    TIME,
    WHOLE,
    YES_OR_NO,
    Schema,
    array,
    nullable,
    one_of,
    ref,
    thing,
)

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

_ENTRIES: Final = (
    *("event", "observation", "transition", "notification", "attempt"),
    *("acknowledgement", "link", "intervention", "recovered"),
)

_EXPECTED: Final[Schema] = thing({"amount": ref("Money"), "withdrawn": YES_OR_NO})

LEDGER: Final[dict[str, Schema]] = {
    "Money": thing(
        {
            "currency": one_of(EXPONENTS),
            "minor": WHOLE,
            "exponent": {"type": "integer", "minimum": 0, "maximum": 4},
            "decimal": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,4})?$"},
        }
    ),
    "Problem": thing(
        {"type": TEXT, "title": TEXT, "status": WHOLE, "code": TEXT},
        {"detail": TEXT, "oldest": TEXT},
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
        },
        {"replay": one_of(["finished", "pending"])},
    ),
}
