"""How Ginger shows an order's ledger: statuses, flags, amounts and counter orders.

Everything here is derived from ledger entries, so that an older picture is the same functions
over fewer entries. Source: fact sheet ginger, sections 4, 7, 8 and 9.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from service.sandbox.ginger.happenings import (
    ARRIVALS,
    ATTEMPT_NEWS,
    ENDINGS,
    FAILURES,
    RETURNS,
    What,
    has_unresolved_attempt,
    refundable,
    reserved,
)
from service.sandbox.ginger.transactions import (
    TRANSACTION_WORDS,
    Seller,
    attempt_json,
    capture_json,
    event_json,
    stamp,
    transaction_json,
)
from service.sandbox.ledger import Entry, Json, PaymentRequest, total

# Fact sheet ginger, section 4: the field on the counter order, and the one on the original.
RETURN_FIELDS: Mapping[StrEnum, tuple[str, str]] = {
    What.REFUND_OPENED: ("refund_of_order_id", "refund_orders"),
    What.CHARGEBACK_OPENED: ("chargeback_of_order_id", "chargeback_orders"),
    What.REVERSAL_OPENED: ("reversal_of_order_id", "reversal_orders"),
}

# What a counter order repeats of its original, as in the sample refund_response_order_shape.
REPEATED = ("client", "extra", "merchant_order_id", "webhook_url")


def order_word(order: PaymentRequest, entries: Sequence[Entry]) -> str:
    """Return the order's status. Source: fact sheet ginger, section 8."""
    arrived = total(entries, *ARRIVALS)
    if arrived:
        is_split = arrived < order.amount and has_unresolved_attempt(entries)
        return "see-transactions" if is_split else "completed"
    for entry in reversed(entries):
        if entry.what in ENDINGS:
            return entry.what.value
    acted = [entry for entry in entries if entry.what in ATTEMPT_NEWS - {What.OFFERED}]
    if not acted:
        return "new"
    newest = acted[-1].what
    return TRANSACTION_WORDS[newest] if newest in FAILURES else "processing"


def return_word(entries: Sequence[Entry], return_id: str) -> str:
    """Return the status of a counter order."""
    newest = [entry for entry in entries if entry.subject == return_id][-1]
    if newest.what in RETURNS:
        return "completed"
    return "error" if newest.what is What.RETURN_FAILED else "processing"


def order_json(order: PaymentRequest, entries: Sequence[Entry], seller: Seller) -> Json:
    """Return the order as a read shows it, without amount_details."""
    shown = order_summary(order, entries, seller)
    offers = [entry for entry in entries if entry.what is What.OFFERED]
    shown["transactions"] = [
        *(attempt_json(order, entries, offer, seller) for offer in offers),
        *(
            capture_json(order, entries, entry, seller)
            for entry in entries
            if entry.what in (What.CAPTURED, What.VOIDED)
        ),
    ]
    return shown


def order_summary(order: PaymentRequest, entries: Sequence[Entry], seller: Seller) -> Json:
    """Return the order as a list shows it: everything but its transactions."""
    word = order_word(order, entries)
    shown = order.as_created | {
        "amount": order.amount,
        "created": stamp(order.created_at),
        "currency": order.currency,
        "id": order.id,
        "merchant_id": seller.merchant_id,
        "modified": stamp(entries[-1].at if entries else order.created_at),
        "order_url": f"{seller.pay_url}/pay/{order.id}/",
        "project_id": seller.project_id,
        "status": word,
    }
    if word == "completed":
        shown["completed"] = stamp(_newest_at(entries, *ARRIVALS))
    added = (What.OFFERED, What.CAPTURED, What.VOIDED)
    if any(entry.what in added for entry in entries):
        shown["last_transaction_added"] = stamp(_newest_at(entries, *added))
    return shown | _linked_orders(entries) | _flags(_flags_of(entries), seller)


def version(entries: Sequence[Entry]) -> str:
    """Return what an ETag of the order says. Source: fact sheet ginger, section 10, assumed."""
    return f'"{len(entries)}"'


