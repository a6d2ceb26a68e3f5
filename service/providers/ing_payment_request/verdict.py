"""What a payment request and its payments come to: money is told by the payments alone."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from service.domain.money import Money
from service.domain.request import Facts
from service.domain.status import Status
from service.errors import Unreadable
from service.providers.ing_payment_request.shapes import (
    CURRENCY,
    Payment,
    PaymentRequest,
    moment_of,
)

# No request carries more or lives longer, by the product page: 35 days, to the end of the last.
# The specification allows more. Source: section 1, fact 7.
LIMIT: Final = Money(500_000, CURRENCY)
LIFE_MAX: Final = timedelta(days=36)

# After these words no more payments come, but those under way. Source: section 6.1.
NO_MORE: Final = frozenset({"fulfilled", "closed", "expired"})
MONEY_STATUSES: Final = frozenset({Status.PART_PAID, Status.PAID, Status.SETTLED, Status.REVERSED})
PAID_STATUSES: Final = frozenset({Status.PAID, Status.SETTLED})
ENDED_WITHOUT_MONEY: Final = frozenset(
    {Status.REJECTED, Status.FAILED, Status.CANCELLED, Status.EXPIRED}
)


def facts_of(
    request: PaymentRequest, said: Status, received: int, *, paid_is_settled: bool
) -> Facts:
    """Return the facts of a request of which received cents are paid.

    said is what its word means by itself. With paid_is_settled money is on the payee's account
    as soon as it is paid.
    """
    status = status_of(request, said, received)
    if status is Status.PAID and paid_is_settled:
        status = Status.SETTLED
    is_last_part = status is Status.PART_PAID and request.status in NO_MORE
    return Facts(
        status=status,
        final=is_last_part or status in PAID_STATUSES | ENDED_WITHOUT_MONEY,
        currency=CURRENCY,
        amount=request.asked,
        received=received,
        refunded=0,  # refunds are not part of this API
        taken_back=0,
        booked=received if paid_is_settled else 0,
        provider_status=request.status,
    )


def status_of(request: PaymentRequest, said: Status, received: int) -> Status:
    """Say what a request is at: its word decides only while nothing is paid. Source: section 6.3.

    Where the amount is left to the payers, "paid" can only mean that a maximum was reached.
    """
    if not received:
        return Status.PROCESSING if said in MONEY_STATUSES else said
    asked = request.asked
    is_enough = request.status == "fulfilled" if asked is None else received >= asked
    return Status.PAID if is_enough else Status.PART_PAID


def total_of(payments: Sequence[Payment]) -> int:
    """Add up distinct payments, in cents. Raises Unreadable where one has two amounts."""
    cents: dict[str, int] = {}
    for payment in payments:
        if cents.setdefault(payment.transaction_id, payment.amount.cents) != payment.amount.cents:
            raise Unreadable("one payment with two amounts")
    return sum(cents.values())


def attention_for(
    request: PaymentRequest, facts: Facts, said: Status, *, known: Facts | None, now: datetime
) -> frozenset[str]:
    """Name what a person should look at; known are the facts recorded before.

    No answer tells when its request was made, so the longest life counts from now: what is over
    it shows at the read that follows a registration.
    """
    promises_money = request.status == "fulfilled" or said in MONEY_STATUSES
    is_over = request.status in NO_MORE
    was_over = known is not None and known.provider_status in NO_MORE
    ends_at = request.ends_at
    conditions = {
        "can_be_paid_again": not is_over and facts.status in PAID_STATUSES and request.is_unlimited,
        "payments_not_visible": promises_money and not facts.received,
        "more_than_asked": facts.amount is not None and facts.received > facts.amount,
        "amount_above_limit": not is_over and (facts.amount or 0) > LIMIT.minor,
        "life_above_limit": not is_over and ends_at is not None and ends_at > now + LIFE_MAX,
        "reopened": was_over and not is_over,
    }
    return frozenset(code for code, applies in conditions.items() if applies)


def occurred_at(
    request: PaymentRequest, payments: Sequence[Payment], facts: Facts
) -> datetime | None:
    """Return when the newest payment was made, else when time ran out."""
    if payments:
        return max(moment_of(payment.executed) for payment in payments)
    return request.ends_at if facts.status is Status.EXPIRED else None
