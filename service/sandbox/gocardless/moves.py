"""What may follow what. Source: fact sheet gocardless, sections 3 and 4.

A fact that is not legal does not happen: a story played on a request in another state leaves out
the beats that do not fit, and a call of the API is told so.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from service.sandbox.gocardless.happenings import (
    FAILURES,
    PAYMENT_STARTS,
    What,
    collected,
    given_back,
    happened,
)
from service.sandbox.gocardless.words import billing_word, payment_word
from service.sandbox.ledger import Entry, PaymentRequest

Share = Callable[[int], int]

UNFINISHED = frozenset({"pending", "ready_to_fulfil", "fulfilling"})
COLLECTED = frozenset({"confirmed", "paid_out"})

# From which status of the billing request. Any that is not terminal can lead to any other.
BILLING_MOVES: Mapping[What, frozenset[str]] = {
    What.ASKED: UNFINISHED,
    What.FLOW_CREATED: UNFINISHED,
    What.FLOW_VISITED: UNFINISHED,
    What.FLOW_EXITED: UNFINISHED,
    What.DETAILS_COLLECTED: UNFINISHED,
    What.INSTITUTION_SELECTED: UNFINISHED,
    What.BANK_ACCOUNT_COLLECTED: UNFINISHED,
    What.DETAILS_CONFIRMED: UNFINISHED,
    What.BANK_VISITED: UNFINISHED,
    What.BANK_AUTHORISED: UNFINISHED,
    What.BANK_DENIED: UNFINISHED,
    What.BANK_FAILED: UNFINISHED,
    What.BANK_EXPIRED: UNFINISHED,
    What.FELL_BACK: UNFINISHED,
    What.STUMBLED: UNFINISHED,
    What.FULFILLING: frozenset({"ready_to_fulfil"}),
    What.FULFILLED: frozenset({"ready_to_fulfil", "fulfilling"}),
    What.CANCELLED: UNFINISHED,
    What.MANDATE_CREATED: frozenset({"fulfilled"}),
    What.MANDATE_ACTIVE: frozenset({"fulfilled"}),
    What.NEW_ACTION: UNFINISHED | {"fulfilled"},
    What.NEW_RESOURCE: UNFINISHED | {"fulfilled"},
}

# From which status of the payment.
PAYMENT_MOVES: Mapping[What, frozenset[str]] = {
    What.APPROVED: frozenset({"pending_customer_approval"}),
    What.DENIED: frozenset({"pending_customer_approval"}),
    What.SUBMITTED: frozenset({"pending_submission"}),
    What.PAYMENT_CANCELLED: frozenset({"pending_submission"}),
    What.CONFIRMED: frozenset({"submitted"}),
    What.PAID_OUT: frozenset({"confirmed"}),
    What.PAYOUT_PAID: frozenset({"paid_out"}),
    What.FAILED: COLLECTED | {"submitted"},
    What.FAILED_FOR_NOW: COLLECTED | {"submitted"},
    What.LATE_FAILURE_SETTLED: frozenset({"failed"}),
    What.RETRIED: frozenset({"failed"}),
    What.AUTORETRIED: frozenset({"failed"}),
    What.CHARGED_BACK: COLLECTED,
    What.CHARGEBACK_SETTLED: frozenset({"charged_back"}),
    What.CHARGEBACK_CANCELLED: frozenset({"charged_back"}),
    What.REFUNDED: COLLECTED,
    What.REFUND_PAID: COLLECTED,
    What.REFUND_FAILED: COLLECTED,
}


def is_legal(what: What, request: PaymentRequest) -> bool:
    """Return whether this may happen to the request as it is now."""
    entries = request.entries
    word = payment_word(entries)
    if what in PAYMENT_STARTS:
        return word is None and happened(entries, What.FULFILLED)
    if what in PAYMENT_MOVES:
        return word in PAYMENT_MOVES[what]
    return billing_word(entries) in BILLING_MOVES[what]


def happen(
    request: PaymentRequest, what: What, *, at: datetime, share: Share | None = None, note: str = ""
) -> Entry | None:
    """Record what happens, if it may; share says how much of the amount is refunded."""
    if not is_legal(what, request):
        return None
    amount = _moved(request, what, share)
    if what in (What.REFUNDED, What.REFUND_FAILED) and not amount:
        return None
    return request.record(what, at=at, amount=amount, note=note)


def _moved(request: PaymentRequest, what: What, share: Share | None) -> int:
    """Return how much money moves, in minor units."""
    entries = request.entries
    if what in FAILURES or what is What.CHARGED_BACK:
        return collected(entries)
    match what:
        case What.CONFIRMED | What.PAID_OUT | What.CHARGEBACK_CANCELLED:
            return request.amount
        case What.REFUNDED:
            wanted = share(request.amount) if share else request.amount
            return min(wanted, collected(entries) - given_back(entries))
        case What.REFUND_FAILED:
            return next((e.amount for e in reversed(entries) if e.what is What.REFUNDED), 0)
        case _:
            return 0
