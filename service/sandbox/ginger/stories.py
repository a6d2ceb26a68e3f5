"""What payers, banks and merchants do to Ginger orders."""

from datetime import datetime
from uuid import uuid4

from service.sandbox.ginger.happenings import (
    BANK_TRANSFER,
    MOVEMENT_OF,
    UNRESOLVED,
    What,
    news_of_attempt,
    open_returns,
    refundable,
    reserved,
)
from service.sandbox.ginger.links import LinkWhat, attempted, link_ends, on_attempt, on_winner
from service.sandbox.ledger import Entry, PaymentRequest, total
from service.sandbox.story import Beat, Share, Story, part, rest, whole

Acts = tuple[Beat, ...]

PAYMENT_LINK = "payment_link"
# A story of this kind is about another project's order, which the same key opens.
FOREIGN_PROJECT = "foreign_project"
# A story of this kind is captured by the platform itself.
DELAYED = "delayed"

DESCRIPTIONS = {
    What.REFUND_OPENED: "Refunded",
    What.CHARGEBACK_OPENED: "Charged back",
    What.REVERSAL_OPENED: "Reversed",
}


def offer(method: str, share: Share = whole) -> Beat:
    """The payer is offered a payment method: a new transaction."""

    def act(order: PaymentRequest, at: datetime) -> None:
        amount = share(order.amount)
        order.record(What.OFFERED, at=at, subject=str(uuid4()), amount=amount, note=method)

    return Beat(act)


def attempt_news(what: What, *, method: str = "", pauses: int = 1) -> Beat:
    """Something happens to the oldest unresolved attempt, of this method if one is named.

    With none unresolved it happens to the newest attempt. Arriving money comes in full.
    """

    def act(order: PaymentRequest, at: datetime) -> None:
        offers = [
            entry
            for entry in order.entries
            if entry.what is What.OFFERED and method in ("", entry.note)
        ]
        attempt = next((offer for offer in offers if _is_unresolved(order, offer)), offers[-1])
        brings_money = what in (What.RECEIVED, What.AUTHORISED)
        amount = attempt.amount if brings_money else 0
        order.record(what, at=at, subject=attempt.subject, amount=amount)

    return Beat(act, pauses)


def order_ends(what: What) -> Beat:
    """The whole order is cancelled or expires."""
    return Beat(lambda order, at: _record(order, what, at))


def release(what: What, share: Share = whole) -> Beat:
    """Capture, void or let lapse a share of what is still reserved, if anything is."""

    def act(order: PaymentRequest, at: datetime) -> None:
        if not reserved(order.entries):
            return
        subject = next(e.subject for e in order.entries if e.what is What.AUTHORISED)
        order.record(what, at=at, subject=subject, amount=share(reserved(order.entries)))

    return Beat(act)


def give_back(opening: What, share: Share = whole, *, outcome: What | None = None) -> Acts:
    """Open a counter order; one beat later it is completed, or has the outcome named."""
    return (_open_return(opening, share), close_return(opening, outcome))


def _open_return(opening: What, share: Share) -> Beat:
    """Open a counter order for what is there to give or take back, if anything is.

    The payer's bank may take back what was refunded already, but nothing twice.
    """

    def act(order: PaymentRequest, at: datetime) -> None:
        if opening is What.REFUND_OPENED:
            left = refundable(order.entries)
        else:
            taken = total(order.entries, What.CHARGEBACK_OPENED, What.REVERSAL_OPENED)
            left = total(order.entries, What.RECEIVED, What.CAPTURED) - taken
        amount = min(share(order.amount), left)
        if amount > 0:
            subject, note = str(uuid4()), DESCRIPTIONS[opening]
            order.record(opening, at=at, subject=subject, amount=amount, note=note)

    return Beat(act)


def close_return(opening: What, outcome: What | None = None) -> Beat:
    """The oldest counter order of a kind that is still open is completed, or fails."""
    movement = MOVEMENT_OF[opening]

    def act(order: PaymentRequest, at: datetime) -> None:
        waiting = open_returns(order.entries, movement)
        if waiting:
            what = outcome or movement
            amount = 0 if what is What.RETURN_FAILED else waiting[0].amount
            order.record(what, at=at, subject=waiting[0].subject, amount=amount)

    return Beat(act)


def _is_unresolved(order: PaymentRequest, offered: Entry) -> bool:
    return news_of_attempt(order.entries, offered.subject)[-1].what in UNRESOLVED


def _record(order: PaymentRequest, what: What, at: datetime) -> None:
    order.record(what, at=at)


AT_BANK = attempt_news(What.AT_BANK)
EXECUTING = attempt_news(What.EXECUTING)
FAILED = attempt_news(What.FAILED)
RECEIVED = attempt_news(What.RECEIVED)
PAID = (offer("ideal"), AT_BANK, RECEIVED)
UNPAID = (offer("ideal"), AT_BANK)
RESERVED = (offer("credit-card"), AT_BANK, attempt_news(What.AUTHORISED))
EXPIRED = (offer("ideal"), order_ends(What.EXPIRED))
SPLIT = (offer("ideal", part), offer(BANK_TRANSFER, rest), AT_BANK, RECEIVED)

REFUNDED = give_back(What.REFUND_OPENED)
PART_REFUNDED = give_back(What.REFUND_OPENED, part)
CHARGED_BACK = give_back(What.CHARGEBACK_OPENED)

LINK_UNPAID = (attempted(), on_attempt(offer("ideal")), on_attempt(AT_BANK))
LINK_PAID = (*LINK_UNPAID, on_attempt(RECEIVED))
LINK_FAILED = (*LINK_UNPAID, on_attempt(FAILED))
TWO_TABS = (*LINK_UNPAID, attempted(), on_attempt(offer("credit-card")), on_attempt(AT_BANK))


