"""What a payment order comes to: its transfers decide, one by one."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.domain.money import Money
from service.domain.request import Facts
from service.domain.status import RANK, Status
from service.providers.payment_requests_v2.shapes import PaymentRequest, Transfer, folded

DONE: Final = frozenset({Status.PAID, Status.SETTLED})
# The gravest first: what a request is at when its transfers failed in different ways.
ENDED: Final = (Status.FAILED, Status.REJECTED, Status.CANCELLED, Status.EXPIRED)
FINAL: Final = frozenset({*ENDED, Status.SETTLED, Status.REVERSED})


@dataclass(frozen=True, slots=True)
class Judged:
    """What one transfer came to; came_back where its money went out and returned."""

    status: Status
    minor: int
    currency: str
    final: bool
    came_back: bool


def judge(transfers: Sequence[Transfer], said: Sequence[Status]) -> list[Judged]:
    """Judge transfers one by one; said is what their words mean.

    Only money that had gone out can return: it counts as done, and as come back, also where
    nobody looked in between.
    """
    return [
        Judged(
            Status.PAID if status is Status.REVERSED else status,
            transfer.minor,
            transfer.currency_code,
            final=status in FINAL,
            came_back=status is Status.REVERSED,
        )
        for transfer, status in zip(transfers, said, strict=True)
    ]


def currency_of(transfers: Sequence[Transfer], known: Facts | None) -> str:
    """Return the currency that is told: the one told before, else the first transfer's.

    A request has one; amounts in others are left out, and several_currencies says so.
    """
    if known is not None and any(one.currency_code == known.currency for one in transfers):
        return known.currency
    return transfers[0].currency_code


def facts_of(judged: Sequence[Judged], currency: str, *, provider_status: str) -> Facts:
    told = [one for one in judged if one.currency == currency]
    came_back = sum(one.minor for one in told if one.came_back)
    return Facts(
        status=status_of({one.status for one in judged}),
        final=all(one.final for one in judged),
        currency=currency,
        amount=sum(one.minor for one in told),
        received=sum(one.minor for one in told if one.status in DONE),
        refunded=came_back,
        taken_back=came_back,
        booked=sum(one.minor for one in told if one.status is Status.SETTLED),
        provider_status=provider_status,
        reason=_reason(judged, is_returned=came_back > 0),
    )


def _reason(judged: Sequence[Judged], *, is_returned: bool) -> str | None:
    """Say what the amounts do not: that money came back, and what other currencies are at."""
    parts = ["returned"] if is_returned else []
    currencies = sorted({one.currency for one in judged})
    if len(currencies) > 1:
        parts += [f"{currency} {_done(judged, currency)}" for currency in currencies]
    return ", ".join(parts) or None


def _done(judged: Sequence[Judged], currency: str) -> str:
    of_it = [one for one in judged if one.currency == currency]
    done = Money(sum(one.minor for one in of_it if one.status in DONE), currency)
    return f"{done.decimal} of {Money(sum(one.minor for one in of_it), currency).decimal}"


def status_of(statuses: Collection[Status]) -> Status:
    """Say what transfers come to together: done only when all are. Source: section 2.

    While none is done, those that still move decide, and of them the one that has come least far.
    """
    if any(status in DONE for status in statuses):
        if not all(status in DONE for status in statuses):
            return Status.PART_PAID
        return Status.PAID if Status.PAID in statuses else Status.SETTLED
    if Status.HELD in statuses:
        return Status.HELD
    moving = [status for status in statuses if status not in ENDED]
    if moving:
        return min(moving, key=RANK.__getitem__)
    return next(status for status in ENDED if status in statuses)


def mark_of(request: PaymentRequest, words: Mapping[str, Status]) -> str:
    """Return a mark that differs wherever two reads may come to different facts.

    It is made from what a list shows as well. Raises Unreadable where a read does.
    """
    shown = [
        (str(one.id), _meaning(one.payment_status, words), one.minor, one.currency_code)
        for one in request.in_order
    ]
    said = [str(request.payment_status), _meaning(request.payment_status, words)]
    return hashlib.sha256(json.dumps([said, shown]).encode()).hexdigest()[:32]


def _meaning(word: str | int, words: Mapping[str, Status]) -> str:
    """Return a word's status, or the word in a form that no status has."""
    return words.get(folded(word)) or f"? {word}"


def attention_for(judged: Sequence[Judged], facts: Facts, said: Status) -> frozenset[str]:
    """Name what a person should look at; said is what the request's own word means."""
    ends_differently = any(
        said in group and facts.status not in group for group in (DONE, frozenset(ENDED))
    )
    conditions = {
        "several_currencies": any(one.currency != facts.currency for one in judged),
        "transfers_disagree": ends_differently,
    }
    return frozenset(code for code, applies in conditions.items() if applies)
