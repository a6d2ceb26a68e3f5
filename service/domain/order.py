"""An order's status from its requests: sums first, words only where no money decides.

Source: STATUSES.md, section 4. The rules stand in one tuple, and the first that fits counts.
Nothing here depends on the order in which requests arrive.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.domain.request import Direction, Facts
from service.domain.status import Status


class OrderStatus(StrEnum):
    UNPAID = "unpaid"
    PROCESSING = "processing"
    PART_PAID = "part_paid"
    PAID = "paid"
    SETTLED = "settled"
    PART_REFUNDED = "part_refunded"
    REFUNDED = "refunded"
    REVERSED = "reversed"
    OVERPAID = "overpaid"
    CONFLICTED = "conflicted"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Sibling:
    """One request of an order, as far as the order cares. facts is None until the first read."""

    request_id: str
    direction: Direction
    facts: Facts | None


@dataclass(frozen=True, slots=True)
class OrderState:
    """What the requests of an order add up to, in minor units of currency.

    rule names the rule that gave the status. attention holds what these requests show; the caller
    raises a code when it appears and keeps it until a person has acknowledged it. currency is
    None while nobody registered one and no request was read.
    """

    status: OrderStatus
    rule: str
    received: int
    refunded: int
    taken_back: int
    booked: int
    currency: str | None
    attention: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sums:
    """What the rules look at: amounts added up, and what the requests are at.

    counted are the requests in the order's currency that were read; paying are those of them
    that still bring money.
    """

    amount: int | None
    received: int
    refunded: int
    taken_back: int
    booked: int
    counted: tuple[Facts, ...]
    unread: int
    elsewhere: bool

    @property
    def net(self) -> int:
        return self.received - self.refunded

    @property
    def paying(self) -> tuple[Facts, ...]:
        return tuple(facts for facts in self.counted if facts.received > facts.refunded)

    def is_exact(self) -> bool:
        """Return whether the payee keeps exactly the amount that was registered."""
        return self.amount is not None and self.net == self.amount

    def is_exceeded(self) -> bool:
        """Return whether the payee keeps more than the amount that was registered."""
        return self.amount is not None and self.net > self.amount

    def is_below(self) -> bool:
        """Return whether the payee keeps something, yet less than the amount registered."""
        return self.amount is not None and 0 < self.net < self.amount

    def was_covered(self) -> bool:
        """Return whether the amount registered had come in, whatever was given back since."""
        return self.amount is not None and self.received >= self.amount

    def is_returned(self) -> bool:
        """Return whether money came and nothing of it was kept."""
        return self.received > 0 and self.net <= 0

    def all_paying_are(self, *statuses: Status) -> bool:
        """Return whether, with no amount to compare with, the paying requests all say so."""
        paying = self.paying
        return (
            self.amount is None
            and bool(paying)
            and all(facts.status in statuses for facts in paying)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    status: OrderStatus
    name: str
    fits: Callable[[Sums], bool]


_UNDER_WAY = frozenset({Status.AUTHORISING, Status.ACCEPTED, Status.PROCESSING, Status.HELD})

# The first that fits; the last one always does. Where no amount is registered, requests whose money
# went back entirely do not speak, and any other word than paid or settled counts as part_paid. An
# amount of 0 cannot be registered; were it there, an order without money would be settled, for
# nothing is owed.
RULES: Final[tuple[Rule, ...]] = (
    Rule(OrderStatus.CONFLICTED, "money_in_another_currency", lambda sums: sums.elsewhere),
    Rule(
        OrderStatus.CONFLICTED,
        "numbers_contradict_each_other",
        lambda sums: any(contradicts_itself(facts) for facts in sums.counted),
    ),
    Rule(
        OrderStatus.REVERSED,
        "reversed_taken_back",
        lambda sums: sums.is_returned() and sums.taken_back > 0,
    ),
    Rule(OrderStatus.REFUNDED, "refunded_given_back", Sums.is_returned),
    Rule(OrderStatus.OVERPAID, "net_exceeds_amount", Sums.is_exceeded),
    Rule(
        OrderStatus.SETTLED,
        "net_equals_amount_all_booked",
        lambda sums: sums.is_exact() and sums.booked == sums.received,
    ),
    Rule(
        OrderStatus.SETTLED,
        "amount_unknown_all_settled",
        lambda sums: sums.all_paying_are(Status.SETTLED),
    ),
    Rule(OrderStatus.PAID, "net_equals_amount", Sums.is_exact),
    Rule(
        OrderStatus.PAID,
        "amount_unknown_all_paid",
        lambda sums: sums.all_paying_are(Status.PAID, Status.SETTLED),
    ),
    Rule(
        OrderStatus.PART_REFUNDED,
        "part_taken_back",
        lambda sums: sums.is_below() and sums.was_covered() and sums.taken_back > 0,
    ),
    Rule(
        OrderStatus.PART_REFUNDED,
        "part_given_back",
        lambda sums: sums.is_below() and sums.was_covered(),
    ),
    Rule(OrderStatus.PART_PAID, "net_below_amount", Sums.is_below),
    Rule(OrderStatus.PART_PAID, "amount_unknown_part_paid", lambda sums: bool(sums.paying)),
    Rule(
        OrderStatus.PROCESSING,
        "no_money_under_way",
        lambda sums: any(facts.status in _UNDER_WAY for facts in sums.counted),
    ),
    Rule(OrderStatus.UNPAID, "no_request", lambda sums: not sums.counted and not sums.unread),
    Rule(
        OrderStatus.UNPAID,
        "no_money_still_open",
        lambda sums: sums.unread > 0 or not all(facts.final for facts in sums.counted),
    ),
    Rule(OrderStatus.CLOSED, "no_money_all_ended", lambda _sums: True),
)


def roll_up(*, amount: int | None, currency: str | None, requests: Sequence[Sibling]) -> OrderState:
    """Return what the requests of an order add up to.

    amount and currency are what the ERP registered, None for an order known only by discovery.
    Outgoing requests never count.
    """
    incoming = [request for request in requests if request.direction is Direction.IN]
    read = [request.facts for request in incoming if request.facts is not None]
    unread = len(incoming) - len(read)
    chosen = currency or _currency_of(read)
    sums = _sums(amount, chosen, read, unread)
    rule = next(rule for rule in RULES if rule.fits(sums))
    return OrderState(
        status=rule.status,
        rule=rule.name,
        received=sums.received,
        refunded=sums.refunded,
        taken_back=sums.taken_back,
        booked=sums.booked,
        currency=chosen,
        attention=_attention(sums),
    )


def contradicts_itself(facts: Facts) -> bool:
    """Return whether a provider's own numbers cannot all be true.

    Booked is a part of received, taken back a part of refunded, nothing is negative, and nothing
    can be given back of nothing. More given back than was received can happen: see
    taken_back_twice.
    """
    return (
        min(facts.money) < 0
        or facts.booked > facts.received
        or facts.taken_back > facts.refunded
        or (facts.received == 0 and facts.refunded > 0)
    )


def _currency_of(read: Sequence[Facts]) -> str | None:
    """Return the currency of the requests with money, else of any; the first by alphabet.

    The alphabet only decides where two currencies have money, which is conflicted either way, or
    where none has, which adds up to nothing in each.
    """
    with_money = {facts.currency for facts in read if any(facts.money)}
    return min(with_money or {facts.currency for facts in read}, default=None)


def _sums(amount: int | None, currency: str | None, read: Sequence[Facts], unread: int) -> Sums:
    counted = tuple(facts for facts in read if facts.currency == currency)
    return Sums(
        amount=amount,
        received=sum(facts.received for facts in counted),
        refunded=sum(facts.refunded for facts in counted),
        taken_back=sum(facts.taken_back for facts in counted),
        booked=sum(facts.booked for facts in counted),
        counted=counted,
        unread=unread,
        elsewhere=any(facts.currency != currency and any(facts.money) for facts in read),
    )


def _attention(sums: Sums) -> frozenset[str]:
    """Return the codes that these sums show. Source: CONTRACT.md, section 6."""
    shown = {
        "currency_mismatch": sums.elsewhere,
        "overpaid": sums.is_exceeded(),
        "amount_unknown": sums.amount is None
        and sum(facts.received > 0 for facts in sums.counted) > 1,
        "amount_mismatch": _asks_for_another_amount(sums),
    }
    return frozenset(code for code, is_shown in shown.items() if is_shown)


def _asks_for_another_amount(sums: Sums) -> bool:
    """Return whether the order's only request asks for something else than was registered.

    Several requests may share one amount or replace each other, so that no single one proves a
    mismatch; there the sums speak.
    """
    if sums.amount is None or sums.unread or len(sums.counted) != 1:
        return False
    asked = sums.counted[0].amount
    return asked is not None and asked != sums.amount