def link(*opening: Beat, ending: Acts = ()) -> Story:
    """Return a story about a payment link; its ending happens to the attempt that was paid."""
    return Story(opening, tuple(on_winner(beat) for beat in ending), kind=PAYMENT_LINK)


LINK_STORIES = {
    "link_created": link(),
    "link_processing": link(*LINK_UNPAID),
    "link_paid": link(*LINK_PAID),
    "link_unsuccessful": link(*LINK_FAILED),
    "link_error_then_paid": link(*LINK_FAILED, *LINK_PAID),
    "link_late_error": link(*TWO_TABS, on_attempt(RECEIVED), on_attempt(FAILED, back=2)),
    "link_paid_while_tab_open": link(*TWO_TABS, on_attempt(RECEIVED)),
    "link_paid_twice": link(*TWO_TABS, on_attempt(RECEIVED), on_attempt(RECEIVED, back=2)),
    "link_cancelled": link(*LINK_FAILED, link_ends(LinkWhat.CANCELLED)),
    "link_expired": link(*LINK_UNPAID[:2], link_ends(LinkWhat.EXPIRED)),
    "link_late_money": link(*LINK_UNPAID, link_ends(LinkWhat.EXPIRED), on_attempt(RECEIVED)),
    "link_refund": link(*LINK_PAID, ending=REFUNDED),
    "link_part_refund": link(*LINK_PAID, ending=PART_REFUNDED),
    "link_chargeback": link(*LINK_PAID, ending=CHARGED_BACK),
    "link_one_of_two_refunded": link(
        *TWO_TABS, on_attempt(RECEIVED), on_attempt(RECEIVED, back=2), ending=REFUNDED
    ),
}

ORDER_STORIES: dict[str, Story] = {
    "created": Story(()),
    "open": Story((offer("ideal"),)),
    "authorising": Story(UNPAID),
    "processing": Story((*UNPAID, EXECUTING)),
    "paid": Story(PAID),
    "paid_slowly": Story((*UNPAID, EXECUTING, attempt_news(What.RECEIVED, pauses=5))),
    "failed": Story((*UNPAID, FAILED)),
    "error": Story((*UNPAID, FAILED)),
    "declined": Story((*UNPAID, attempt_news(What.DECLINED))),
    "error_then_paid": Story((*UNPAID, FAILED, offer("credit-card"), AT_BANK, RECEIVED)),
    "expired": Story(EXPIRED),
    "error_then_expired": Story((*UNPAID, FAILED, order_ends(What.EXPIRED))),
    "cancelled": Story((*UNPAID, order_ends(What.CANCELLED))),
    "late_money": Story(EXPIRED, (RECEIVED,)),
    "cancelled_then_paid": Story((*UNPAID, order_ends(What.CANCELLED), RECEIVED)),
    "bank_transfer": Story((offer(BANK_TRANSFER), AT_BANK, attempt_news(What.RECEIVED, pauses=2))),
    "bank_transfer_awaited": Story((offer(BANK_TRANSFER), AT_BANK)),
    "two_transactions": Story(
        (
            offer("ideal"),
            offer("credit-card"),
            attempt_news(What.AT_BANK, method="credit-card"),
            attempt_news(What.RECEIVED, method="credit-card"),
        )
    ),
    "split": Story((*SPLIT, AT_BANK, RECEIVED)),
    "split_awaited": Story((*SPLIT, AT_BANK)),
    "part_paid": Story((*SPLIT, AT_BANK, order_ends(What.EXPIRED))),
    "overpaid": Story((*PAID, offer("credit-card"), AT_BANK, RECEIVED)),
    "refund": Story(PAID, REFUNDED),
    "part_refund": Story(PAID, PART_REFUNDED),
    "two_refunds": Story(PAID, (*PART_REFUNDED, *give_back(What.REFUND_OPENED, rest))),
    "silent_refund": Story(PAID, REFUNDED, tells_returns=False),
    "failed_refund": Story(PAID, give_back(What.REFUND_OPENED, outcome=What.RETURN_FAILED)),
    "chargeback": Story(PAID, CHARGED_BACK),
    "silent_chargeback": Story(PAID, CHARGED_BACK, tells_returns=False),
    "reversal": Story(PAID, give_back(What.REVERSAL_OPENED)),
    "refund_then_chargeback": Story(PAID, (*PART_REFUNDED, *CHARGED_BACK)),
    "accepted": Story(RESERVED),
    "authorised_only": Story(RESERVED),
    "captured": Story(RESERVED, (release(What.CAPTURED),)),
    "captured_at_expiry": Story(RESERVED, (release(What.CAPTURED),), kind=DELAYED),
    "captured_then_refunded": Story(RESERVED, (release(What.CAPTURED), *PART_REFUNDED)),
    "part_captured": Story(RESERVED, (release(What.CAPTURED, part),)),
    "part_captured_rest_voided": Story(
        RESERVED, (release(What.CAPTURED, part), release(What.VOIDED))
    ),
    "voided": Story(RESERVED, (release(What.VOIDED),)),
    "stale_read": Story(PAID, stale_ms=1500),
    "lapsed": Story(RESERVED, (release(What.LAPSED),)),
    "foreign_project": Story(PAID, kind=FOREIGN_PROJECT),
}

STORIES = ORDER_STORIES | LINK_STORIES

# Stories whose order authorises first and is captured later.
CAPTURED_LATER = frozenset(story for story in STORIES.values() if story.opening[-3:] == RESERVED)
