"""What may happen to an ING payment request: payments, and its end."""

from collections.abc import Sequence
from enum import StrEnum

from service.sandbox.ledger import Entry


class What(StrEnum):
    """What an entry says; subject is the payment's transaction id."""

    # Facts: they move no money.
    SHOWN = "shown"  # a payment whose entry says HIDDEN is listed from now on
    EXPIRED = "expired"
    CLOSED = "closed"
    # Movements of money.
    PAID = "paid"


# The note of a payment that counts before the list of payments shows it.
HIDDEN = "hidden"


def payments_in(entries: Sequence[Entry]) -> list[Entry]:
    """Return the payments that the list shows."""
    shown = {entry.subject for entry in entries if entry.what is What.SHOWN}
    return [
        entry
        for entry in entries
        if entry.what is What.PAID and (entry.note != HIDDEN or entry.subject in shown)
    ]
