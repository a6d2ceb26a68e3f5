"""What a request inquiry comes to, together with the payments that gave its money back.

Source: fact sheet bunq, section 2 (status); STATUSES.md, section 2, point 5.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.domain.request import Facts
from service.domain.status import RANK, Status
from service.errors import Unreadable
from service.providers.bunq.shapes import Inquiry, Payment

MONEY_STATUSES: Final = frozenset({Status.PART_PAID, Status.PAID, Status.SETTLED})


@dataclass(frozen=True, slots=True)
class Refunds:
    """What was given back, in minor units, and when last; complete when all of it was seen.

    payment_seen is whether the money that came in was among the payments, None where nobody looked.
    """

    refunded: int = 0
    last_at: datetime | None = None
    complete: bool = True
    payment_seen: bool | None = None


def asked_of(inquiry: Inquiry) -> int:
    """Return what was asked for, in minor units. Raises Unreadable."""
    asked = inquiry.amount_inquired.minor
    if asked <= 0:
        raise Unreadable("asks for nothing")
    return asked


def received_of(inquiry: Inquiry, status: Status) -> int:
    """Return what was paid, in minor units, where status says that something was.

    Raises Unreadable where the answer does not say how much, or says it in another currency.
    """
    if status not in MONEY_STATUSES:
        return 0
    responded = inquiry.amount_responded
    if responded is None or responded.currency != inquiry.amount_inquired.currency:
        raise Unreadable("accepted, but not how much of what was asked")
    if responded.minor <= 0:
        raise Unreadable("accepted without money")
    return responded.minor


def refunds_among(
    payments: Iterable[Payment], inquiry: Inquiry, known: Facts | None, *, complete: bool
) -> Refunds:
    """Add up what left the account with the inquiry's reference since it was paid.

    Where not all payments were seen, it is no less than was known before.
    """
    ours = [one for one in payments if one.merchant_reference == inquiry.merchant_reference]
    back = [payment for payment in ours if gives_back(payment, inquiry)]
    if any(payment.amount.currency != inquiry.amount_inquired.currency for payment in back):
        raise Unreadable("given back in another currency")
    refunded = -sum(payment.amount.minor for payment in back)
    if not complete and known is not None:
        refunded = max(refunded, known.refunded)
    return Refunds(
        refunded,
        max((one.created_at for one in back), default=None),
        complete,
        payment_seen=any(one.amount.minor > 0 for one in ours),
    )


def gives_back(payment: Payment, inquiry: Inquiry) -> bool:
    """Return whether a payment with the inquiry's reference is a refund: money out, once paid."""
    return payment.created_at >= inquiry.paid_after and payment.amount.minor < 0


def facts_of(inquiry: Inquiry, status: Status, refunds: Refunds) -> Facts:
    """Add up. status is what the table, or the account, says of the inquiry's word.

    Nothing is documented to follow an end, so every end is final. Money that was accepted is on
    the account, unless the account says that its word means paid only.
    """
    asked, received = asked_of(inquiry), received_of(inquiry, status)
    verdict = Status.PART_PAID if received and received < asked else status
    return Facts(
        status=verdict,
        final=RANK.get(verdict, 0) >= RANK[Status.PART_PAID],
        currency=inquiry.amount_inquired.currency,
        amount=asked,
        received=received,
        refunded=refunds.refunded,
        taken_back=0,
        booked=received if status is Status.SETTLED else 0,
        provider_status=inquiry.status,
    )


def attention_in(inquiry: Inquiry, facts: Facts, refunds: Refunds) -> frozenset[str]:
    responded = inquiry.amount_responded
    codes = {
        "more_than_asked": facts.received > asked_of(inquiry),
        "money_in_unpaid_request": facts.received == 0 and responded is not None,
        "refund_unreadable": not refunds.complete,
        # That accepted means paid is documented for payers at bunq only. Source: section 2.
        "incoming_payment_not_seen": refunds.complete
        and refunds.payment_seen is False
        and inquiry.bunqme_share_url is not None,
    }
    return frozenset(code for code, applies in codes.items() if applies)


def mark_of(inquiry: Inquiry, status: Status) -> str:
    """Return what a list shows of an inquiry: equal as long as a read comes to the same.

    Refunds are in no list. Raises Unreadable where a read does.
    """
    facts = facts_of(inquiry, status, Refunds())
    amounts = (facts.amount, facts.received, facts.booked)
    attention = attention_in(inquiry, facts, Refunds())
    shown = (facts.status, facts.currency, *amounts, *sorted(attention), facts.provider_status)
    return " ".join(map(str, shown))
