"""What payers, banks and merchants do to Ginger orders."""

from datetime import datetime
from uuid import uuid4

from service.sandbox.ginger.happenings import (
    BANK_TRANSFER,
    UNRESOLVED,
    What,
    news_of_attempt,
    reserved,
)
from service.sandbox.ginger.links import LinkWhat, attempted, link_ends, on_attempt
from service.sandbox.ledger import Entry, PaymentRequest, total
from service.sandbox.story import Beat, Share, Story, part, rest, whole


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


def give_back(movement: What, share: Share = whole) -> tuple[Beat, ...]:
    """Open a counter order and complete it one beat later; nothing without received money."""
    return (_open_return(movement, share), _close_return(movement))


def _open_return(movement: What, share: Share) -> Beat:
    def act(order: PaymentRequest, at: datetime) -> None:
        if not total(order.entries, What.RECEIVED, What.CAPTURED):
            return
        amount = share(order.amount)
        subject = str(uuid4())
        order.record(What.RETURN_OPENED, at=at, subject=subject, amount=amount, note=movement.value)

    return Beat(act)


def _close_return(outcome: What) -> Beat:
    def act(order: PaymentRequest, at: datetime) -> None:
        returns = [entry for entry in order.entries if entry.what is What.RETURN_OPENED]
        if not returns:
            return
        opened = returns[-1]
        amount = 0 if outcome is What.RETURN_FAILED else opened.amount
        order.record(outcome, at=at, subject=opened.subject, amount=amount)

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

LINK_PAID = (
    attempted(),
    on_attempt(0, offer("ideal")),
    on_attempt(0, AT_BANK),
    on_attempt(0, RECEIVED),
)
LINK_FAILED = (*LINK_PAID[:3], on_attempt(0, FAILED))
TWO_TABS = (
    *LINK_PAID[:3],
    attempted(),
    on_attempt(1, offer("credit-card")),
    on_attempt(1, AT_BANK),
)


def link(*opening: Beat, ending: tuple[Beat, ...] = ()) -> Story:
    """Return a story about a payment link; its ending happens to the first attempt."""
    return Story(opening, tuple(on_attempt(0, beat) for beat in ending), kind="payment_link")


LINK_STORIES = {
    "link_created": link(),
    "link_processing": link(*LINK_PAID[:3]),
    "link_paid": link(*LINK_PAID),
    "link_unsuccessful": link(*LINK_FAILED),
    "link_error_then_paid": link(
        *LINK_FAILED, attempted(), *(on_attempt(1, beat) for beat in PAID)
    ),
    "link_late_error": link(*TWO_TABS, on_attempt(1, RECEIVED), on_attempt(0, FAILED)),
    "link_paid_while_tab_open": link(*TWO_TABS, on_attempt(1, RECEIVED)),
    "link_paid_twice": link(*TWO_TABS, on_attempt(0, RECEIVED), on_attempt(1, RECEIVED)),
    "link_cancelled": link(*LINK_FAILED, link_ends(LinkWhat.CANCELLED)),
    "link_expired": link(*LINK_PAID[:2], link_ends(LinkWhat.EXPIRED)),
    "link_late_money": link(*LINK_PAID[:3], link_ends(LinkWhat.EXPIRED), on_attempt(0, RECEIVED)),
    "link_refund": link(*LINK_PAID, ending=give_back(What.REFUNDED)),
    "link_part_refund": link(*LINK_PAID, ending=give_back(What.REFUNDED, part)),
    "link_chargeback": link(*LINK_PAID, ending=give_back(What.CHARGED_BACK)),
}

ORDER_STORIES: dict[str, Story] = {
    "created": Story(()),
    "open": Story((offer("ideal"),)),
    "authorising": Story(UNPAID),
    "processing": Story((*UNPAID, EXECUTING)),
    "paid": Story(PAID),
    "paid_slowly": Story((*UNPAID, EXECUTING, attempt_news(What.RECEIVED, pauses=5))),
    "error": Story((*UNPAID, FAILED)),
    "error_then_paid": Story((*UNPAID, FAILED, offer("credit-card"), AT_BANK, RECEIVED)),
    "expired": Story(EXPIRED),
    "error_then_expired": Story((*UNPAID, FAILED, order_ends(What.EXPIRED))),
    "cancelled": Story((*UNPAID, order_ends(What.CANCELLED))),
    "late_money": Story(EXPIRED, (RECEIVED,)),
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
    "refund": Story(PAID, give_back(What.REFUNDED)),
    "part_refund": Story(PAID, give_back(What.REFUNDED, part)),
    "two_refunds": Story(PAID, (*give_back(What.REFUNDED, part), *give_back(What.REFUNDED, rest))),
    "silent_refund": Story(PAID, give_back(What.REFUNDED), tells_returns=False),
    "failed_refund": Story(
        PAID, (_open_return(What.REFUNDED, whole), _close_return(What.RETURN_FAILED))
    ),
    "chargeback": Story(PAID, give_back(What.CHARGED_BACK)),
    "silent_chargeback": Story(PAID, give_back(What.CHARGED_BACK), tells_returns=False),
    "reversal": Story(PAID, give_back(What.REVERSED)),
    "refund_then_chargeback": Story(
        PAID, (*give_back(What.REFUNDED, part), *give_back(What.CHARGED_BACK))
    ),
    "authorised_only": Story(RESERVED),
    "captured": Story(RESERVED, (release(What.CAPTURED),)),
    "part_captured": Story(RESERVED, (release(What.CAPTURED, part),)),
    "part_captured_rest_voided": Story(
        RESERVED, (release(What.CAPTURED, part), release(What.VOIDED))
    ),
    "voided": Story(RESERVED, (release(What.VOIDED),)),
    "stale_read": Story(PAID, stale_ms=1500),
    "lapsed": Story(RESERVED, (release(What.LAPSED),)),
}

STORIES = ORDER_STORIES | LINK_STORIES

# Stories whose order authorises first and is captured by hand.
CAPTURED_BY_HAND = frozenset(story for story in STORIES.values() if story.opening[-3:] == RESERVED)
