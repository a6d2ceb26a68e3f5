"""What an ERP has to know about a billing request in the end, straight from the ledger.

Independent of the provider's words and of the product's code. Source: STATUSES.md, sections 1
and 2 (column "GoCardless billing request", and 2.3).
"""

from collections.abc import Sequence

from service.sandbox.gocardless.creation import BillingRequest
from service.sandbox.gocardless.happenings import (
    PAYMENT_STARTS,
    What,
    collected,
    given_back,
    happened,
)
from service.sandbox.ledger import Entry
from service.sandbox.truth import Truth, truth_about

PAYMENT_STEPS = {
    What.PROPOSED: ("authorising", False),
    What.CREATED: ("accepted", False),
    What.APPROVED: ("accepted", False),
    What.RETRIED: ("accepted", False),
    What.AUTORETRIED: ("accepted", False),
    What.SUBMITTED: ("processing", False),
    What.DENIED: ("rejected", True),
    What.PAYMENT_CANCELLED: ("cancelled", True),
    What.FAILED: ("failed", True),
    What.FAILED_FOR_NOW: ("failed", False),
}
REQUEST_STEPS = {
    What.BANK_AUTHORISED: "authorising",
    What.FELL_BACK: "authorising",
    What.FULFILLING: "authorising",
    What.FULFILLED: "processing",  # its payment is still to appear
    What.BANK_DENIED: "open",
    What.BANK_FAILED: "open",
    What.BANK_EXPIRED: "open",
}


def truth_of(request: BillingRequest, *, account: str) -> Truth | None:
    """Return the canonical outcome; None for a mandate alone, which asks for no money.

    The payment counts once, however often it was tried. What was paid out counts as booked, also
    after it was taken back: it is then refunded as well.
    """
    if request.asked.payment_request is None:
        return None
    entries = request.entries
    came = request.amount if happened(entries, What.CONFIRMED) else 0
    taken_back = came - collected(entries)
    refunded = given_back(entries) + taken_back
    booked = came if happened(entries, What.PAID_OUT) else 0
    received = came + request.unseen
    status, final = _standing(request, received, refunded, booked)
    return truth_about(
        request,
        account,
        status=status,
        final=final,
        received=received,
        refunded=refunded,
        taken_back=taken_back,
        booked=booked,
    )


def _standing(
    request: BillingRequest, received: int, refunded: int, booked: int
) -> tuple[str, bool]:
    """Return the status and whether only news about money can still change it."""
    if received and refunded >= received:
        return "reversed", True
    if received and booked >= received:
        return "settled", True
    if received:
        return ("paid" if received >= request.amount else "part_paid"), False
    return _without_money(request.entries)


def _without_money(entries: Sequence[Entry]) -> tuple[str, bool]:
    if happened(entries, *PAYMENT_STARTS):
        newest = next(e.what for e in reversed(entries) if e.what in PAYMENT_STEPS)
        return PAYMENT_STEPS[What(newest)]
    if happened(entries, What.CANCELLED):
        return "cancelled", True
    step = next((e.what for e in reversed(entries) if e.what in REQUEST_STEPS), None)
    return ("open" if step is None else REQUEST_STEPS[What(step)]), False
