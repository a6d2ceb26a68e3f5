"""What an ERP has to know about an ING payment request in the end, straight from the ledger.

Source: STATUSES.md, sections 1 and 2 (column "ING payment request").
"""

from service.sandbox.ing_payment_request.happenings import HIDDEN, What, payments_in
from service.sandbox.ing_payment_request.terms import Terms
from service.sandbox.ledger import PaymentRequest, total
from service.sandbox.truth import Truth


def truth_of(request: PaymentRequest, terms: Terms, *, account: str) -> Truth:
    """Return the canonical outcome; the API tells neither of refunds nor of bookings.

    A payment that the list does not show yet is no money yet.
    """
    received = total(payments_in(request.entries), What.PAID) + request.unseen
    status, final = _standing(request, terms, received)
    return Truth(
        account=account,
        kind=request.kind,
        provider_id=request.id,
        reference=request.reference,
        currency=request.currency,
        amount=terms.asked,
        status=status,
        received=received,
        refunded=0,
        taken_back=0,
        booked=0,
        final=final,
    )


def _standing(request: PaymentRequest, terms: Terms, received: int) -> tuple[str, bool]:
    """Return the status and whether only news about money can still change it."""
    paid = [entry for entry in request.entries if entry.what is What.PAID]
    ends = [entry.what for entry in request.entries if entry.what in (What.EXPIRED, What.CLOSED)]
    is_full = len(paid) == terms.payments_max or (
        terms.receivable_max is not None and total(paid, What.PAID) >= terms.receivable_max
    )
    if received >= terms.asked:
        return "paid", True
    if received:
        return "part_paid", bool(ends) or is_full
    if is_full and any(entry.note == HIDDEN for entry in paid):
        return "processing", False
    if ends:
        return ("expired" if ends[0] is What.EXPIRED else "cancelled"), True
    return "open", False
