"""The life of a payment request: what may follow what, and nothing else.

Every rule about moving lives in this file. It does no I/O, reads no clock and logs nothing;
callers act on the verdict. Events are not consulted: a verdict compares what we recorded with
what the provider reports now. Source: STATUSES.md, section 3.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from service.domain.attention import raised
from service.domain.reference import stripped
from service.domain.request import Facts, Observation, PaymentRequest
from service.domain.status import RANK, Status

# Codes that stay until a person has acknowledged them; every other code describes a condition and
# goes with it. Source: CONTRACT.md, section 6.
PERSON_CODES_REQUEST: Final = frozenset({"late_money", "regression_refused", "taken_back_twice"})
PERSON_CODES_ORDER: Final = frozenset(
    {"amount_mismatch", "currency_mismatch", "overpaid", "amount_unknown"}
)

# How far ahead of our clock a version may be and still order reads.
VERSION_AHEAD_MAX: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

ENDED_WITHOUT_MONEY: Final = frozenset(
    {Status.REJECTED, Status.FAILED, Status.CANCELLED, Status.EXPIRED}
)
_IN_FULL: Final = frozenset({Status.PAID, Status.SETTLED})


@dataclass(frozen=True, slots=True)
class Transition:
    """Status or amounts changed: record it and tell the ERP.

    after is complete but for its hash chain. correction says that an earlier notification turned
    out wrong or was undone by others. type is the notification's.
    """

    before: PaymentRequest
    after: PaymentRequest
    correction: bool
    type: str


@dataclass(frozen=True, slots=True)
class NoChange:
    """Status and amounts are as recorded; after carries what else the read taught us."""

    after: PaymentRequest


@dataclass(frozen=True, slots=True)
class Stale:
    """The read is older than what we recorded: it changes nothing and closes no generation."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """The read cannot follow what we recorded: it changes nothing but this attention code."""

    attention: str


Verdict = Transition | NoChange | Stale | Contradiction


def advance(request: PaymentRequest, seen: Observation, *, lease_no: int) -> Verdict:
    """Judge an observation, read under lease_no, against what we recorded.

    Observations may be judged in any order: one that is older than the recorded one is Stale,
    whatever it says. The first observation of a request is always a Transition.
    """
    before, after = request.facts, with_reversal(seen.facts)
    if before is None:
        return _transition(request, seen, after, lease_no)
    if is_stale(request, seen, lease_no=lease_no):
        return Stale()
    if after.currency != before.currency:
        return Contradiction("currency_changed")
    if after.status == before.status and after.money == before.money:
        return NoChange(_updated(request, seen, after, lease_no))
    if not may_follow(before, after, retried=seen.retried):
        return Contradiction("regression_refused")
    return _transition(request, seen, after, lease_no)


def refused(request: PaymentRequest, seen: Observation, *, code: str) -> PaymentRequest:
    """Return the request as a read leaves it that cannot follow: unchanged, and flagged with code.

    A picture that was refused before flags it no second time. Until the record changes it tells
    nothing new, whether or not a person has seen to it, and whatever was read in between.
    """
    if code not in PERSON_CODES_REQUEST:
        return replace(request, attention=request.attention | {code})
    assert request.facts is not None, "there is no picture before the first"
    grounds = {f"{code}: {_picture(request.facts)} shown as {_picture(with_reversal(seen.facts))}"}
    return replace(
        request,
        attention=raised(grounds, before=request.raised_by, attention=request.attention),
        raised_by=request.raised_by | grounds,
    )


def _picture(facts: Facts) -> str:
    return " ".join([facts.status, *map(str, facts.money)])


def without_future_version(seen: Observation, *, at: datetime) -> Observation:
    """Return an observation without its version where that is from a time to come.

    A provider that once said next year would make every later read stale. Then the lease decides,
    and attention says so. at is our clock's time; up to a day ahead of it is a matter of clocks. A
    version that is a plain counter is smaller than any time.
    """
    latest = (at + VERSION_AHEAD_MAX - _EPOCH) // timedelta(microseconds=1)
    if seen.version is None or seen.version <= latest:
        return seen
    return replace(seen, version=None, attention=seen.attention | {"version_in_future"})


def with_reversal(facts: Facts) -> Facts:
    """Return facts as reversed, and final, when all that was received is given or taken back.

    This holds for every provider, whatever its word. Source: STATUSES.md, section 2.
    """
    if facts.received > 0 and facts.refunded >= facts.received:
        return replace(facts, status=Status.REVERSED, final=True)
    return facts


def is_stale(request: PaymentRequest, seen: Observation, *, lease_no: int) -> bool:
    """Return whether a read is older than the recorded one.

    The provider's own version decides where both have one; else, and for equal versions, the
    lease under which the read was made. Never a wall clock.
    """
    if seen.version is not None and request.version is not None and seen.version != request.version:
        return seen.version < request.version
    return lease_no < request.lease_no


def may_follow(before: Facts, after: Facts, *, retried: bool) -> bool:
    """Return whether a newer read may take a request from before to after.

    Money that was once confirmed stays received: where received falls, we saw an older picture.
    Even a failure for good is left when the provider retries. Source: STATUSES.md, section 2,
    point 3.
    """
    if after.received < before.received:
        return False
    return (
        after.money != before.money
        or Status.HELD in (before.status, after.status)
        or not _is_locked(before)
        or (retried and before.status is Status.FAILED)
        or _is_asked_otherwise(before, after)
        or _goes_on_with_money(before, after)
    )


def _is_locked(facts: Facts) -> bool:
    """Return whether only news about money may move a request away from these facts.

    That is so once it is final or has money (part_paid and up). A failure that the provider may
    still retry is not locked. HELD has no rank and is judged before.
    """
    may_be_retried = facts.status is Status.FAILED and not facts.final
    return facts.final or (RANK[facts.status] >= RANK[Status.PART_PAID] and not may_be_retried)


def _goes_on_with_money(before: Facts, after: Facts) -> bool:
    """Return whether a request that is not final goes on towards settled.

    Amounts need not move for that: the payee may have lowered what was asked.
    """
    return not before.final and RANK[before.status] < RANK[after.status] <= RANK[Status.SETTLED]


def _is_asked_otherwise(before: Facts, after: Facts) -> bool:
    """Return whether the same money is a part instead of all, or all instead of a part.

    That follows from asking for more, or for less, than before; it is no older picture, and final
    only says that no more money comes.
    """
    if after.amount is None:
        return False
    if before.status in _IN_FULL and after.status is Status.PART_PAID:
        return after.amount > (before.amount or 0)
    if before.status is Status.PART_PAID and after.status in _IN_FULL:
        return before.amount is None or after.amount < before.amount
    return False


def _transition(
    request: PaymentRequest, seen: Observation, facts: Facts, lease_no: int
) -> Transition:
    before = request.facts
    updated = _updated(request, seen, facts, lease_no)
    after = replace(
        updated,
        sequence=request.sequence + 1,
        occurred_at=seen.occurred_at,
        attention=updated.attention | _calls_for_a_person(before, facts),
        raised_by=frozenset(),
    )
    same_status = before is not None and before.status == facts.status
    event = "amount_changed" if same_status else facts.status.value
    return Transition(request, after, _is_correction(before, facts), f"payment_request.{event}")


def _updated(
    request: PaymentRequest, seen: Observation, facts: Facts, lease_no: int
) -> PaymentRequest:
    """Return the request with everything that a good read brings up to date without a word.

    A reference that the ERP registered stands; one that we merely read follows the provider.
    """
    registered_reference = request.reference if request.registered else None
    return replace(
        request,
        facts=facts,
        version=request.version if seen.version is None else seen.version,
        lease_no=max(request.lease_no, lease_no),
        direction=seen.direction,
        reference=registered_reference or _reference_after(request.reference, seen.reference),
        parked=None,
        attention=(request.attention & PERSON_CODES_REQUEST) | seen.attention,
        listing=seen.listing,
    )


def _reference_after(known: str | None, seen: str | None) -> str | None:
    """Return what the provider shows, or what we know where that is it without the rest."""
    if known is not None and (seen is None or seen == stripped(known)):
        return known
    return seen


def _calls_for_a_person(before: Facts | None, after: Facts) -> frozenset[str]:
    """Return the codes that this very step raises; what was acknowledged is not raised again."""
    late = {"late_money"} if _is_late_money(before, after) else set()
    twice = {"taken_back_twice"} if _excess(after) > _excess(before) else set()
    return frozenset(late | twice)


def _excess(facts: Facts | None) -> int:
    """Return how much more was given and taken back than ever came, in minor units."""
    return 0 if facts is None else max(0, facts.refunded - facts.received)


def _is_late_money(before: Facts | None, after: Facts) -> bool:
    """Return whether money came in after we said that none would."""
    return (
        before is not None
        and before.final
        and before.status in ENDED_WITHOUT_MONEY
        and after.received > before.received
    )


def _is_correction(before: Facts | None, after: Facts) -> bool:
    """Return whether the step undoes what we said of money.

    That is late money, a charge-back or its end, a refund that came back, a booking that was taken
    out again. An ordinary refund is none.
    """
    if before is None:
        return False
    return (
        _is_late_money(before, after)
        or after.taken_back != before.taken_back
        or after.refunded < before.refunded
        or after.booked < before.booked
    )
