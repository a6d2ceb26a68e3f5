"""Accounts and how completely we looked, as JSON Schema. Source: CONTRACT.md, section 6."""

from typing import Final

from service.domain.drift import DriftClass
from service.domain.request import ObservedBy
from service.storage.views.reconciles import STATES as RECONCILE_STATES
from service.web.openapi.shapes import (
    COUNT,
    NUMBER,
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

COUNTED_BY: Final[Schema] = thing({str(observed_by): COUNT for observed_by in ObservedBy})

LOOKING: Final[dict[str, Schema]] = {
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
