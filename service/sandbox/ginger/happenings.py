"""What may happen to a Ginger order: facts about people and time, and movements of money."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from service.sandbox.ledger import Entry, total

BANK_TRANSFER = "bank-transfer"


class What(StrEnum):
    """What an entry says."""

    # Facts: they move no money.
    OFFERED = "offered"  # an attempt exists; note is its payment method
    AT_BANK = "at_bank"  # the payer is at the bank, or a transfer is awaited
    EXECUTING = "executing"
    FAILED = "failed"
    CANCELLED = "cancelled"  # the whole order
    EXPIRED = "expired"  # the whole order
    RETURN_OPENED = "return_opened"  # note is the movement it is going to be
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
ATTEMPT_NEWS = UNRESOLVED | ARRIVALS | {What.FAILED}
RETURNS = frozenset({What.REFUNDED, What.CHARGED_BACK, What.REVERSED})


def reserved(entries: Sequence[Entry]) -> int:
    """Return what is authorised and still neither captured, voided nor lapsed."""
    released = total(entries, What.CAPTURED, What.VOIDED, What.LAPSED)
    return total(entries, What.AUTHORISED) - released


def news_of_attempt(entries: Iterable[Entry], attempt: str) -> list[Entry]:
    """Return an attempt's own history: the end of the order ends it too while it is unresolved."""
    news: list[Entry] = []
    for entry in entries:
        ended = entry.what in ENDINGS and bool(news) and news[-1].what in UNRESOLVED
        if ended or (entry.subject == attempt and entry.what in ATTEMPT_NEWS):
            news.append(entry)
    return news


def has_unresolved_attempt(entries: Sequence[Entry]) -> bool:
    """Return whether an attempt could still bring money."""
    offers = [entry.subject for entry in entries if entry.what is What.OFFERED]
    return any(news_of_attempt(entries, offer)[-1].what in UNRESOLVED for offer in offers)


def method_of(entries: Iterable[Entry], attempt: str) -> str:
    """Return an attempt's payment method."""
    return next(
        entry.note for entry in entries if entry.what is What.OFFERED and entry.subject == attempt
    )
