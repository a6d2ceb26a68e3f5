"""What a billing request, its payment and that payment's past come to.

Once a payment exists it decides. Whether one that failed had brought money before stands only in
its past. Source: STATUSES.md, section 2; fact sheet gocardless, sections 3, 4 and 6.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.domain.request import Facts
from service.domain.status import Status
from service.errors import Unreadable
from service.providers.gocardless.shapes import EventItem, Payment, PaymentPart, moment_in

# The statuses that bring the money, and those in which money that came before is still there.
BRINGS_MONEY: Final = frozenset({Status.PAID, Status.SETTLED})
KEEPS_MONEY: Final = BRINGS_MONEY | {Status.PART_PAID, Status.HELD}
ENDS_BADLY: Final = frozenset({Status.FAILED, Status.REVERSED})
ENDS: Final = frozenset(
    {Status.SETTLED, Status.REJECTED, Status.CANCELLED, Status.EXPIRED, Status.REVERSED}
)
# Actions of payments by which money comes and goes. Source: section 5.2.
COMES: Final = frozenset({"confirmed", "paid_out", "chargeback_cancelled"})
GOES: Final = frozenset({"failed", "charged_back"})
# Payment failures and charge-backs name a stable key. Source: section 5, `details.cause`.
_CAUSE = re.compile(r"[a-z0-9_]{1,100}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Past:
    """When money last came, was paid out and went, None where no event shows it, and why it went.

    will_retry is None where the provider does not say.
    """

    came_at: datetime | None = None
    paid_out_at: datetime | None = None
    went_at: datetime | None = None
    will_retry: bool | None = None
    cause: str | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the newest of these events is one by which money goes."""
        return self.went_at is not None and (self.came_at is None or self.went_at >= self.came_at)

    @property
    def came_again(self) -> bool:
        """Whether it went after it had been paid out, and is back without being paid out again."""
        is_behind = self.went_at and (self.paid_out_at is None or self.went_at > self.paid_out_at)
        return bool(is_behind) and not self.is_gone


def needs_past(status: Status, known: Facts | None) -> bool:
    """Return whether only a payment's events tell what its word means.

    So it is for an ending, and where the word and our record do not follow each other by
    themselves: then one of them may be a picture older than the other.
    """
    if status in ENDS_BADLY or known is None:
        return status in ENDS_BADLY
    lacks_payout = status is Status.PAID and known.booked > 0
    lacks_money = status not in KEEPS_MONEY and known.received > 0
    return known.taken_back > 0 or lacks_payout or lacks_money or is_retried(status, known)


def is_retried(status: Status, known: Facts | None) -> bool:
    """Return whether a payment that had failed reads otherwise: only a retry brings that about.

    It may come by itself or from the payee, after a failure for good as well.
    Source: STATUSES.md, section 2, point 3.
    """
    return known is not None and known.status is Status.FAILED and status is not Status.FAILED


def past_of(events: Sequence[EventItem], payment_id: str) -> Past:
    """Read the events of a payment in any order. Raises Unreadable for one without a time."""
    own = [
        event
        for event in events
        if event.resource_type == "payments" and event.links.payment == payment_id
    ]
    came_at = _newest_of(own, COMES)
    paid_out_at = _newest_of(own, {"paid_out"})
    goings = [event for event in own if event.action in GOES]
    if not goings:
        return Past(came_at, paid_out_at)
    newest = max(goings, key=_moment_of)
    cause, will_retry = newest.detail("cause"), newest.detail("will_attempt_retry")
    return Past(
        came_at,
        paid_out_at,
        went_at=_moment_of(newest),
        will_retry=will_retry if isinstance(will_retry, bool) else None,
        cause=cause if isinstance(cause, str) and _CAUSE.fullmatch(cause) else None,
    )


def without_payment(part: PaymentPart, word: str, status: Status) -> Facts:
    """Return the facts of a billing request that has led to no payment, or none to be seen yet."""
    return Facts(
        status,
        final=status in ENDS,
        currency=part.currency,
        amount=part.amount,
        received=0,
        refunded=0,
        taken_back=0,
        booked=0,
        provider_status=word,
    )


