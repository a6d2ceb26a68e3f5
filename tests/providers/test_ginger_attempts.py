"""The attempts of a Ginger payment link: orders that are no requests of their own.

Source: fact sheet ginger, section 12; STATUSES.md, section 2, point 2.
"""

from datetime import datetime
from typing import Any

import pytest

from service.domain.request import (
    BelongsTo,
    Facts,
    Kind,
    NotOurs,
    Observation,
    Related,
    Unmapped,
)
from service.domain.status import Status
from service.errors import NotFoundThere, Unreadable
from service.providers.ginger.adapter import ATTEMPTS_MAX, CHILDREN_MAX
from service.providers.ginger.moments import microseconds_of
from tests.providers.exchange import at_paths, run
from tests.providers.ginger_bodies import (
    CHARGE_BACK,
    LINK,
    OTHER_LINK,
    REFUND,
    THEIRS,
    at,
    attempt,
    attempt_id,
    ginger,
    link,
    link_seen,
    order,
    read_link,
    transaction,
    unpaid,
)

# What was given or taken back


def test_what_was_given_and_taken_back_of_any_attempt_counts() -> None:
    first = attempt(1, refund_orders=[REFUND])
    second = attempt(2, chargeback_orders=[CHARGE_BACK])
    back = order(id=REFUND, amount=1000, refund_of_order_id=attempt_id(1))
    taken = order(id=CHARGE_BACK, amount=5000, chargeback_of_order_id=attempt_id(2))
    observation = link_seen(link(first, second), first, second, back, taken)

    assert observation.facts.money == (10000, 6000, 5000, 0)
    assert observation.related == (
        Related(Kind.ORDER, attempt_id(1), "attempt"),
        Related(Kind.ORDER, attempt_id(2), "attempt"),
        Related(Kind.ORDER, REFUND, "refund"),
        Related(Kind.ORDER, CHARGE_BACK, "charge_back"),
    )


def test_a_refund_that_is_named_at_two_attempts_is_unreadable() -> None:
    both = [attempt(n, refund_orders=[REFUND]) for n in (1, 2)]
    compact = {name: order()[name] for name in ("amount", "currency", "status", "modified")}

    with pytest.raises(Unreadable, match="two orders"):
        link_seen(link(*both), *both, {**compact, "id": REFUND})


def test_a_refund_that_we_saw_before_does_not_vanish_with_one_404() -> None:
    won = attempt(1, refund_orders=[REFUND])
    back = order(id=REFUND, amount=1000, refund_of_order_id=attempt_id(1))
    known = link_seen(link(won), won, back).facts

    observation = link_seen(link(won), won, known=known)

    assert observation.facts == known
    assert observation.attention == {"refund_unreadable"}


def refunds_of(number: int, count: int) -> list[str]:
    return [f"2199ba28-2dc6-4ab2-92ce-{number:06x}{n:06x}" for n in range(count)]


@pytest.mark.parametrize("counts", [(CHILDREN_MAX, 1), (CHILDREN_MAX + 1, CHILDREN_MAX)])
def test_all_attempts_together_have_a_bounded_number_of_calls_for_refunds(
    counts: tuple[int, int],
) -> None:
    first, second = (
        attempt(n, refund_orders=refunds_of(n, count), refunded_amount=50)
        for n, count in enumerate(counts)
    )
    answer, calls = read_link(link(first, second), first, second)

    assert isinstance(answer, Observation)
    assert (answer.facts.refunded, calls) == (100, 1 + 2 + CHILDREN_MAX)


# Attempts that cannot be read


def test_an_attempt_that_cannot_be_found_leaves_the_link_open_and_is_flagged() -> None:
    body = link(attempt(1), unpaid(2, "expired"))
    observation = link_seen(body, attempt(1))

    assert (observation.facts.status, observation.facts.final) == (Status.PAID, False)
    assert observation.attention == {"attempt_unreadable"}
    assert Related(Kind.ORDER, attempt_id(2), "attempt") in observation.related


