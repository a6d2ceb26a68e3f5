"""What may happen to a payment request's transfers: facts, and movements of money."""

from collections.abc import Iterable
from enum import StrEnum

from service.sandbox.ledger import Entry


class What(StrEnum):
    """What an entry says; subject is the transfer's id, empty for the request as a whole."""

    # Facts about a transfer.
    QUEUED = "queued"  # waits for somebody to approve it
    APPROVED = "approved"
    EXECUTING = "executing"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    # Facts about the request's own status.
    STUCK = "stuck"  # it follows the transfers no more
    HASTY = "hasty"  # it follows the first transfer alone
    # Movements of money.
    SENT = "sent"  # it has left the payer's account
    BOOKED = "booked"  # it is on the payee's account
    RETURNED = "returned"  # it is back on the payer's account


STEPS = (None, What.QUEUED, What.APPROVED, What.EXECUTING, What.SENT, What.BOOKED)
REFUSALS = frozenset({What.REJECTED, What.FAILED, What.CANCELLED})
MOVEMENTS = frozenset({What.SENT, What.BOOKED, What.RETURNED})
# Nothing but a return can follow.
ENDS = REFUSALS | {What.BOOKED, What.RETURNED}


def news_of(entries: Iterable[Entry], transfer_id: str) -> list[What]:
    """Return all that happened to a transfer, oldest first."""
    return [What(entry.what) for entry in entries if entry.subject == transfer_id]


def newest_of(entries: Iterable[Entry], transfer_id: str) -> What | None:
    """Return what happened last to a transfer, None where nothing has."""
    news = news_of(entries, transfer_id)
    return news[-1] if news else None


def may_follow(news: list[What], after: What) -> bool:
    """Return whether something may happen to a transfer: only forwards, and no end reopens.

    Source: fact sheet, section 3. Steps can be left out, but nothing arrives that was not sent.
    """
    before = news[-1] if news else None
    if after is What.RETURNED:
        return before in (What.SENT, What.BOOKED)
    if before in ENDS:
        return False
    if after in REFUSALS:
        return before is not What.SENT
    if after is What.BOOKED:
        return before is What.SENT
    return STEPS.index(after) > STEPS.index(before)
