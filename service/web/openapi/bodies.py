"""What callers send, as JSON Schema: nothing else may stand in it.

Source: CONTRACT.md, section 6.
"""

from typing import Final

from service.domain.money import EXPONENTS
from service.domain.request import Kind
from service.web.openapi.shapes import (
    ANYTHING,
    PROVIDER_ID,
    REASON,
    REFERENCE,
    TEXT,
    YES_OR_NO,
    Schema,
    array,
    given,
    nullable,
    one_of,
    ref,
)

_AMOUNT: Final[Schema] = given(
    {
        "currency": one_of(EXPONENTS),
        "minor": {"type": "integer", "minimum": 1, "maximum": 10**15},
    }
)
BODIES: Final[dict[str, Schema]] = {
    "Reason": given({}, {"reason": nullable(REFERENCE)}),
    "NewRecovery": given(
        {"endpoint": TEXT, "since": TEXT | {"examples": ["2026-11-20T14:31:02Z", "7d"]}},
        {"until": nullable(TEXT), "dry_run": YES_OR_NO, "reason": nullable(REFERENCE)},
    ),
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