def amount_details(entries: Sequence[Entry]) -> Json:
    """Return what `?fields[]=amount_details` adds.

    Money received at once counts as captured. Source: fact sheet ginger, section 8.4 (assumed).
    """
    captured = total(entries, What.RECEIVED, What.CAPTURED)
    held = reserved(entries)
    return {
        "capturable": held,
        "captured": captured,
        "refundable": refundable(entries),
        "refunded": total(entries, What.REFUNDED),
        "voidable": held,
        "voided": total(entries, What.VOIDED),
    }


def return_json(
    order: PaymentRequest, entries: Sequence[Entry], return_id: str, seller: Seller
) -> Json:
    """Return a counter order with its one debit transaction."""
    shown = return_summary(order, entries, return_id, seller)
    news = [entry for entry in entries if entry.subject == return_id]
    first_offer = next(entry for entry in entries if entry.what is What.OFFERED)
    transaction = transaction_json(order, first_offer, news[0], news[-1].at, seller) | {
        "credit_debit": "debit",
        "description": shown["description"],
        "events": [event_json(entry, str(shown["status"])) for entry in news[-1:]],
        "id": news[0].id,
        "order_id": return_id,
        "status": shown["status"],
    }
    if "completed" in shown:
        transaction["completed"] = shown["completed"]
    shown["transactions"] = [transaction]
    return shown


def return_summary(
    order: PaymentRequest, entries: Sequence[Entry], return_id: str, seller: Seller
) -> Json:
    """Return a counter order as a list shows it. Source: fact sheet ginger, sections 4 and 9."""
    news = [entry for entry in entries if entry.subject == return_id]
    opened = news[0]
    word = return_word(entries, return_id)
    shown: Json = {key: order.as_created[key] for key in REPEATED if key in order.as_created}
    shown |= {
        "amount": opened.amount,
        "created": stamp(opened.at),
        "currency": order.currency,
        "description": opened.note,
        "id": return_id,
        "last_transaction_added": stamp(opened.at),
        "merchant_id": seller.merchant_id,
        "modified": stamp(news[-1].at),
        "project_id": seller.project_id,
        "status": word,
        RETURN_FIELDS[opened.what][0]: order.id,
    }
    if word == "completed":
        shown["completed"] = stamp(news[-1].at)
    is_refund = opened.what is What.REFUND_OPENED
    return shown | _flags(["is-refund"] if is_refund else [], seller)


def compact_return(order: PaymentRequest, entries: Sequence[Entry], return_id: str) -> Json:
    """Return the other shape in which a refund is answered. Source: fact sheet, section 9."""
    news = [entry for entry in entries if entry.subject == return_id]
    words = {"processing": "pending", "error": "failed"}
    word = return_word(entries, return_id)
    return {
        "amount": news[0].amount,
        "created": stamp(news[0].at),
        "currency": order.currency,
        "description": news[0].note,
        "extra": None,
        "id": return_id,
        "merchant_order_id": order.as_created.get("merchant_order_id"),
        "modified": stamp(news[-1].at),
        "status": words.get(word, word),
    }


def _linked_orders(entries: Sequence[Entry]) -> Json:
    links: dict[str, list[str]] = {}
    for entry in entries:
        if entry.what in RETURN_FIELDS:
            links.setdefault(RETURN_FIELDS[entry.what][1], []).append(entry.subject)
    refunded = (
        {"refunded_amount": total(entries, What.REFUNDED)} if "refund_orders" in links else {}
    )
    return {**links, **refunded}


def _flags_of(entries: Sequence[Entry]) -> list[str]:
    flags = {
        What.CAPTURED: "has-captures",
        What.REFUND_OPENED: "has-refunds",
        What.VOIDED: "has-voids",
    }
    said = {entry.what for entry in entries}
    return [flag for what, flag in flags.items() if what in said]


def _flags(flags: list[str], seller: Seller) -> Json:
    """Return the flags, absent when there is none. Source: fact sheet ginger, section 7."""
    shown = [*flags, *(["is-test"] if seller.is_test else [])]
    return {"flags": shown} if shown else {}


def _newest_at(entries: Sequence[Entry], *whats: What) -> datetime:
    return next(entry.at for entry in reversed(entries) if entry.what in whats)
