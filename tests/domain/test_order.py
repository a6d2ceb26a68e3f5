"""An order's status: each rule by its name. All combinations stand in test_order_combinations."""

import pytest

from service.domain.order import OrderState, OrderStatus, Sibling, roll_up
from service.domain.request import Direction, Facts
from service.domain.status import Status
from tests.builders import facts


def siblings(*known: Facts | None, direction: Direction = Direction.IN) -> list[Sibling]:
    return [Sibling(f"prq_{number}", direction, each) for number, each in enumerate(known)]


def rolled(
    *known: Facts | None, amount: int | None = 100, currency: str | None = "EUR"
) -> OrderState:
    return roll_up(amount=amount, currency=currency, requests=siblings(*known))


@pytest.mark.parametrize(
    ("known", "rule"),
    [
        (
            [facts(Status.PAID, amount=100, received=100, taken_back=40, refunded=40)],
            "part_taken_back",
        ),
        ([facts(Status.PAID, amount=100, received=100, refunded=40)], "part_given_back"),
        ([facts(Status.REVERSED, amount=100, received=100)], "refunded_given_back"),
        (
            [facts(Status.REVERSED, amount=100, received=100, taken_back=100)],
            "reversed_taken_back",
        ),
    ],
)
def test_the_rule_names_whether_money_was_given_or_taken_back(
    known: list[Facts], rule: str
) -> None:
    assert rolled(*known).rule == rule


def test_an_order_without_requests_is_unpaid() -> None:
    state = rolled(currency=None)

    assert (state.status, state.rule, state.currency) == ("unpaid", "no_request", None)


def test_an_order_whose_request_was_never_read_waits_for_it() -> None:
    assert rolled(None).rule == "no_money_still_open"


def test_outgoing_money_never_counts() -> None:
    outgoing = siblings(facts(Status.SETTLED, amount=100, received=100), direction=Direction.OUT)

    state = roll_up(amount=100, currency="EUR", requests=outgoing)

    assert (state.status, state.received) == (OrderStatus.UNPAID, 0)


def test_two_payments_of_which_one_was_given_back_are_paid() -> None:
    paid = facts(Status.PAID, amount=100, received=100)

    state = rolled(paid, facts(Status.REVERSED, amount=100, received=100))

    assert (state.status, state.received, state.refunded) == (OrderStatus.PAID, 200, 100)
    assert state.attention == frozenset()


def test_two_successful_requests_are_overpaid_and_say_so() -> None:
    paid = facts(Status.PAID, amount=100, received=100)

    state = rolled(paid, paid)

    assert state.status is OrderStatus.OVERPAID
    assert state.attention == {"overpaid"}


def test_two_payments_without_a_registered_amount_ask_for_it() -> None:
    paid = facts(Status.PAID, amount=100, received=100)

    assert rolled(paid, amount=None).attention == frozenset()
    assert rolled(paid, paid, amount=None).attention == {"amount_unknown"}


def test_money_in_another_currency_is_a_conflict_and_adds_nothing() -> None:
    dollars = facts(Status.PAID, amount=100, received=100, currency="USD")

    state = rolled(dollars)

    assert (state.status, state.received) == (OrderStatus.CONFLICTED, 0)
    assert "currency_mismatch" in state.attention


def test_a_request_in_another_currency_without_money_does_not_count() -> None:
    state = rolled(facts(Status.OPEN, currency="USD"), facts(Status.EXPIRED, amount=100))

    assert (state.status, state.attention) == (OrderStatus.CLOSED, frozenset())


@pytest.mark.parametrize(
    ("known", "currency"),
    [
        ([facts(currency="USD")], "USD"),
        ([facts(currency="EUR"), facts(Status.PAID, currency="USD")], "USD"),
        ([facts(currency="USD"), facts(currency="EUR")], "EUR"),
    ],
)
def test_an_unregistered_order_takes_the_currency_of_its_money(
    known: list[Facts], currency: str
) -> None:
    assert rolled(*known, amount=None, currency=None).currency == currency


@pytest.mark.parametrize(
    "broken",
    [
        facts(Status.PAID, received=100, booked=101),
        facts(Status.PAID, received=100, refunded=10, taken_back=11),
        facts(Status.OPEN, received=0, refunded=10),
        facts(Status.OPEN, received=-1),
    ],
)
def test_numbers_that_contradict_each_other_are_a_conflict(broken: Facts) -> None:
    state = rolled(broken)

    assert (state.status, state.rule) == ("conflicted", "numbers_contradict_each_other")


@pytest.mark.parametrize(
    ("asked", "is_mismatch"),
    [
        ([100], False),
        ([90], True),
        ([110], True),
        ([None], False),
        ([60, 40], False),
        ([90, None], False),
    ],
)
def test_only_a_single_request_can_ask_for_a_wrong_amount(
    asked: list[int | None], is_mismatch: bool
) -> None:
    state = rolled(*(facts(Status.OPEN, amount=amount) for amount in asked))

    assert state.attention == ({"amount_mismatch"} if is_mismatch else set())


def test_nothing_owed_and_nothing_paid_is_settled() -> None:
    assert rolled(facts(Status.CANCELLED), amount=0).status is OrderStatus.SETTLED
    assert rolled(facts(Status.PAID, received=1), amount=0).status is OrderStatus.OVERPAID
