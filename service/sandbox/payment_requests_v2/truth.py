"""What an ERP has to know about a payment order in the end, straight from the ledger.

Source: STATUSES.md, sections 1 and 2 (column "payment_requests_v2", and point 6).
"""

from service.sandbox.ledger import total
from service.sandbox.payment_requests_v2.happenings import ENDS, What, newest_of, news_of
from service.sandbox.payment_requests_v2.orders import PaymentOrder
from service.sandbox.truth import Truth, truth_about

# Of transfers without money: the refusal that says most, the step that is furthest behind.
REFUSED = {What.FAILED: "failed", What.REJECTED: "rejected", What.CANCELLED: "cancelled"}
UNDER_WAY = {
    None: "created",
    What.QUEUED: "authorising",
    What.APPROVED: "accepted",
    What.EXECUTING: "processing",
}


def truth_of(order: PaymentOrder, *, account: str) -> Truth:
    """Return the canonical outcome; amounts are of the transfers in the order's currency.

    A return is a failure after all was done, and nobody of ours wished it: it counts as taken
    back, and it is not on the payee's account any more.
    """
    own = {key for key, each in order.transfers.items() if each.currency == order.currency}
    entries = [entry for entry in order.entries if entry.subject in own]
    received = total(entries, What.SENT) + order.unseen
    refunded = total(entries, What.RETURNED)
    arrived = [key for key in own if newest_of(order.entries, key) is What.BOOKED]
    status, final = _standing(order, received, refunded)
    return truth_about(
        order,
        account,
        status=status,
        final=final,
        received=received,
        refunded=refunded,
        taken_back=refunded,
        booked=sum(order.transfers[key].amount for key in arrived),
        direction="out",
    )


def _standing(order: PaymentOrder, received: int, refunded: int) -> tuple[str, bool]:
    """Return the status and whether only news about money can still change it."""
    if received and refunded >= received:
        return "reversed", True
    newest = [newest_of(order.entries, key) for key in order.transfers]
    were_sent = [What.SENT in news_of(order.entries, key) for key in order.transfers]
    is_over = all(what in ENDS for what in newest)
    if all(what is What.BOOKED for what in newest):
        return "settled", True
    if all(were_sent):
        return "paid", is_over
    if received or any(were_sent):
        return "part_paid", is_over
    if is_over:
        return next(status for what, status in REFUSED.items() if what in newest), True
    return next(status for what, status in UNDER_WAY.items() if what in newest), False
