"""How Ginger shows the transactions of an order: attempts, captures and voids.

Source: fact sheet ginger, sections 5, 6 and 8.2; captures and voids have the shape assumed there
in section 17.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.sandbox.ginger.happenings import BANK_TRANSFER, What, news_of_attempt, reserved
from service.sandbox.ledger import Entry, Json, PaymentRequest, total

TRANSACTION_WORDS: Mapping[StrEnum, str] = {
    What.OFFERED: "new",
    What.AT_BANK: "pending",
    What.EXECUTING: "processing",
    What.FAILED: "error",
    What.DECLINED: "declined",
    What.CANCELLED: "cancelled",
    What.EXPIRED: "expired",
    What.RECEIVED: "completed",
    What.AUTHORISED: "completed",
    What.CAPTURED: "completed",
    What.VOIDED: "completed",
}


@dataclass(frozen=True, slots=True)
class Seller:
    """Who is paid, where the payer is sent, and whether it is all a test."""

    merchant_id: str
    project_id: str
    pay_url: str
    is_test: bool = False


def attempt_json(
    order: PaymentRequest, entries: Sequence[Entry], offer: Entry, seller: Seller
) -> Json:
    news = news_of_attempt(entries, offer.subject)
    newest = news[-1]
    shown = transaction_json(order, offer, offer, newest.at, seller) | {
        "events": [event_json(entry, TRANSACTION_WORDS[entry.what]) for entry in news],
        "status": TRANSACTION_WORDS[newest.what],
    }
    shown |= _payment_page(offer, seller)
    match newest.what:
        case What.RECEIVED:
            shown |= {"amount": newest.amount, "completed": stamp(newest.at)}
            shown["payment_method_details"] = _method_details(offer.note, is_paid=True)
        case What.AUTHORISED:
            shown |= {"completed": stamp(newest.at)} | _authorisation(order, entries)
        case What.FAILED | What.DECLINED:
            shown["reason"] = newest.note or "Issuer reported a failure"
            shown["customer_message"] = "The bank could not complete this payment."
        case What.CANCELLED:
            shown["reason"] = "Payer cancelled at the bank"
        case _:
            pass
    return shown


def _authorisation(order: PaymentRequest, entries: Sequence[Entry]) -> Json:
    shown: Json = {
        "capture_mode": order.as_created.get("capture_mode", "manual"),
        "is_capturable": reserved(entries) > 0,
        "transaction_type": "authorization",
    }
    captured = total(entries, What.CAPTURED)
    if captured:
        shown["is_fully_captured"] = captured >= total(entries, What.AUTHORISED)
    return shown


def capture_json(
    order: PaymentRequest, entries: Sequence[Entry], entry: Entry, seller: Seller
) -> Json:
    offer = next(
        other for other in entries if other.what is What.OFFERED and other.subject == entry.subject
    )
    shown = transaction_json(order, offer, entry, entry.at, seller) | _payment_page(offer, seller)
    return shown | {
        "capture_mode": order.as_created.get("capture_mode", "manual"),
        "completed": stamp(entry.at),
        "events": [event_json(entry, "completed")],
        "id": entry.id,
        "is_capturable": False,
        "status": "completed",
        "transaction_type": "capture" if entry.what is What.CAPTURED else "void",
    }


def transaction_json(
    order: PaymentRequest, offer: Entry, opened: Entry, modified_at: datetime, seller: Seller
) -> Json:
    """Return what every transaction has in common."""
    shown: Json = {
        "amount": opened.amount,
        "balance": "test" if seller.is_test else "internal",
        "created": stamp(opened.at),
        "credit_debit": "credit",
        "currency": order.currency,
        "expiration_period": "P30D" if offer.note == BANK_TRANSFER else "PT15M",
        "id": offer.subject,
        "merchant_id": seller.merchant_id,
        "modified": stamp(modified_at),
        "order_id": order.id,
        "payment_method": offer.note,
        "payment_method_details": _method_details(offer.note, is_paid=False),
        "project_id": seller.project_id,
    }
    if "description" in order.as_created:
        shown["description"] = order.as_created["description"]
    if offer.note != BANK_TRANSFER:
        shown["product_type"] = "checkout"
    return shown


def _payment_page(offer: Entry, seller: Seller) -> Json:
    """Return the redirect; a bank transfer has none. Source: fact sheet ginger, section 5."""
    if offer.note == BANK_TRANSFER:
        return {"payment_method_brand": "sepa"}
    return {"payment_url": f"{seller.pay_url}/redirect/{offer.subject}/to/payment/"}


def _method_details(method: str, *, is_paid: bool) -> Mapping[str, str]:
    consumer = {
        "consumer_bic": "TESTNL2A" if is_paid else "",
        "consumer_iban": "NL13TEST0123456789" if is_paid else "",
        "consumer_name": "J. de Vries" if is_paid else "",
    }
    match method:
        case "bank-transfer":
            return consumer | {
                "creditor_account_holder_city": "Amsterdam",
                "creditor_account_holder_name": "Stichting Example PSP",
                "creditor_bic": "TESTNL2A",
                "creditor_iban": "NL13TEST0123456789",
                "reference": "9210204518833107",
            }
        case "ideal" if is_paid:
            outcome = {"status": "Success", "transaction_id": "0050000987654321"}
            return consumer | outcome | {"issuer_id": "INGBNL2A"}
        case "ideal":
            return {"issuer_id": "INGBNL2A"}
        case _:
            return {"card_expiry": "122028", "truncated_pan": "1111"}


def event_json(entry: Entry, word: str) -> Json:
    moment = stamp(entry.at)
    return {
        "event": word,
        "id": entry.id,
        "noticed": moment,
        "occurred": moment,
        "source": "set_status",
    }


def stamp(moment: datetime) -> str:
    """Return microseconds with +00:00. Source: fact sheet ginger, section 16."""
    return moment.isoformat(timespec="microseconds")
