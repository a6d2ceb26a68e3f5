"""What really happened to an order: movements of money, and facts about people and time.

The ledger is append-only and knows no provider's words; ginger_words derives those from it, and
truth says what an ERP has to end up with. A prefix of the entries is an older picture of the
order, which is how stale reads are made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import uuid4

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


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger; amount is in minor units of the order's currency.

    subject is the attempt or the return that the entry is about, empty for the whole order.
    """

    what: What
    at: datetime
    id: str
    subject: str
    amount: int
    note: str


@dataclass(slots=True)
class Order:
    """An order and its ledger. as_created holds what the provider merely repeats on reads.

    unseen is money that came and that the provider never shows: a defect to plant.
    """

    id: str
    amount: int
    currency: str
    created_at: datetime
    as_created: dict[str, object]
    entries: list[Entry] = field(default_factory=list)
    unseen: int = 0

    @property
    def reference(self) -> str | None:
        """The merchant's own reference, None when the order was created without one."""
        reference = self.as_created.get("merchant_order_id")
        return reference if isinstance(reference, str) else None

    @property
    def has_money(self) -> bool:
        """Whether money ever arrived or was reserved."""
        return any(entry.what in ARRIVALS for entry in self.entries)

    def record(
        self, what: What, *, at: datetime, subject: str = "", amount: int = 0, note: str = ""
    ) -> Entry:
        """Append an entry; its time is at, moved on if needed so that times only ever grow."""
        newest = self.entries[-1].at if self.entries else self.created_at
        moment = max(at, newest + timedelta(microseconds=1))
        entry = Entry(what, moment, str(uuid4()), subject, amount, note)
        self.entries.append(entry)
        return entry

    def entries_until(self, moment: datetime) -> Sequence[Entry]:
        """Return the order's picture as of moment."""
        return [entry for entry in self.entries if entry.at <= moment]


def total(entries: Iterable[Entry], *movements: What) -> int:
    """Return the sum of the named movements, in minor units."""
    return sum(entry.amount for entry in entries if entry.what in movements)


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
