"""What really happened to a request: movements of money, and facts about people and time.

A ledger is append-only and knows no provider's words: each twin has its own list of what may
happen and derives its words from the entries; its truth says what an ERP has to end up with. A
prefix of the entries is an older picture of the request, which is how stale reads are made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import uuid4

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a ledger; amount is in minor units of the request's currency.

    what is one of the twin's own list. subject is the part of the request that the entry is about
    (an attempt, a payment, a refund), empty for the whole of it.
    """

    what: StrEnum
    at: datetime
    id: str
    subject: str
    amount: int
    note: str


@dataclass(slots=True)
class PaymentRequest:
    """Something that a payer is asked with (or, outgoing, an order to pay), and its ledger.

    id is the provider's, kind the product's word for it, reference the merchant's own. as_created
    holds what the provider merely repeats on reads. lag_ms is how far reads are behind. unseen is
    money that came and that the provider never shows: a defect to plant.
    """

    id: str
    kind: str
    amount: int
    currency: str
    created_at: datetime
    reference: str | None = None
    as_created: Json = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    lag_ms: int = 0
    unseen: int = 0

    def record(
        self, what: StrEnum, *, at: datetime, subject: str = "", amount: int = 0, note: str = ""
    ) -> Entry:
        """Append an entry; its time is at, moved on if needed so that times only ever grow."""
        newest = self.entries[-1].at if self.entries else self.created_at
        moment = max(at, newest + timedelta(microseconds=1))
        entry = Entry(what, moment, str(uuid4()), subject, amount, note)
        self.entries.append(entry)
        return entry

    def seen_at(self, moment: datetime) -> Sequence[Entry]:
        """Return the picture that a read at that moment shows."""
        if not self.lag_ms:
            return self.entries
        return self.entries_until(moment - timedelta(milliseconds=self.lag_ms))

    def entries_until(self, moment: datetime) -> Sequence[Entry]:
        """Return the request's picture as of moment."""
        return [entry for entry in self.entries if entry.at <= moment]


def total(entries: Iterable[Entry], *movements: StrEnum) -> int:
    """Return the sum of the named movements, in minor units."""
    return sum(entry.amount for entry in entries if entry.what in movements)