def with_payment(
    part: PaymentPart, payment: Payment, status: Status, past: Past, known: Facts | None
) -> Facts:
    """Return the facts of a billing request by its payment.

    status is what the payment's word says by itself. Money that was ever confirmed stays
    received; while the payment is failed, charged back or under way again it is taken back.
    Booked is all of a payment that was paid out: what was taken back since counts in taken_back
    alone, and one that came again is booked with its next payout. Raises Unreadable for a payment
    in another currency, and for an answer that its events or our record show to be older.
    """
    if payment.currency != part.currency:
        raise Unreadable("a payment in another currency than was asked")
    if _is_older(status, past, known):
        raise Unreadable("an older picture of the payment")
    asked = payment.amount if part.amount is None else part.amount
    received = payment.amount if _was_collected(payment, status, past, known) else 0
    taken_back = 0 if status in KEEPS_MONEY else received
    if taken_back:
        canonical = Status.REVERSED
    elif status in BRINGS_MONEY and received < asked:
        canonical = Status.PART_PAID
    else:
        canonical = status
    return Facts(
        canonical,
        final=canonical in ENDS or (canonical is Status.FAILED and _is_over(payment, past)),
        currency=payment.currency,
        amount=asked,
        received=received,
        refunded=payment.amount_refunded + taken_back,
        taken_back=taken_back,
        booked=received if _was_paid_out(status, past, known) else 0,
        provider_status=payment.status,
        reason=None if status in KEEPS_MONEY else past.cause,
    )


def _is_older(status: Status, past: Past, known: Facts | None) -> bool:
    """Return whether the answer is from before what we know: replicas lag, no answer has a version.

    What comes after an ending, or ends after all, shows in the events, and no payment loses its
    payout but by being taken back; once that is cancelled it may read confirmed, as the target is
    not documented (section 4). A status before all money needs no rule here: the money that is
    missing in it is what refuses it later on.
    """
    if status in ENDS_BADLY:
        return past.went_at is not None and not past.is_gone
    if status in BRINGS_MONEY and known is not None and known.taken_back > 0:
        return past.is_gone
    return status is Status.PAID and known is not None and known.booked > 0 and not past.came_again


def _was_collected(payment: Payment, status: Status, past: Past, known: Facts | None) -> bool:
    """Return whether a payment ever brought money: now, by what it shows, or by our own record.

    Our record of money that nobody took back is no proof for a payment under way: only events
    tell a retry after a late failure from an older picture.
    """
    had_money = known is not None and known.received > 0
    if status in BRINGS_MONEY or status is Status.REVERSED or payment.was_collected:
        return True  # only what was collected can be charged back
    if status in KEEPS_MONEY:
        return had_money
    has_come = had_money or past.came_at is not None
    is_taken_back = past.is_gone or (known is not None and known.taken_back > 0)
    return has_come and (is_taken_back or status is Status.FAILED)


def _was_paid_out(status: Status, past: Past, known: Facts | None) -> bool:
    """Return whether the money that came last was paid out, by its word, events or our record."""
    if status in KEEPS_MONEY:
        return status is Status.SETTLED
    return past.paid_out_at is not None or (known is not None and known.booked > 0)


def _is_over(payment: Payment, past: Past) -> bool:
    """Return whether a failed payment stays failed: only where the provider says so.

    Its newest failure does. Where that is silent, the payment's own wish for retries counts; while
    none is to be seen yet, as events come after the change, nothing is over.
    """
    if past.went_at is None:
        return False
    will_retry = payment.retry_if_possible if past.will_retry is None else past.will_retry
    return will_retry is False


def _newest_of(events: Sequence[EventItem], actions: Collection[str]) -> datetime | None:
    return max((_moment_of(event) for event in events if event.action in actions), default=None)


def _moment_of(event: EventItem) -> datetime:
    moment = moment_in(event.created_at)
    if moment is None:
        raise Unreadable("an event without a time")
    return moment