def test_money_that_we_saw_before_does_not_vanish_with_one_404() -> None:
    body = link(attempt(1), attempt(2, chargeback_orders=[CHARGE_BACK]))
    known = Facts(Status.PAID, True, "EUR", 5000, 10000, 5000, 5000, 0, "completed")

    facts = link_seen(body, attempt(1), known=known).facts

    assert facts.money == known.money


@pytest.mark.parametrize("winner", [None, attempt_id(99)])
def test_at_most_25_attempts_are_read_those_said_to_have_won_first(winner: str | None) -> None:
    attempts = [unpaid(n, "expired") for n in range(ATTEMPTS_MAX)] + [attempt(99)]
    body = link(*attempts, completed_order_id=winner)
    answer, calls = read_link(body, *attempts)

    assert isinstance(answer, Observation)
    assert (answer.facts.received, calls) == (5000, 1 + ATTEMPTS_MAX)
    assert answer.attention == {"attempt_unreadable"}


def test_25_attempts_are_read_completely() -> None:
    attempts = [unpaid(n, "expired") for n in range(ATTEMPTS_MAX - 1)] + [attempt(99)]
    answer, calls = read_link(link(*attempts), *attempts)

    assert isinstance(answer, Observation)
    assert (answer.facts.final, answer.attention, calls) == (True, frozenset(), 26)


def test_a_link_that_cannot_be_found_is_the_callers_business() -> None:
    exchange = ginger().read(Kind.PAYMENT_LINK, LINK, None)

    with pytest.raises(NotFoundThere):
        run(exchange, at_paths(at(attempt(1))))


# Whose it is, and what belongs to it


def test_an_order_made_through_a_link_belongs_to_it_whatever_its_status() -> None:
    for body in (attempt(1), unpaid(1, "error"), attempt(1, related_payment_link_id=LINK.upper())):
        exchange = ginger().read(Kind.ORDER, attempt_id(1), None)
        answer, requests = run(exchange, at_paths(at(body)))

        assert (answer, len(requests)) == (BelongsTo(Kind.PAYMENT_LINK, LINK), 1)


def test_a_refund_leads_to_its_attempt_and_that_to_the_link_which_is_the_end() -> None:
    won = attempt(1, refund_orders=[REFUND])
    back = order(id=REFUND, refund_of_order_id=attempt_id(1), related_payment_link_id=LINK)
    answers = at_paths({f"/v1/paymentlinks/{LINK}/": link(won), **at(won, back)})
    adapter = ginger()

    first, _ = run(adapter.read(Kind.ORDER, REFUND, None), answers)
    second, _ = run(adapter.read(Kind.ORDER, attempt_id(1), None), answers)
    end, _ = run(adapter.read(Kind.PAYMENT_LINK, LINK, None), answers)

    assert first == BelongsTo(Kind.ORDER, attempt_id(1))
    assert second == BelongsTo(Kind.PAYMENT_LINK, LINK)
    assert isinstance(end, Observation)


@pytest.mark.parametrize("link_id", ["", "__PAYMENTLINK_ID__", "../orders", None])
def test_an_order_whose_link_we_could_not_ask_for_stands_for_itself(link_id: str | None) -> None:
    body = attempt(1, related_payment_link_id=link_id)
    answer, _ = run(ginger().read(Kind.ORDER, attempt_id(1), None), at_paths(at(body)))

    assert isinstance(answer, Observation)
    assert (answer.facts.status, answer.facts.received) == (Status.PAID, 5000)


@pytest.mark.parametrize(
    "link_id", ["", "__PAYMENTLINK_ID__", LINK.upper(), LINK + "/", "../orders", LINK + "\n"]
)
def test_only_a_uuid_in_lower_case_is_the_id_of_a_link(link_id: str) -> None:
    assert ginger().knows(Kind.PAYMENT_LINK, LINK)
    assert not ginger().knows(Kind.PAYMENT_LINK, link_id)
    with pytest.raises(Unreadable):
        next(ginger().read(Kind.PAYMENT_LINK, link_id, None))


