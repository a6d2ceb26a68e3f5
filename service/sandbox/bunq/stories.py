"""What payers, bunq, others and we do to request inquiries."""

from datetime import datetime

from service.sandbox.bunq.happenings import What, answer_in
from service.sandbox.ledger import PaymentRequest, total
from service.sandbox.story import Beat, Share, Story, part, rest, whole

ACCEPTED_EVENT = "REQUEST_INQUIRY_ACCEPTED"


def accept(share: Share = whole, *, event: str = "", pauses: int = 1) -> Beat:
    """The payer accepts, for a share of what is asked; nothing once there is an answer."""

    def act(request: PaymentRequest, at: datetime) -> None:
        if answer_in(request.entries) is None:
            money = share(request.amount)
            request.record(What.RECEIVED, at=at, amount=money, note=event)

    return Beat(act, pauses)


def end(what: What, *, event: str = "") -> Beat:
    """The request ends without money; nothing once there is an answer."""

    def act(request: PaymentRequest, at: datetime) -> None:
        if answer_in(request.entries) is None:
            request.record(what, at=at, note=event)

    return Beat(act)


def pay_out(what: What = What.REFUNDED, share: Share = whole) -> Beat:
    """We give back a share of what was received, and never more than is left of it."""

    def act(request: PaymentRequest, at: datetime) -> None:
        received = total(request.entries, What.RECEIVED)
        left = received - total(request.entries, What.REFUNDED, What.UNMARKED)
        money = min(share(received), left)
        if money > 0:
            request.record(what, at=at, amount=money)

    return Beat(act)


def others(what: What, event: str) -> Beat:
    """Something happens that is none of the request's business."""
    return Beat(lambda request, at: _record(request, what, at, event))


def _record(request: PaymentRequest, what: What, at: datetime, note: str) -> None:
    request.record(what, at=at, note=note)


def more(amount: int) -> int:
    """Return six fifths, some more than asked."""
    return amount + max(1, amount // 5)


PAID = (accept(),)

STORIES: dict[str, Story] = {
    "open": Story(()),
    "paid": Story(PAID),
    "paid_slowly": Story((accept(pauses=5),)),
    "bunqme_open": Story((), kind="bunqme"),
    "bunqme_paid": Story(PAID, kind="bunqme"),
    "part_paid": Story((accept(part),)),
    "overpaid": Story((accept(more),)),
    "expired": Story((end(What.EXPIRED),)),
    "cancelled": Story((end(What.REVOKED),)),
    "rejected": Story((end(What.REJECTED),)),
    "refund": Story(PAID, (pay_out(),)),
    "part_refund": Story(PAID, (pay_out(share=part),)),
    "two_refunds": Story(PAID, (pay_out(share=part), pay_out(share=rest))),
    "part_paid_refund": Story((accept(part),), (pay_out(),)),
    "silent_refund": Story(PAID, (pay_out(),), tells_returns=False),
    "unmarked_refund": Story(PAID, (pay_out(What.UNMARKED),)),
    "stale_read": Story(PAID, stale_ms=1500),
    # Only a read tells the truth. Source: fact sheet bunq, sections 4 (body) and 11.
    "revoked_told_as_accepted": Story((end(What.REVOKED, event=ACCEPTED_EVENT),)),
    "paid_told_as_rejected": Story((accept(event="REQUEST_INQUIRY_REJECTED"),)),
    "paid_told_as_updated": Story((accept(event="REQUEST_INQUIRY_UPDATED"),)),
    "forged_acceptance": Story((others(What.FORGED, ACCEPTED_EVENT),)),
    "request_response": Story(
        (
            others(What.MIRRORED, "REQUEST_RESPONSE_CREATED"),
            others(What.MIRRORED, ACCEPTED_EVENT),
        )
    ),
}
