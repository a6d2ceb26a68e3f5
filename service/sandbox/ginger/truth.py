"""What an ERP has to know about an order in the end, straight from the ledger.

Independent of the provider's words and of the product's code. Source: STATUSES.md, sections 1
and 2 (column "Ginger order").
"""

from collections.abc import Sequence

from service.sandbox.ginger.happenings import (
    ARRIVALS,
    ATTEMPT_NEWS,
    BANK_TRANSFER,
    ENDINGS,
    FAILURES,
    What,
    has_unresolved_attempt,
    method_of,
    newest_news,
    reserved,
)
from service.sandbox.ledger import Entry, PaymentRequest, total
from service.sandbox.truth import Truth, truth_about


def truth_of(order: PaymentRequest, *, account: str) -> Truth:
    """Return the canonical outcome of an order; nothing tells when its money is booked."""
    entries = order.entries
    received = total(entries, What.RECEIVED, What.CAPTURED) + order.unseen
    taken_back = total(entries, What.CHARGED_BACK, What.REVERSED)
    refunded = total(entries, What.REFUNDED) + taken_back
    status, final = _standing(entries, order.amount, received, refunded)
    return truth_about(
        order,
        account,
        status=status,
        final=final,
        received=received,
        refunded=refunded,
        taken_back=taken_back,
    )


def _standing(
    entries: Sequence[Entry], asked: int, received: int, refunded: int
) -> tuple[str, bool]:
    """Return the status and whether only news about money can still change it."""
    if received and refunded >= received:
        return "reversed", True
    if received >= asked:
        return "paid", True
    if received:
        return "part_paid", not reserved(entries) and not has_unresolved_attempt(entries)
    return _without_money(entries)


def _without_money(entries: Sequence[Entry]) -> tuple[str, bool]:
    if any(entry.what in ARRIVALS for entry in entries):
        return ("accepted", False) if reserved(entries) else ("cancelled", True)
    ending = next((entry for entry in reversed(entries) if entry.what in ENDINGS), None)
    if ending is not None:
        return ending.what.value, True
    return _under_way(entries), False


def _under_way(entries: Sequence[Entry]) -> str:
    """Return the status of an order that can still be paid.

    It has failed when the last thing that an attempt did was to fail. Else the attempts count by
    where they stand and not by their place: a payer at the bank, then one being executed.
    """
    acted = [e.what for e in entries if e.what in ATTEMPT_NEWS and e.what is not What.OFFERED]
    if acted and acted[-1] in FAILURES:
        return "failed"
    standing = newest_news(entries)
    at_bank = [entry.subject for entry in standing if entry.what is What.AT_BANK]
    if any(method_of(entries, attempt) != BANK_TRANSFER for attempt in at_bank):
        return "authorising"
    if any(entry.what is What.EXECUTING for entry in standing):
        return "processing"
    return "open" if standing else "created"
