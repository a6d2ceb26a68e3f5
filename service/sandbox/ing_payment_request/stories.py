"""What payers, the payee and time do to ING payment requests.

A story's kind names how its request is created: see `TERMS`. There are no refunds in this API.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from service.sandbox.ing_payment_request.happenings import HIDDEN, What
from service.sandbox.ing_payment_request.terms import Terms
from service.sandbox.ledger import PaymentRequest
from service.sandbox.story import Beat, Share, Story, part, rest, whole

# So that a story about a request that runs out need not wait for days.
SHORT_LIFE: Final = timedelta(seconds=1)
LIFE: Final = timedelta(days=30)


def paid(share: Share = whole, *, hidden: bool = False) -> Beat:
    """A payer pays a share of the amount; hidden: the list does not show it yet."""

    def act(request: PaymentRequest, at: datetime) -> None:
        number = sum(entry.what is What.PAID for entry in request.entries) + 1
        note = HIDDEN if hidden else ""
        subject = transaction_id(request, number)
        request.record(What.PAID, at=at, subject=subject, amount=share(request.amount), note=note)

    return Beat(act)


def shown() -> Beat:
    """The list of payments catches up."""

    def act(request: PaymentRequest, at: datetime) -> None:
        hidden = next(entry for entry in request.entries if entry.note == HIDDEN)
        request.record(What.SHOWN, at=at, subject=hidden.subject)

    return Beat(act)


def ends(what: What) -> Beat:
    """The payee closes the request, or its time runs out: not before validUntil."""

    def act(request: PaymentRequest, at: datetime) -> None:
        moment = max(at, request.created_at + SHORT_LIFE) if what is What.EXPIRED else at
        request.record(what, at=moment)

    return Beat(act)


def transaction_id(request: PaymentRequest, number: int) -> str:
    """Return 16 digits that belong to this request and payment alone."""
    return f"{int(request.id, 36) % 10**13:013d}{number:03d}"


EXPIRED, CLOSED = ends(What.EXPIRED), ends(What.CLOSED)

STORIES: Mapping[str, Story] = MappingProxyType(
    {
        "open": Story(()),
        "paid": Story((paid(),)),
        "paid_slowly": Story((Beat(paid().act, pauses=5),)),
        "several_payers": Story((paid(part), paid(rest)), kind="shared"),
        "part_paid_open": Story((paid(part),), kind="shared"),
        "part_paid": Story((paid(part), EXPIRED), kind="shared"),
        "part_paid_closed": Story((paid(part), CLOSED), kind="shared"),
        "fulfilled_by_count": Story((paid(part),), kind="once"),
        "overpaid": Story((paid(), paid()), kind="unbounded"),
        "payments_lag": Story((paid(hidden=True), shown())),
        "processing": Story((paid(hidden=True),)),
        "payments_not_visible": Story((paid(hidden=True),)),
        "expired": Story((EXPIRED,)),
        "cancelled": Story((CLOSED,)),
        "late_money": Story((EXPIRED, paid())),
        "paid_after_close": Story((CLOSED, paid())),
        "part_late_money": Story((paid(part), EXPIRED, paid(rest)), kind="shared"),
        "stale_read": Story((paid(),), stale_ms=1500),
    }
)


def _ordinary(amount: int, terms: Terms) -> Terms:
    return replace(terms, fixed=amount, payments_max=1, receivable_max=amount)


def _shared(amount: int, terms: Terms) -> Terms:
    return replace(terms, suggested=amount, least=1, most=amount, receivable_max=amount)


def _once(amount: int, terms: Terms) -> Terms:
    return replace(terms, suggested=amount, payments_max=1)


def _unbounded(amount: int, terms: Terms) -> Terms:
    return replace(terms, fixed=amount)


# How a story's request is created, by the story's kind.
TERMS: Final[Mapping[str, Callable[[int, Terms], Terms]]] = MappingProxyType(
    {"": _ordinary, "shared": _shared, "once": _once, "unbounded": _unbounded}
)
