"""Deliveries, endpoints and what persons do with them, as JSON Schema.

Source: CONTRACT.md, section 6.
"""

from typing import Final

from service.storage.views import recoveries
from service.storage.views.deliveries import STATES
from service.storage.views.interventions import DID
from service.web.openapi.shapes import (
    ANYTHING,
    COUNT,
    NUMBER,
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

OUTBOX: Final[dict[str, Schema]] = {
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
            "number": COUNT,
            "at": TIME,
            "outcome": TEXT,
            "status_code": nullable(WHOLE),
            "duration_ms": COUNT,
            "excerpt": TEXT,
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
            "public_key": nullable(TEXT)
            | {"description": "Checks the v1a signatures of this endpoint: whpk_ and base64."},
        }
    ),
    "Intervention": thing(
        {
            "id": TEXT,
            "at": TIME,
            "did": one_of(DID),
            "who": TEXT,
            "reason": nullable(TEXT),
            "endpoint": nullable(TEXT),
            "subject_id": nullable(TEXT),
            "about": nullable(TEXT),
            "detail": nullable(ANYTHING),
        }
    ),
    "EndpointTest": thing(
        {
            "endpoint": TEXT,
            "notification_id": TEXT,
            "at": TIME,
            "ok": YES_OR_NO,
            "outcome": TEXT,
            "status_code": nullable(WHOLE),
            "duration_ms": COUNT,
            "excerpt": TEXT,
        }
    ),
    "Recovery": thing(
        {
            "id": TEXT,
            "endpoint": TEXT,
            "state": one_of(recoveries.STATES),
            "since": TIME,
            "until": TIME,
            **dict.fromkeys(("planned", "queued", "delivered", "dead", "superseded"), COUNT),
            "started_at": TIME,
            "finished_at": nullable(TIME),
            "lane": TEXT,
        }
    ),
    "RecoveryPlan": thing(
        {
            "endpoint": TEXT,
            "since": TIME,
            "until": TIME,
            "planned": COUNT,
            "by_type": ANYTHING,
            "by_state": ANYTHING,
            "seconds": NUMBER,
            "lane": TEXT,
        }
    ),
    "RecoveryOrPlan": {"anyOf": [ref("Recovery"), ref("RecoveryPlan")]},
}
