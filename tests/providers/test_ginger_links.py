"""What a Ginger payment link comes to, one trap each.

Source: fact sheet ginger, section 12; STATUSES.md, section 2, point 2.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.lifecycle import NoChange, Transition, advance
from service.domain.request import (
    Kind,
    Observation,
    Unmapped,
)
from service.domain.status import Status
from service.errors import Unreadable
from service.providers.ginger.links import LINK_WORDS
from tests.builders import request
from tests.providers.exchange import at_paths, run
from tests.providers.ginger_bodies import (
    LINK,
    REFUND,
    at,
    attempt,
    attempt_id,
    authorisation,
    details,
    ginger,
    link,
    link_seen,
    link_status,
    order,
    read_link,
    running,
    transaction,
    unpaid,
)

# The link's word


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("new", (Status.OPEN, 0, False)),
        ("all_unsuccessful", (Status.OPEN, 0, False)),
        ("processing", (Status.AUTHORISING, 0, False)),
        ("cancelled", (Status.CANCELLED, 0, True)),
        ("expired", (Status.EXPIRED, 0, True)),
    ],
)
def test_the_word_decides_while_there_is_no_money(
    word: str, expected: tuple[Status, int, bool]
) -> None:
    assert link_status(word) == expected
    assert link_status(word, unpaid(1, "expired"), unpaid(2, "cancelled")) == expected


def test_a_link_whose_attempts_all_failed_can_still_be_paid() -> None:
    assert link_status("all_unsuccessful", unpaid(1, "error")) == (Status.OPEN, 0, False)


def test_a_completed_link_is_paid_by_what_its_attempts_brought() -> None:
    part = attempt(1, amount=3000, transactions=[transaction(amount=3000)])

    assert link_status("completed", attempt(1)) == (Status.PAID, 5000, True)
    assert link_status("completed", part) == (Status.PART_PAID, 3000, True)


@pytest.mark.parametrize("word", sorted(LINK_WORDS))
def test_money_decides_over_a_word_that_lags(word: str) -> None:
    status, received, _ = link_status(word, attempt(1), unpaid(2, "expired"))

    assert (status, received) == (Status.PAID, 5000)


@pytest.mark.parametrize(("word", "final"), [("new", False), ("expired", True)])
def test_a_part_is_all_that_comes_once_the_link_has_ended(word: str, final: bool) -> None:
    half = attempt(1, transactions=[transaction(amount=2500)])

    assert link_status(word, half) == (Status.PART_PAID, 2500, final)


@pytest.mark.parametrize("word", ["paused", "Completed", "refunded", "see-transactions"])
def test_an_unknown_word_is_unmapped_whatever_the_attempts_brought(word: str) -> None:
    assert read_link(link(attempt(1), status=word), attempt(1)) == (Unmapped(word), 1)


def test_the_accounts_own_words_go_over_the_table() -> None:
    words = {"paused": Status.HELD, "completed": Status.SETTLED}
    paused, _ = read_link(link(status="paused"), words=words)
    settled, _ = read_link(link(attempt(1)), attempt(1), words=words)

    assert isinstance(paused, Observation)
    assert isinstance(settled, Observation)
    assert (paused.facts.status, settled.facts.status) == (Status.HELD, Status.SETTLED)


@pytest.mark.parametrize("status", [None, 7, "", [], True])
def test_a_missing_or_malformed_status_is_no_verdict(status: object) -> None:
    with pytest.raises(Unreadable):
        link_seen({**link(), "status": status})


def test_a_completed_link_without_a_completed_attempt_is_no_verdict() -> None:
    for attempts in ([], [running(1)], [unpaid(1, "error")]):
        with pytest.raises(Unreadable, match="without a completed attempt"):
            link_status("completed", *attempts)


# The sum over all attempts


def test_two_tabs_that_both_pay_are_more_than_asked_and_not_one_payment() -> None:
    both = (attempt(1), attempt(2))
    observation = link_seen(link(*both), *both)

    assert (observation.facts.status, observation.facts.received) == (Status.PAID, 10000)
    assert observation.attention == {"more_than_asked"}


def test_halves_add_up() -> None:
    halves = [attempt(n, transactions=[transaction(amount=2500)]) for n in (1, 2)]

    assert link_status("processing", *halves) == (Status.PAID, 5000, True)


def test_an_attempt_is_judged_by_its_order_and_not_by_the_group_that_names_it() -> None:
    attempts = [attempt(1), unpaid(2, "expired")]
    swapped = {"expired": [attempt_id(1)], "completed": [attempt_id(2)], "odd": []}

    facts = link_seen(link(orders=swapped), *attempts).facts

    assert (facts.status, facts.received, facts.final) == (Status.PAID, 5000, True)


def test_an_attempt_that_is_named_twice_counts_once() -> None:
    groups = {"processing": [attempt_id(1)], "completed": [attempt_id(1).upper(), attempt_id(1)]}
    answer, calls = read_link(link(orders=groups, completed_order_id=attempt_id(1)), attempt(1))

    assert isinstance(answer, Observation)
    assert (answer.facts.received, calls) == (5000, 2)


def test_the_winner_counts_even_where_no_group_names_it_yet() -> None:
    body = link(orders={}, completed_order_id=attempt_id(1))

    assert link_seen(body, attempt(1)).facts.received == 5000


def test_a_refund_among_the_attempts_is_no_income() -> None:
    won = attempt(1, refund_orders=[REFUND])
    back = order(
        id=REFUND, amount=2000, refund_of_order_id=attempt_id(1), related_payment_link_id=LINK
    )
    facts = link_seen(link(won, back), won, back).facts

    assert (facts.received, facts.refunded) == (5000, 2000)


WORDS = ["new", "processing", "error", "cancelled", "expired", "completed"]


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.integers(1, 9000)), max_size=6), st.data())
def test_the_sum_is_that_of_the_completed_attempts_however_they_are_grouped(
    drawn: list[tuple[str, int]], data: st.DataObject
) -> None:
    attempts = [
        attempt(n, transactions=[transaction(amount=cents)]) if word == "completed"
        else unpaid(n, word)
        for n, (word, cents) in enumerate(drawn)
    ]  # fmt: skip
    groups: dict[str, list[str]] = {}
    for one in data.draw(st.permutations(attempts)):
        groups.setdefault(data.draw(st.sampled_from(WORDS)), []).append(one["id"])
    facts = link_seen(link(status="processing", orders=groups), *attempts).facts

    assert facts.received == sum(cents for word, cents in drawn if word == "completed")
    assert (facts.status is Status.PAID) == (facts.received >= 5000)
    assert (facts.status is Status.PART_PAID) == (0 < facts.received < 5000)
    still_running = any(word in ("new", "processing") for word, _ in drawn)
    assert facts.final == (facts.status is Status.PAID and not still_running)


# What may still come


@pytest.mark.parametrize("word", ["completed", "expired", "cancelled"])
def test_a_link_is_not_final_while_an_attempt_is_running(word: str) -> None:
    first = [attempt(1)] if word == "completed" else []

    assert link_status(word, *first, running(2))[2] is False
    assert link_status(word, *first, unpaid(2, "new"))[2] is False


@pytest.mark.parametrize("word", ["completed", "expired", "cancelled"])
def test_a_failed_attempt_does_not_keep_an_ended_link_open(word: str) -> None:
    first = [attempt(1)] if word == "completed" else []

    assert link_status(word, *first, unpaid(2, "error"))[2] is True


def test_what_is_only_authorised_is_accepted_and_no_money() -> None:
    held = attempt(1, transactions=[authorisation()], amount_details=details(capturable=5000))

    assert link_status("completed", held) == (Status.ACCEPTED, 0, False)
    assert link_status("processing", held) == (Status.ACCEPTED, 0, False)
    assert link_status("expired", held) == (Status.EXPIRED, 0, False)


def test_an_authorisation_that_was_released_ends_the_link_without_money() -> None:
    lapsed = attempt(1, transactions=[authorisation()], amount_details=details())

    assert link_status("completed", lapsed) == (Status.CANCELLED, 0, True)
    assert link_seen(link(lapsed), lapsed).attention == {"authorisation_lapsed"}


def test_amount_details_are_asked_for_where_only_they_tell_what_was_captured() -> None:
    held = attempt(1, transactions=[authorisation()])
    captured = {**held, "amount_details": details(captured=3000, capturable=2000)}
    answers = {
        f"/v1/paymentlinks/{LINK}/": link(held),
        **at(held),
        f"/v1/orders/{attempt_id(1)}/?fields%5B%5D=amount_details": captured,
    }
    answer, _ = run(ginger().read(Kind.PAYMENT_LINK, LINK, None), at_paths(answers))

    assert isinstance(answer, Observation)
    assert (answer.facts.status, answer.facts.received) == (Status.PART_PAID, 3000)
    assert answer.facts.final is False


def test_a_declined_attempt_asks_for_a_look_only_until_another_has_paid() -> None:
    declined = unpaid(1, "declined")

    assert link_seen(link(declined, status="processing"), declined).attention == {"declined"}
    assert link_seen(link(declined, attempt(2)), declined, attempt(2)).attention == frozenset()


def test_an_attempt_that_fails_after_the_one_that_won_changes_nothing() -> None:
    won = link_seen(link(attempt(1)), attempt(1))
    first = advance(request(None, kind=Kind.PAYMENT_LINK, provider_id=LINK), won, lease_no=1)
    assert isinstance(first, Transition)
    failed = unpaid(2, "error", modified="2024-05-14T09:20:00Z")

    then = link_seen(link(attempt(1), failed), attempt(1), failed)
    verdict = advance(first.after, then, lease_no=2)

    assert isinstance(verdict, NoChange)
    assert verdict.after.facts == first.after.facts


def test_a_second_payment_after_the_link_was_paid_is_news() -> None:
    won = link_seen(link(attempt(1), running(2)), attempt(1), running(2))
    first = advance(request(None, kind=Kind.PAYMENT_LINK, provider_id=LINK), won, lease_no=1)
    assert isinstance(first, Transition)

    verdict = advance(
        first.after, link_seen(link(attempt(1), attempt(2)), attempt(1), attempt(2)), lease_no=2
    )

    assert isinstance(verdict, Transition)
    assert verdict.type == "payment_request.amount_changed"
