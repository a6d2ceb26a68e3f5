"""A Ginger payment link as a request of ours: its attempts are orders, and payments of it.

Each attempt is judged like any order; received and refunded are sums over all of them, because
two tabs can both pay. Money decides over the link's word, which may lag behind its attempts.

Source: fact sheet ginger, section 12; STATUSES.md, section 2, point 2.
"""

from dataclasses import dataclass
from typing import Final

from service.domain.request import Facts, Kind, Observation, Related
from service.domain.status import Status, words_of
from service.errors import Unreadable
from service.providers.ginger.given_back import Back, no_less_than_known, total
from service.providers.ginger.moments import microseconds_of, moment_of
from service.providers.ginger.orders import occurred_at
from service.providers.ginger.shapes import Link, Order
from service.providers.ginger.verdict import ENDS, MONEY_STATUSES, MONEY_WORDS, Verdict

LINK_WORDS: Final = words_of("ginger", "payment_link")
ENDS_WITHOUT_MONEY: Final = ENDS - MONEY_STATUSES


@dataclass(frozen=True, slots=True)
class Attempt:
    """An order made through a link, what it comes to by itself and what was given back of it."""

    order: Order
    verdict: Verdict
    back: Back

    @property
    def is_running(self) -> bool:
        """Whether it may bring money without the payer starting anew: a failed one does not."""
        return not (self.verdict.final or self.verdict.status is Status.FAILED)

    @property
    def was_released(self) -> bool:
        """Whether it succeeded in an authorisation that was voided or has lapsed."""
        return self.order.status in MONEY_WORDS and self.verdict.status is Status.CANCELLED


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of a link that were read, and the ids of those that could not be."""

    read: tuple[Attempt, ...]
    unread: tuple[str, ...]

    @property
    def related(self) -> tuple[Related, ...]:
        ids = (*(attempt.order.checked_id for attempt in self.read), *self.unread)
        return tuple(Related(Kind.ORDER, order_id, "attempt") for order_id in ids)


def check_attempt(order: Order, link: Link) -> None:
    """Raise Unreadable for an order that cannot be an attempt of the link."""
    if order.payment_link_id not in (None, link.id.lower()):
        raise Unreadable("an attempt of another payment link")
    if order.currency != link.currency:
        raise Unreadable("an attempt in another currency")


def observation_of_link(
    link: Link,
    attempts: Attempts,
    *,
    override: Status | None,
    known: Facts | None,
    reference: str | None,
) -> Observation:
    """Return what a link and its attempts show; reference is the ERP's.

    override is the account's own status for the link's word. Where an attempt could not be read,
    no less is reported than known. Raises Unreadable where the answers contradict each other.
    """
    found = total([attempt.back for attempt in attempts.read], is_complete=not attempts.unread)
    back = no_less_than_known(found, known)
    verdict = judge_link(link, attempts, override=override, known=known)
    return Observation(
        _facts(link, verdict, back),
        version=max(microseconds_of(time) for time in _changes(link, attempts)),
        reference=reference,
        occurred_at=max(
            (occurred_at(one.order, one.verdict, one.back) for one in attempts.read if _moved(one)),
            default=moment_of(link.changed),
        ),
        related=attempts.related + back.related,
        attention=verdict.attention,
    )


def judge_link(
    link: Link, attempts: Attempts, *, override: Status | None, known: Facts | None
) -> Verdict:
    """Say what a link's word and its attempts come to.

    Final once the link has ended or all of the money is there, and no attempt is running. A failed
    one is not: the payer of a link that has ended is not asked to try again.
    """
    received = sum(attempt.verdict.received for attempt in attempts.read)
    if attempts.unread and known is not None:
        received = max(received, known.received)
    word = override or LINK_WORDS[link.status]
    status = _status(link, word, received, attempts)
    has_ended = word in ENDS or status in ENDS
    return Verdict(
        status,
        final=has_ended
        and not attempts.unread
        and not any(attempt.is_running for attempt in attempts.read),
        received=received,
        attention=_attention(link, received, attempts),
    )


def _status(link: Link, word: Status, received: int, attempts: Attempts) -> Status:
    """Return the status; word is what the link's own word says, and decides where no money does."""
    if received:
        in_full = Status.SETTLED if word is Status.SETTLED else Status.PAID
        return in_full if received >= link.amount else Status.PART_PAID
    statuses = {attempt.verdict.status for attempt in attempts.read}
    if Status.ACCEPTED in statuses and word not in ENDS_WITHOUT_MONEY:
        return Status.ACCEPTED
    if word not in MONEY_STATUSES:
        return word
    if any(attempt.was_released for attempt in attempts.read):
        return Status.CANCELLED
    raise Unreadable("completed without a completed attempt")


def _changes(link: Link, attempts: Attempts) -> list[str]:
    """Return the times of the last changes: an attempt changes without its link."""
    return [link.changed, *(attempt.order.modified for attempt in attempts.read)]


def _attention(link: Link, received: int, attempts: Attempts) -> frozenset[str]:
    """Return the codes of the link; what befell an attempt is no condition once another paid."""
    told = {code for attempt in attempts.read for code in attempt.verdict.attention}
    told = told & {"money_in_unpaid_order"} if received else told
    unreadable = {code for attempt in attempts.read for code in attempt.back.attention}
    codes = {
        "more_than_asked": received > link.amount,
        "attempt_unreadable": bool(attempts.unread),
    }
    return frozenset(told | unreadable | {code for code, applies in codes.items() if applies})


def _moved(attempt: Attempt) -> bool:
    return attempt.verdict.received > 0 or bool(attempt.back.completed)


def _facts(link: Link, verdict: Verdict, back: Back) -> Facts:
    return Facts(
        status=verdict.status,
        final=verdict.final,
        currency=link.currency,
        amount=link.amount,
        received=verdict.received,
        refunded=back.refunded,
        taken_back=back.taken_back,
        booked=0,  # payouts are not part of this API
        provider_status=link.status,
    )
