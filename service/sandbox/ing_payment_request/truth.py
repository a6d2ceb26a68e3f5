"""What an ERP has to know about an ING payment request in the end, straight from the ledger.

Source: STATUSES.md, sections 1 and 2 (column "ING payment request").
"""

from msgspec.structs import replace

from service.sandbox.ing_payment_request.happenings import End, What, end_of, payments_in
from service.sandbox.ing_payment_request.terms import Terms
from service.sandbox.ledger import PaymentRequest, total
from service.sandbox.truth import Truth, truth_about


def truth_of(request: PaymentRequest, terms: Terms, *, account: str) -> Truth:
    """Return the canonical outcome; the API tells neither of refunds nor of bookings.

    A payment that the list does not show yet is no money yet.
    """
    received = total(payments_in(request.entries), What.PAID) + request.unseen
    status, final = _standing(request, terms, received)
    truth = truth_about(
        request,
        account,
        status=status,
        final=final,
        received=received,
    )
    return replace(truth, amount=terms.asked or None)


def _standing(request: PaymentRequest, terms: Terms, received: int) -> tuple[str, bool]:
    """Return the status and whether only news about money can still change it."""
    end = end_of(terms, request.entries)
    if received and received >= terms.asked:
        return "paid", True
    if received:
        return "part_paid", end is not None
    match end:
        case End.FULFILLED:
            return "processing", False  # what was paid is not listed yet
        case End.EXPIRED:
            return "expired", True
        case End.CLOSED:
            return "cancelled", True
        case None:
            return "open", False
