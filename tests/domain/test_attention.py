"""What raises a code that asks for a person, and what does not raise it again."""

from dataclasses import replace

import pytest

from service.domain.attention import code_of, raised
from service.domain.lifecycle import PERSON_CODES_ORDER, PERSON_CODES_REQUEST, refused
from service.domain.order import Sibling, roll_up
from service.domain.reference import is_stripped, stripped
from service.domain.request import Direction, Facts
from service.domain.status import Status
from tests.builders import facts, request, seen


def grounds(*known: Facts, amount: int | None = 100, withdrawn: bool = False) -> frozenset[str]:
    siblings = [Sibling(f"prq_{n}", Direction.IN, each) for n, each in enumerate(known)]
    return roll_up(amount=amount, currency="EUR", requests=siblings, withdrawn=withdrawn).grounds


@pytest.mark.parametrize(
    ("attention", "before", "expected"),
    [
        (set(), set(), {"overpaid"}),
        (set(), {"overpaid: 150 of 100"}, set()),
        (set(), {"overpaid: 140 of 100"}, {"overpaid"}),
        (set(), {"amount_mismatch: 150 for 100"}, {"overpaid"}),
        ({"overpaid"}, {"overpaid: 150 of 100"}, {"overpaid"}),
        ({"amount_mismatch"}, {"overpaid: 150 of 100"}, {"amount_mismatch"}),
    ],
)
def test_a_ground_raises_its_code_once(
    attention: set[str], before: set[str], expected: set[str]
) -> None:
    assert raised({"overpaid: 150 of 100"}, before=before, attention=attention) == expected


PAID = facts(Status.PAID, amount=100, received=100)
DOLLARS = facts(Status.PAID, amount=100, received=100, currency="USD")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (grounds(PAID), set()),
        (grounds(PAID, PAID), {"overpaid: 200 of 100"}),
        (grounds(PAID, withdrawn=True), {"overpaid: 100 of 0"}),
        (grounds(PAID, PAID, amount=None), {"amount_unknown: 200 in 2 requests"}),
        (grounds(PAID, amount=90), {"overpaid: 100 of 90", "amount_mismatch: 100 for 90"}),
        (grounds(PAID, DOLLARS, DOLLARS), {"currency_mismatch: 200 USD"}),
    ],
)
def test_a_ground_names_the_sums_that_show_it(shown: frozenset[str], expected: set[str]) -> None:
    assert shown == expected
    assert {code_of(ground) for ground in shown} <= PERSON_CODES_ORDER
    assert not any("," in ground for ground in shown)


def test_money_that_moves_without_being_more_is_no_new_ground() -> None:
    booked = facts(Status.SETTLED, amount=100, received=100, booked=100)
    given_back = facts(Status.REVERSED, amount=100, received=100, refunded=100, currency="USD")

    assert grounds(booked, PAID) == grounds(PAID, PAID)
    assert grounds(PAID, given_back) == grounds(PAID, DOLLARS)


def test_the_same_older_picture_flags_a_request_once_and_another_one_again() -> None:
    recorded = request(Status.PAID)
    older, other = seen(Status.OPEN), seen(Status.PROCESSING)
    flagged = refused(recorded, older, code="regression_refused")
    assert flagged.attention == {"regression_refused"}
    seen_to = replace(flagged, attention=frozenset())

    assert refused(seen_to, older, code="regression_refused") == seen_to
    again = refused(seen_to, other, code="regression_refused")
    assert again.attention == {"regression_refused"}
    assert "regression_refused" in PERSON_CODES_REQUEST


def test_a_condition_flags_a_request_each_time() -> None:
    flagged = refused(request(Status.PAID), seen(Status.PAID), code="currency_changed")

    assert flagged.attention == {"currency_changed"}
    assert flagged.raised_by == frozenset()


@pytest.mark.parametrize(
    ("reference", "left"),
    [
        ("INV-2026/1043", "INV20261043"),
        ("inv 1_0.4", "inv104"),
        ("Ünïcode ✓", "ncode"),
        ("-/-", ""),
        ("INV1043", "INV1043"),
    ],
)
def test_only_ascii_letters_and_digits_are_left_of_a_reference(reference: str, left: str) -> None:
    assert stripped(reference) == left
    assert is_stripped(reference) == (reference == left)
