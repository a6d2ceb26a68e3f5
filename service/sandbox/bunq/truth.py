"""What an ERP has to know about a request inquiry in the end, straight from the ledger.

Independent of the provider's words and of the product's code. Source: STATUSES.md, sections 1
and 2 (column "bunq request inquiry").
"""

from collections.abc import Mapping
from enum import StrEnum

from service.sandbox.bunq.happenings import What, answer_in
from service.sandbox.ledger import PaymentRequest, total
from service.sandbox.truth import Truth, truth_about

WITHOUT_MONEY: Mapping[StrEnum, str] = {
    What.REJECTED: "rejected",
    What.REVOKED: "cancelled",
    What.EXPIRED: "expired",
}


def truth_of(request: PaymentRequest, *, account: str) -> Truth:
    """Return the canonical outcome of a request inquiry.

    Money that comes is on the account at once. Money paid out without the reference cannot be
    known to belong to the request: it does not count.
    """
    received = total(request.entries, What.RECEIVED) + request.unseen
    refunded = total(request.entries, What.REFUNDED)
    status = _status(request, received, refunded)
    return truth_about(
        request,
        account,
        status=status,
        final=status != "open",
        received=received,
        refunded=refunded,
        booked=received,
    )


def _status(request: PaymentRequest, received: int, refunded: int) -> str:
    if received and refunded >= received:
        return "reversed"
    if received >= request.amount:
        return "settled"
    if received:
        return "part_paid"
    answer = answer_in(request.entries)
    return WITHOUT_MONEY[answer.what] if answer else "open"