def test_a_link_of_a_foreign_project_is_not_ours() -> None:
    foreign = attempt(1, project_id=THEIRS)

    assert read_link(link(project_id=THEIRS)) == (NotOurs("foreign_project"), 1)
    assert read_link(link(foreign), foreign) == (NotOurs("foreign_project"), 2)


def test_a_test_link_brings_nothing_to_a_live_book() -> None:
    body = attempt(1, flags=["is-test"])

    assert read_link(link(body), body, live=True) == (NotOurs("test_order"), 2)
    assert isinstance(read_link(link(body), body)[0], Observation)


@pytest.mark.parametrize(
    "odd",
    [
        attempt(1, related_payment_link_id=OTHER_LINK),
        attempt(1, currency="USD", transactions=[transaction(currency="USD")]),
        {**attempt(1), "id": attempt_id(2)},
        attempt(1, project_id=None),
        attempt(1, transactions=[]),
    ],
)
def test_an_attempt_that_does_not_fit_its_link_is_unreadable(odd: dict[str, Any]) -> None:
    answers = {f"/v1/paymentlinks/{LINK}/": link(attempt(1)), **at(attempt(1))}
    answers[f"/v1/orders/{attempt_id(1)}/"] = odd

    with pytest.raises(Unreadable):
        run(ginger().read(Kind.PAYMENT_LINK, LINK, None), at_paths(answers))


def test_an_attempt_without_the_links_id_is_one_because_the_link_names_it() -> None:
    bare = attempt(1, related_payment_link_id=None)

    assert link_seen(link(bare), bare).facts.received == 5000


def test_an_attempt_with_an_unknown_word_leaves_the_link_unmapped() -> None:
    odd = attempt(2, status="frozen")

    assert read_link(link(attempt(1), odd), attempt(1), odd)[0] == Unmapped("frozen")


# The answer


@pytest.mark.parametrize(
    "changes",
    [
        {"orders": {"completed": ["../../merchants/self"]}},
        {"orders": {"completed": attempt_id(1)}},
        {"orders": [attempt_id(1)]},
        {"completed_order_id": "1"},
        {"amount": 50.0},
        {"amount": -1},
        {"currency": "eur"},
        {"id": OTHER_LINK},
        {"modified": "yesterday"},
    ],
)
def test_an_answer_that_is_no_such_link_is_unreadable(changes: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        link_seen({**link(attempt(1)), **changes}, attempt(1))


def test_the_version_is_the_newest_change_of_the_link_or_of_any_attempt() -> None:
    later = attempt(1, modified="2024-05-14T10:00:00Z")

    assert link_seen(link(later), later).version == microseconds_of(later["modified"])
    assert link_seen(link(attempt(1)), attempt(1)).version == microseconds_of(link()["modified"])


def test_a_new_link_has_the_version_of_its_creation() -> None:
    body = link(status="new", modified=None)

    assert link_seen(body).version == microseconds_of(body["created"])
    assert link_seen(body).occurred_at == datetime.fromisoformat(body["created"])


def test_it_happened_when_the_newest_money_moved() -> None:
    second = attempt(2, transactions=[transaction(completed="2024-05-14T11:00:00Z")])
    failed = unpaid(3, "error", modified="2024-05-14T12:00:00Z")
    attempts = (attempt(1), second, failed)

    observation = link_seen(link(*attempts), *attempts)

    assert observation.occurred_at == datetime.fromisoformat("2024-05-14T11:00:00Z")


def test_the_reference_and_the_word_are_the_links_own_and_its_reason_is_not_passed_on() -> None:
    observation = link_seen(link(attempt(1), reason="Completed"), attempt(1))

    assert (observation.reference, observation.facts.provider_status) == ("SI-350", "completed")
    assert observation.facts.reason is None
