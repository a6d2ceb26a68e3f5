"""What may happen to a Ginger order: facts about people and time, and movements of money."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from service.sandbox.ledger import Entry, total

BANK_TRANSFER = "bank-transfer"


class What(StrEnum):
    """What an entry says."""

    # Facts: they move no money.
    OFFERED = "offered"  # an attempt exists; note is its payment method
    AT_BANK = "at_bank"  # the payer is at the bank, or a transfer is awaited
    EXECUTING = "executing"
    FAILED = "failed"  # note is why, where more is known than that the issuer said so
    DECLINED = "declined"  # what older brands say for failed
    CANCELLED = "cancelled"  # the whole order
    EXPIRED = "expired"  # the whole order
    REFUND_OPENED = "refund_opened"  # a counter order exists; note describes it
    CHARGEBACK_OPENED = "chargeback_opened"
    REVERSAL_OPENED = "reversal_opened"
    RETURN_FAILED = "return_failed"
    # Movements of money.
    AUTHORISED = "authorised"
    CAPTURED = "captured"
    VOIDED = "voided"
    LAPSED = "lapsed"
    RECEIVED = "received"
    REFUNDED = "refunded"
    CHARGED_BACK = "charged_back"
    REVERSED = "reversed"


UNRESOLVED = frozenset({What.OFFERED, What.AT_BANK, What.EXECUTING})
ARRIVALS = frozenset({What.RECEIVED, What.AUTHORISED})
ENDINGS = frozenset({What.CANCELLED, What.EXPIRED})
FAILURES = frozenset({What.FAILED, What.DECLINED})
ATTEMPT_NEWS = UNRESOLVED | ARRIVALS | FAILURES
RETURNS = frozenset({What.REFUNDED, What.CHARGED_BACK, What.REVERSED})

# What a counter order is going to be, once it is opened.
MOVEMENT_OF: Mapping[StrEnum, What] = {
    What.REFUND_OPENED: What.REFUNDED,
    What.CHARGEBACK_OPENED: What.CHARGED_BACK,
    What.REVERSAL_OPENED: What.REVERSED,
}


def reserved(entries: Sequence[Entry]) -> int:
    """Return what is authorised and still neither captured, voided nor lapsed."""
    released = total(entries, What.CAPTURED, What.VOIDED, What.LAPSED)
    return total(entries, What.AUTHORISED) - released


def refundable(entries: Sequence[Entry]) -> int:
    """Return what is received and neither given back nor about to be."""
    failed = {entry.subject for entry in entries if entry.what is What.RETURN_FAILED}
    opened = (entry for entry in entries if entry.what in MOVEMENT_OF)
    returns = sum(entry.amount for entry in opened if entry.subject not in failed)
    return max(0, total(entries, What.RECEIVED, What.CAPTURED) - returns)


def open_returns(entries: Sequence[Entry], movement: What) -> list[Entry]:
    """Return the counter orders whose outcome is still to come, oldest first."""
    done = {entry.subject for entry in entries if entry.what in RETURNS | {What.RETURN_FAILED}}
    return [
        entry
        for entry in entries
        if MOVEMENT_OF.get(entry.what) is movement and entry.subject not in done
    ]


def news_of_attempt(entries: Iterable[Entry], attempt: str) -> list[Entry]:
    """Return an attempt's own history: the end of the order ends it too while it is unresolved."""
    news: list[Entry] = []
    for entry in entries:
        ended = entry.what in ENDINGS and bool(news) and news[-1].what in UNRESOLVED
        if ended or (entry.subject == attempt and entry.what in ATTEMPT_NEWS):
            news.append(entry)
    return news


def newest_news(entries: Sequence[Entry]) -> list[Entry]:
    """Return where each attempt stands, in the order in which they were offered."""
    offers = [entry.subject for entry in entries if entry.what is What.OFFERED]
    return [news_of_attempt(entries, offer)[-1] for offer in offers]


def has_unresolved_attempt(entries: Sequence[Entry]) -> bool:
    """Return whether an attempt could still bring money."""
    return any(entry.what in UNRESOLVED for entry in newest_news(entries))


def method_of(entries: Iterable[Entry], attempt: str) -> str:
    """Return an attempt's payment method."""
    return next(
        entry.note for entry in entries if entry.what is What.OFFERED and entry.subject == attempt
    )
