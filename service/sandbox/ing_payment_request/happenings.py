"""What may happen to an ING payment request: payments, and its end."""

from collections.abc import Sequence
from enum import StrEnum

from service.sandbox.ing_payment_request.terms import Terms
from service.sandbox.ledger import Entry


class What(StrEnum):
    """What an entry says; subject is the payment's transaction id."""

    # Facts: they move no money.
    SHOWN = "shown"  # a payment whose entry says HIDDEN is listed from now on
    EXPIRED = "expired"
    CLOSED = "closed"
    # Movements of money.
    PAID = "paid"


class End(StrEnum):
    """How a request ended."""

    FULFILLED = "fulfilled"
    EXPIRED = "expired"
    CLOSED = "closed"


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


def end_of(terms: Terms, entries: Sequence[Entry]) -> End | None:
    """Return whichever end came first. Payments that come later change nothing.

    A payment counts from when it is made, whether or not the list shows it.
    """
    paid = count = 0
    for entry in entries:
        if entry.what in (What.EXPIRED, What.CLOSED):
            return End(entry.what.value)
        if entry.what is What.PAID:
            paid, count = paid + entry.amount, count + 1
            is_full = terms.receivable_max is not None and paid >= terms.receivable_max
            if is_full or count == terms.payments_max:
                return End.FULFILLED
    return None
