"""How bunq shows a request inquiry, a payment and a request response.

Source: fact sheet bunq, sections 1 and 2, and the fixtures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.sandbox.bunq.happenings import What, answer_in
from service.sandbox.bunq.parties import Payee, label_user
from service.sandbox.ledger import Entry, Json, PaymentRequest

PENDING = "PENDING"
WORDS: Mapping[StrEnum, str] = {
    What.RECEIVED: "ACCEPTED",
    What.REJECTED: "REJECTED",
    What.REVOKED: "REVOKED",
    What.EXPIRED: "EXPIRED",
}


@dataclass(frozen=True, slots=True)
class Payment:
    """A movement on the account; balance is what was there after it, in minor units."""

    id: int
    request: PaymentRequest
    entry: Entry
    balance: int

    @property
    def is_incoming(self) -> bool:
        return self.entry.what is What.RECEIVED


def status_word(entries: Sequence[Entry]) -> str:
    answer = answer_in(entries)
    return WORDS[answer.what] if answer else PENDING


def inquiry_json(request: PaymentRequest, entries: Sequence[Entry], payee: Payee) -> Json:
    """Return a request inquiry as of these entries; payments out of it do not change it."""
    answer = answer_in(entries)
    what = answer.what if answer else None
    answered_at = stamp(answer.at) if answer else None
    sent = request.as_created
    return {
        "id": int(request.id),
        "created": stamp(request.created_at),
        "updated": answered_at or stamp(request.created_at),
        "time_responded": None if what is What.EXPIRED else answered_at,
        "time_expiry": answered_at if what is What.EXPIRED else None,
        "monetary_account_id": payee.monetary_account_id,
        "amount_inquired": amount(request.amount, request.currency),
        "amount_responded": (
            amount(answer.amount, request.currency) if answer and what is What.RECEIVED else None
        ),
        "status": status_word(entries),
        "description": sent["description"],
        "merchant_reference": request.reference,
        "user_alias_created": payee.alias,
        "user_alias_revoked": label_user(payee.name) if what is What.REVOKED else None,
        "counterparty_alias": sent["counterparty_alias"],
        "attachment": [],
        "minimum_age": sent.get("minimum_age"),
        "require_address": sent.get("require_address", "NONE"),
        "geolocation": None,
        "type": "INTERNAL",
        "sub_type": "NONE",
        "bunqme_share_url": sent.get("bunqme_share_url"),
        "redirect_url": sent.get("redirect_url"),
        "batch_id": None,
        "scheduled_id": None,
        "address_billing": None,
        "address_shipping": None,
        "reference_split_the_bill": None,
    }


def payment_json(payment: Payment, payee: Payee) -> Json:
    """Return a payment; outgoing ones are negative."""
    request, entry = payment.request, payment.entry
    signed = entry.amount if payment.is_incoming else -entry.amount
    description = request.as_created["description"]
    return {
        "id": payment.id,
        "created": stamp(entry.at),
        "updated": stamp(entry.at),
        "monetary_account_id": payee.monetary_account_id,
        "amount": amount(signed, request.currency),
        "description": description if payment.is_incoming else f"Refund {description}",
        "type": "BUNQ",
        "sub_type": "REQUEST" if payment.is_incoming else "PAYMENT",
        "merchant_reference": None if entry.what is What.UNMARKED else request.reference,
        "alias": payee.alias,
        "counterparty_alias": request.as_created["counterparty_alias"],
        "attachment": [],
        "batch_id": None,
        "scheduled_id": None,
        "address_billing": None,
        "address_shipping": None,
        "geolocation": None,
        "balance_after_mutation": amount(payment.balance, request.currency),
    }


def response_json(request: PaymentRequest, entry: Entry, payee: Payee) -> Json:
    """Return a request response, pending: somebody asks us to pay.

    Ids of request responses and request inquiries have nothing to do with each other, so that
    this one may have the id of ours. Source: fact sheet bunq, section 2.
    """
    return {
        "id": int(request.id),
        "created": stamp(entry.at),
        "updated": stamp(entry.at),
        "time_responded": None,
        "time_expiry": None,
        "time_refund_requested": None,
        "time_refunded": None,
        "user_refund_requested": None,
        "monetary_account_id": payee.monetary_account_id,
        "amount_inquired": amount(request.amount, request.currency),
        "amount_responded": None,
        "status": PENDING,
        "description": "Someone asks us to pay",
        "alias": payee.alias,
        "counterparty_alias": request.as_created["counterparty_alias"],
        "attachment": [],
        "minimum_age": None,
        "require_address": None,
        "geolocation": None,
        "type": "INTERNAL",
        "sub_type": "NONE",
        "redirect_url": None,
        "address_billing": None,
        "address_shipping": None,
        "eligible_whitelist_id": None,
    }


def amount(minor: int, currency: str) -> Json:
    """Return an amount as text with two decimals."""
    whole, cents = divmod(abs(minor), 100)
    return {"currency": currency, "value": f"{'-' if minor < 0 else ''}{whole}.{cents:02d}"}


def stamp(moment: datetime) -> str:
    """Return UTC with microseconds and without a zone mark."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
