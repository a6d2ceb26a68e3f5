"""An order's status over all combinations of up to three requests, and all orders of arrival.

What is expected stands in order_by_hand.py.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, combinations_with_replacement, permutations

from service.domain.order import RULES, OrderStatus, Sibling, roll_up
from service.domain.request import Direction
from service.domain.status import Status
from tests.builders import facts
from tests.domain.order_by_hand import (
    BACK_OF_NOTHING,
    MORE_BOOKED_THAN_CAME,
    MORE_TAKEN_THAN_WENT,
    NONE,
    by_hand,
    owed,
)

# What money can do, as received, refunded, taken back and booked.
PART = (40, 0, 0, 0)
ALL = (100, 0, 0, 0)
BOOKED = (100, 0, 0, 100)
PART_GIVEN_BACK = (100, 40, 0, 0)
PART_TAKEN_BACK = (100, 40, 40, 100)
ALL_GIVEN_BACK = (100, 100, 0, 0)
ALL_TAKEN_BACK = (100, 100, 60, 100)
TWICE_BACK = (100, 150, 100, 0)
MONEY = (
    NONE,
    PART,
    ALL,
    BOOKED,
    PART_GIVEN_BACK,
    PART_TAKEN_BACK,
    ALL_GIVEN_BACK,
    ALL_TAKEN_BACK,
    TWICE_BACK,
    MORE_BOOKED_THAN_CAME,
    BACK_OF_NOTHING,
    MORE_TAKEN_THAN_WENT,
)


def asked(
    status: Status,
    money: tuple[int, int, int, int],
    *,
    currency: str = "EUR",
    direction: Direction = Direction.IN,
    final: bool | None = None,
) -> Sibling:
    received, refunded, taken_back, booked = money
    shown = facts(
        status,
        final=final,
        currency=currency,
        amount=100,
        received=received,
        refunded=refunded,
        taken_back=taken_back,
        booked=booked,
    )
    return Sibling(f"{status} {money} {currency} {direction}", direction, shown)


NEVER_READ = Sibling("never read", Direction.IN, None)
NEVER_READ_OUT = Sibling("never read out", Direction.OUT, None)

# Every status with every kind of money, in two currencies and both directions.
EVERY = [
    NEVER_READ,
    NEVER_READ_OUT,
    *(asked(status, NONE, final=final) for status in Status for final in (False, True)),
    *(
        asked(status, money, currency=currency, direction=direction)
        for status in Status
        for money in MONEY
        for currency in ("EUR", "USD")
        for direction in Direction
    ),
]
# Without money, one status of each class: open, on its way, over, paid in part, paid, settled. With
# money the rules tell apart only what is paid and what is settled from everything else. Numbers
# that cannot be true come once.
GRID = [
    NEVER_READ,
    *(
        asked(status, NONE)
        for status in (
            Status.OPEN,
            Status.PROCESSING,
            Status.EXPIRED,
            Status.PART_PAID,
            Status.PAID,
            Status.SETTLED,
        )
    ),
    *(
        asked(status, money)
        for status in (Status.PROCESSING, Status.PART_PAID, Status.PAID, Status.SETTLED)
        for money in MONEY
        if money not in (NONE, BACK_OF_NOTHING, MORE_TAKEN_THAN_WENT, MORE_BOOKED_THAN_CAME)
    ),
    asked(Status.SETTLED, MORE_BOOKED_THAN_CAME),
    *(asked(Status.PAID, money, currency="USD") for money in (NONE, ALL, ALL_GIVEN_BACK)),
    asked(Status.SETTLED, BOOKED, direction=Direction.OUT),
]
# Few enough to come in every order.
CLASSES = [
    NEVER_READ,
    asked(Status.OPEN, NONE),
    asked(Status.FAILED, NONE),
    asked(Status.PROCESSING, NONE),
    asked(Status.HELD, NONE),
    asked(Status.HELD, ALL),
    asked(Status.EXPIRED, NONE),
    asked(Status.PART_PAID, PART),
    asked(Status.PART_PAID, PART, final=True),
    asked(Status.PAID, ALL),
    asked(Status.PAID, PART_GIVEN_BACK),
    asked(Status.PAID, PART_TAKEN_BACK),
    asked(Status.SETTLED, BOOKED),
    asked(Status.SETTLED, PART_TAKEN_BACK),
    asked(Status.REVERSED, ALL_GIVEN_BACK),
    asked(Status.REVERSED, ALL_TAKEN_BACK),
    asked(Status.REVERSED, TWICE_BACK),
    asked(Status.PAID, MORE_BOOKED_THAN_CAME),
    asked(Status.OPEN, BACK_OF_NOTHING),
    asked(Status.OPEN, NONE, currency="USD"),
    asked(Status.EXPIRED, NONE, currency="USD"),
    asked(Status.PAID, ALL, currency="USD"),
    asked(Status.REVERSED, ALL_GIVEN_BACK, currency="USD"),
    asked(Status.SETTLED, BOOKED, direction=Direction.OUT),
]


def check(arrivals: Iterable[Sequence[Sibling]]) -> tuple[set[str], int]:
    """Compare every order of arrival with what the page says; return rules reached, and roll-ups.

    arrivals are orders in which the same requests came.
    """
    orders = list(arrivals)
    reached, rolled = set(), 0
    registered: list[tuple[int | None, str | None, bool]] = [
        (each, "EUR", False) for each in owed(orders[0])
    ]
    others = [(None, None, False), (None, "EUR", False), (100, "EUR", True)]
    for amount, currency, withdrawn in chain(registered, others):
        expected = by_hand(orders[0], amount, currency, withdrawn=withdrawn)
        assert len(expected.rules) == 1, (expected, orders[0], amount)
        for arrival in orders:
            state = roll_up(amount=amount, currency=currency, requests=arrival, withdrawn=withdrawn)
            shown = (state.received, state.refunded, state.taken_back, state.booked)
            assert ((str(state.status), state.rule),) == expected.rules, (arrival, amount)
            assert (shown, state.currency) == (expected.sums, expected.currency), arrival
            assert state.attention == expected.attention, (arrival, amount)
            reached.add(state.rule)
            rolled += 1
    return reached, rolled


def test_exactly_one_rule_fits_one_request_of_every_kind_and_it_is_the_one_given() -> None:
    check([()])
    for one in EVERY:
        check([(one,)])


def test_exactly_one_rule_fits_two_requests_of_every_kind_whichever_comes_first() -> None:
    """Each beside one of every class."""
    for one in EVERY:
        for other in CLASSES:
            check([(one, other), (other, one)])


def test_exactly_one_rule_fits_three_requests_of_every_class() -> None:
    rolled = sum(check([three])[1] for three in combinations_with_replacement(GRID, 3))

    assert rolled > 80_000


def test_three_requests_come_to_the_same_in_every_order_of_arrival() -> None:
    reached, rolled = set(), 0
    for three in combinations_with_replacement(CLASSES, 3):
        rules, count = check(set(permutations(three)))
        reached |= rules
        rolled += count

    assert reached == {rule.name for rule in RULES}
    assert {rule.status for rule in RULES} == set(OrderStatus)
    assert rolled > 50_000
