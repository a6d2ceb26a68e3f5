"""Is an order paid? What its word and its transactions come to.

Source: fact sheet ginger, section 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.domain.status import RANK, Status, words_of
from service.errors import Unreadable
from service.providers.ginger.shapes import AUTHORISED_WORDS, Order, Transaction

# Source: fact sheet ginger, sections 8.1 and 8.2.
WORDS: Final = words_of("ginger", "order")
MONEY_WORDS: Final = frozenset({"completed", "see-transactions"})
UNPAID_WORDS: Final = frozenset({"error", "declined", "cancelled", "expired"})
MOVING_WORDS: Final = frozenset({"new", "pending", "processing", "completed"})
TRANSACTION_WORDS: Final = MOVING_WORDS | AUTHORISED_WORDS | UNPAID_WORDS
MONEY_STATUSES: Final = frozenset({Status.PART_PAID, Status.PAID, Status.SETTLED})
ENDS: Final = frozenset(status for status, rank in RANK.items() if rank > 5) - {Status.FAILED}
AWAITED_METHODS: Final = frozenset({"bank-transfer", "sepa-debit-transfer"})


@dataclass(frozen=True, slots=True)
class Takings:
    """What an order brought, in minor units, and whether it can still bring more."""

    received: int = 0
    capturable: bool = False
    authorised: bool = False
    voided: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an order, or a payment link, comes to; received is in minor units."""

    status: Status
    final: bool
    received: int
    attention: frozenset[str]


def asks_for_money(word: str, override: Status | None) -> bool:
    """Return whether an order's word, or what the account says of it, may stand for money."""
    return word in MONEY_WORDS if override is None else override in MONEY_STATUSES


def unmapped_word(order: Order) -> str | None:
    """Return the first word that decides an order's status and that is not in the table."""
    if order.status == "see-transactions":
        words = [transaction.status for transaction in order.transactions or ()]
        return next((word for word in words if word not in TRANSACTION_WORDS), None)
    return None if order.status in WORDS else order.status


def judge(order: Order, override: Status | None = None) -> Verdict:
    """Say what an order's word and its transactions come to. Source: section 8.4.

    override is the account's own status for the order's word. Raises Unreadable where the
    answer contradicts itself: missing data is no verdict.
    """
    takings = takings_of(order) if asks_for_money(order.status, override) else Takings()
    status = override or _status(order, takings)
    no_more = order.status == "completed" and not takings.capturable
    lapsed = takings.authorised and not takings.voided and status is Status.CANCELLED
    unpaid = takings.received == 0 and order.status not in ("new", "processing")
    attention = {
        "authorisation_lapsed": lapsed,
        "more_than_asked": takings.received > order.amount,
        "declined": order.status == "declined",
        "money_in_unpaid_order": unpaid and bool(order.payments),
    }
    return Verdict(
        status,
        final=status in ENDS or (status is Status.PART_PAID and no_more),
        received=takings.received,
        attention=frozenset(code for code, applies in attention.items() if applies),
    )


def takings_of(order: Order) -> Takings:
    """Add up what was captured, else the completed payments; position in the list means nothing."""
    authorisations, payments, details = order.authorisations, order.payments, order.amount_details
    voided = order.has_flag("has-voids") or any(
        one.is_void and one.status == "completed" for one in order.transactions or ()
    )
    if details and (authorisations or details.captured or details.capturable or details.voided):
        return Takings(
            details.captured,
            capturable=details.capturable > 0,
            authorised=True,
            voided=voided or details.voided > 0,
        )
    received = _sum(payments, order.currency)
    if not authorisations:
        if voided:
            raise Unreadable("a void, but not of which authorisation")
        return Takings(received)
    if not received:
        received = _sum([one for one in authorisations if one.is_fully_captured], order.currency)
    captured = order.has_flag("has-captures") or any(
        one.status == "captured" for one in authorisations
    )
    if captured and not received:
        raise Unreadable("captured, but not how much")
    capturable = any(one.is_capturable is not False for one in authorisations)
    return Takings(received, capturable, authorised=True, voided=voided)


def _sum(transactions: Sequence[Transaction], currency: str) -> int:
    """Add amounts of one currency; an amount in another is not converted but Unreadable."""
    total = 0
    for transaction in transactions:
        if transaction.amount is None or transaction.currency != currency:
            raise Unreadable("a completed transaction without amount or in another currency")
        total += transaction.amount
    return total


def _status(order: Order, takings: Takings) -> Status:
    if takings.received:
        return Status.PAID if takings.received >= order.amount else Status.PART_PAID
    if takings.capturable:
        return Status.ACCEPTED
    match order.status:
        case "completed" if takings.authorised:
            return Status.CANCELLED
        case "completed":
            raise Unreadable("completed without a completed transaction")
        case "new":
            return _motion(order) or (Status.OPEN if order.transactions else Status.CREATED)
        case "processing":
            return _motion(order) or Status.PROCESSING
        case "see-transactions":
            words = {transaction.status for transaction in order.transactions or ()}
            all_failed = words and words <= UNPAID_WORDS
            return _motion(order) or (Status.FAILED if all_failed else Status.OPEN)
        case word:
            return WORDS[word]


def _motion(order: Order) -> Status | None:
    """Return how far the running attempts have come, None when none runs."""
    pending = [one for one in order.credits if one.status == "pending"]
    if any(one.status == "processing" for one in order.credits):
        return Status.PROCESSING
    if any(one.payment_method not in AWAITED_METHODS for one in pending):
        return Status.AUTHORISING
    return Status.OPEN if pending else None
