"""What may happen to a request inquiry: facts about people and time, and movements of money."""

from collections.abc import Iterable
from enum import StrEnum

from service.sandbox.ledger import Entry


class What(StrEnum):
    """What an entry says. note names the event that tells it, where that is not the usual one."""

    # Facts: they move no money.
    REJECTED = "rejected"  # by the payer
    REVOKED = "revoked"  # by us
    EXPIRED = "expired"
    FORGED = "forged"  # somebody sends a callback that says "accepted"; bunq does not know of it
    MIRRORED = "mirrored"  # somebody asks us to pay: a RequestResponse
    # Movements of money.
    RECEIVED = "received"  # the payer accepts, and the money arrives with it
    REFUNDED = "refunded"  # paid out with the request's reference
    UNMARKED = "unmarked"  # paid out to the same payer, with no reference: nobody can tell why


# A request inquiry gets one answer; nothing leads out of it. Source: fact sheet bunq, section 2.
ANSWERS = frozenset({What.RECEIVED, What.REJECTED, What.REVOKED, What.EXPIRED})
MOVEMENTS = frozenset({What.RECEIVED, What.REFUNDED, What.UNMARKED})


def answer_in(entries: Iterable[Entry]) -> Entry | None:
    """Return what ended the wait for the payer, or None while it lasts."""
    return next((entry for entry in entries if entry.what in ANSWERS), None)
