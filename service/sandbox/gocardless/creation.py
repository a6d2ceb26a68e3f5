"""A billing request as it is asked for, checked. Source: fact sheet gocardless, sections 1 and 2.1.

Fields that the sheet does not name are ignored.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from service.sandbox.ledger import Json, PaymentRequest

Text = Annotated[str, Meta(min_length=1)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=50)], Annotated[str, Meta(max_length=500)]],
    Meta(max_length=3),
]
Currency = Literal["AUD", "CAD", "DKK", "EUR", "GBP", "NZD", "SEK", "USD"]
PaymentScheme = Literal["faster_payments", "sepa_credit_transfer", "sepa_instant_credit_transfer"]
MandateScheme = Literal[
    "ach",
    "autogiro",
    "bacs",
    "becs",
    "becs_nz",
    "betalingsservice",
    "faster_payments",
    "pad",
    "pay_to",
    "sepa_core",
]

# Of a currency: the schemes for a payment, the default first, and the direct debit behind them.
SCHEMES = {
    "GBP": ("faster_payments",),
    "EUR": ("sepa_credit_transfer", "sepa_instant_credit_transfer"),
}
DIRECT_DEBIT = {"GBP": "bacs", "EUR": "sepa_core"}


class PaymentPart(Struct):
    """The one-off payment that is asked for; amount in minor units."""

    amount: Annotated[int, Meta(ge=1)]
    currency: Literal["GBP", "EUR"]
    description: Text
    scheme: PaymentScheme | None = None
    funds_settlement: Literal["managed", "direct"] = "managed"
    reference: Text | None = None
    app_fee: Annotated[int, Meta(ge=0)] | None = None
    metadata: Metadata = {}

    @property
    def paid_by(self) -> str:
        return self.scheme or SCHEMES[self.currency][0]


class MandatePart(Struct):
    """The mandate that is asked for."""

    scheme: MandateScheme
    currency: Currency = "GBP"
    verify: Literal["minimum", "recommended", "when_available", "always"] = "recommended"
    sweeping: bool = False
    description: str | None = None
    constraints: Json | None = None
    metadata: Metadata = {}


class Links(Struct):
    """What the request is tied to from the start."""

    customer: Text | None = None
    creditor: Text | None = None
    customer_bank_account: Text | None = None


class Asked(Struct):
    """The body of a creation, without its envelope."""

    payment_request: PaymentPart | None = None
    mandate_request: MandatePart | None = None
    fallback_enabled: bool = False
    purpose_code: Text | None = None
    metadata: Metadata = {}
    links: Links = msgspec.field(default_factory=Links)


@dataclass(slots=True, kw_only=True)
class BillingRequest(PaymentRequest):
    """A billing request. noted counts the entries that became events already."""

    asked: Asked = field(default_factory=Asked)
    noted: int = 0


class Wrong(Exception):
    """A field of a creation is wrong; pointer is its place in the body."""

    def __init__(self, field_name: str, message: str, pointer: str) -> None:
        super().__init__(message)
        self.field_name = field_name
        self.message = message
        self.pointer = pointer


def check(asked: Asked, *, creditor_id: str) -> None:
    """Check what spans fields. Raises Wrong."""
    payment = asked.payment_request
    if payment is None and asked.mandate_request is None:
        raise _wrong("payment_request", "or mandate_request is required")
    if asked.links.creditor not in (None, creditor_id):
        raise _wrong("links/creditor", "is not a creditor of this account")
    if payment is None:
        return
    if payment.paid_by not in SCHEMES[payment.currency]:
        raise _wrong("payment_request/scheme", f"does not take {payment.currency}")
    is_direct = payment.funds_settlement == "direct" and payment.paid_by == "faster_payments"
    if payment.reference is not None and not is_direct:
        raise _wrong("payment_request/reference", "is only for direct settlement")


def _wrong(path: str, message: str) -> Wrong:
    return Wrong(path.rpartition("/")[2], message, f"/billing_requests/{path}")
