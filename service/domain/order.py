"""An order's status from its requests: sums first, words only where no money decides.

Source: STATUSES.md, section 4. The rules stand in one tuple, and the first that fits counts.
Nothing here depends on the order in which requests arrive.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.domain.attention import code_of, grounds_of
from service.domain.request import Direction, Facts
from service.domain.status import Status
from service.domain.sums import Sums, add_up, currency_of


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

    rule names the rule that gave the status. grounds are the codes that these requests show, each
    with the sums that show it; attention are the codes alone, which the caller replaces by those
    that nobody has seen to. currency is None while nobody registered one and no request was read.
    """

    status: OrderStatus
    rule: str
    received: int
    refunded: int
    taken_back: int
    booked: int
    currency: str | None
    attention: frozenset[str]
    grounds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rule:
    status: OrderStatus
    name: str
    fits: Callable[[Sums], bool]


_UNDER_WAY = frozenset({Status.AUTHORISING, Status.ACCEPTED, Status.PROCESSING, Status.HELD})

# The first that fits; the last one always does. Where no amount is registered, requests whose money
# went back entirely do not speak, and any other word than paid or settled counts as part_paid. An
# amount of 0 cannot be registered; were it there, an order without money would be settled, for
# nothing is owed. Of an order that was withdrawn nothing is owed either, yet nobody settled it: it
# is closed once no more money can come, and any that was kept is too much.
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
    Rule(OrderStatus.OVERPAID, "withdrawn_money_kept", Sums.is_kept_for_nothing),
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
    Rule(
        OrderStatus.CLOSED,
        "withdrawn_nothing_to_come",
        lambda sums: sums.withdrawn and sums.is_over,
    ),
    Rule(OrderStatus.UNPAID, "withdrawn_still_open", lambda sums: sums.withdrawn),
    Rule(OrderStatus.UNPAID, "no_request", lambda sums: not sums.counted and not sums.unread),
    Rule(OrderStatus.UNPAID, "no_money_still_open", lambda sums: not sums.is_over),
    Rule(OrderStatus.CLOSED, "no_money_all_ended", lambda _sums: True),
)


def roll_up(
    *,
    amount: int | None,
    currency: str | None,
    requests: Sequence[Sibling],
    withdrawn: bool = False,
) -> OrderState:
    """Return what the requests of an order add up to.

    amount and currency are what the ERP registered, None for an order known only by discovery.
    withdrawn says that it wants none of it any more. Outgoing requests never count.
    """
    incoming = [request for request in requests if request.direction is Direction.IN]
    read = [request.facts for request in incoming if request.facts is not None]
    unread = len(incoming) - len(read)
    chosen = currency or currency_of(read)
    sums = add_up(None if withdrawn else amount, chosen, read, unread, withdrawn=withdrawn)
    rule = next(rule for rule in RULES if rule.fits(sums))
    grounds = grounds_of(sums)
    return OrderState(
        status=rule.status,
        rule=rule.name,
        received=sums.received,
        refunded=sums.refunded,
        taken_back=sums.taken_back,
        booked=sums.booked,
        currency=chosen,
        attention=frozenset(map(code_of, grounds)),
        grounds=grounds,
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
