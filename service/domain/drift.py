"""Drift: where a provider's picture of a request and our record part, and in which way."""

from dataclasses import dataclass
from enum import StrEnum

from service.domain.lifecycle import (
    Contradiction,
    NoChange,
    Stale,
    Transition,
    Verdict,
    refused,
    with_reversal,
)
from service.domain.request import Facts, Key, Observation, PaymentRequest


class DriftClass(StrEnum):
    """What kind of drift it is, told by what becomes of it."""

    # The provider has moved on, and nothing had told us.
    MISSED = "missed"
    # One side is behind and it is known: we were told and have not read yet, or the provider
    # shows an older picture than it has shown before.
    LAGGING = "lagging"
    # The same status over other amounts, another currency, or less money than was confirmed.
    CONFLICTING_AMOUNT = "conflicting_amount"
    # The provider has it and we have no record of it.
    UNKNOWN_HERE = "unknown_here"
    # We have a record of it and the provider knows no such thing.
    UNKNOWN_THERE = "unknown_there"


@dataclass(frozen=True, slots=True)
class Drift:
    """One disagreement. request is None where we have no record; theirs None where they have none.

    word is what the provider said where that is no state: an unmapped word, why it is not ours.
    """

    key: Key
    drift: DriftClass
    request: PaymentRequest | None = None
    theirs: Facts | None = None
    word: str | None = None


def class_of(
    request: PaymentRequest | None, verdict: Verdict, seen: Observation, *, is_pending: bool
) -> DriftClass | None:
    """Return in which way a fresh read departs from the record, None where it does not.

    request is None where we have no record; is_pending says that a look at it is outstanding. A
    contradiction that has flagged the record before is no news, whether or not somebody has seen to
    it since.
    """
    if request is None:
        return DriftClass.UNKNOWN_HERE
    match verdict:
        case Stale():
            return None
        case Contradiction(attention=code) if refused(request, seen, code=code) == request:
            return None
        case NoChange(after=after) if not _differ(request.facts, after.facts):
            return None
        case NoChange() | Transition() | Contradiction():
            pass
    before, theirs = request.facts, with_reversal(seen.facts)
    if is_pending:
        return DriftClass.LAGGING
    if before is None:
        return DriftClass.MISSED
    if theirs.currency != before.currency or theirs.received < before.received:
        return DriftClass.CONFLICTING_AMOUNT
    if isinstance(verdict, Contradiction):
        return DriftClass.LAGGING
    same_status = isinstance(verdict, NoChange) or verdict.type.endswith("amount_changed")
    if same_status and (theirs.money, theirs.amount) != (before.money, before.amount):
        return DriftClass.CONFLICTING_AMOUNT
    return DriftClass.MISSED


def _differ(ours: Facts | None, theirs: Facts | None) -> bool:
    """Return whether something differs that an order's status may depend on."""
    if ours is None or theirs is None:
        return ours is not theirs
    return (ours.status, ours.final, ours.money, ours.amount) != (
        theirs.status, theirs.final, theirs.money, theirs.amount,
    )  # fmt: skip
