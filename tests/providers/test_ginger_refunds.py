"""What is given or taken back. Source: fact sheet ginger, sections 7, 8.4 and 9."""

import json
from datetime import datetime
from typing import Any

import pytest

from service.domain.request import BelongsTo, Kind, NotOurs, Observation, Related
from service.domain.status import Status
from service.errors import NotFoundThere, Unreadable
from service.providers.ginger.adapter import CHILDREN_MAX
from tests.providers.exchange import always, at_paths, run
from tests.providers.ginger_bodies import (
    CHARGE_BACK,
    HERE,
    ORDER,
    REFUND,
    ginger,
    order,
    read,
    refund,
    seen,
)


@pytest.mark.parametrize("link", ["refund", "chargeback", "reversal"])
def test_a_counter_movement_is_never_income_but_belongs_to_its_original(link: str) -> None:
    body = order(flags=["is-refund"], **{f"{link}_of_order_id": REFUND.upper()})

    assert read(ginger(), always(json.dumps(body).encode())) == BelongsTo(Kind.ORDER, REFUND)


def test_a_refund_without_its_original_is_not_ours() -> None:
    body = json.dumps(order(flags=["is-refund"])).encode()

    assert read(ginger(), always(body)) == NotOurs("refund_without_original")


def test_an_order_that_refunds_itself_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        seen(order(refund_of_order_id=ORDER))


@pytest.mark.parametrize(("word", "refunded"), [("completed", 2500), ("pending", 0), ("new", 0)])
def test_a_refund_counts_only_once_it_is_completed_itself(word: str, refunded: int) -> None:
    body = order(flags=["has-refunds"], refund_orders=[REFUND], refunded_amount=2500)
    observation = seen(at_paths({HERE: body, f"/v1/orders/{REFUND}/": refund(status=word)}))

    assert observation.facts.refunded == refunded
    assert observation.related == (Related(Kind.ORDER, REFUND, "refund"),)
    assert (observation.facts.status, observation.facts.received) == (Status.PAID, 5000)


def test_a_refund_in_the_compact_shape_counts() -> None:
    compact = {name: refund()[name] for name in ("id", "modified", "amount", "currency", "status")}
    answer = at_paths({HERE: order(refund_orders=[REFUND]), f"/v1/orders/{REFUND}/": compact})

    assert seen(answer).facts.refunded == 2500


def test_charge_backs_and_reversals_are_taken_back_and_count_once() -> None:
    body = order(
        refund_orders=[REFUND, CHARGE_BACK, REFUND],
        chargeback_orders=[CHARGE_BACK],
    )
    taken = order(id=CHARGE_BACK, amount=1000, chargeback_of_order_id=ORDER)
    answer = at_paths(
        {HERE: body, f"/v1/orders/{REFUND}/": refund(), f"/v1/orders/{CHARGE_BACK}/": taken}
    )
    facts = seen(answer).facts

    assert (facts.refunded, facts.taken_back) == (3500, 1000)


def test_the_newest_movement_tells_when_it_happened() -> None:
    later = "2024-05-30T11:30:09.000100Z"
    body = order(refund_orders=[REFUND])
    answer = at_paths({HERE: body, f"/v1/orders/{REFUND}/": refund(completed=later)})

    assert seen(answer).occurred_at == datetime.fromisoformat(later)
    paid_at = datetime.fromisoformat("2024-05-14T09:14:41.018830Z")
    assert seen(order()).occurred_at == paid_at


def test_a_refund_that_cannot_be_found_is_taken_from_the_originals_total() -> None:
    body = order(refund_orders=[REFUND], refunded_amount=2500)
    observation = seen(at_paths({HERE: body}))

    assert observation.facts.refunded == 2500
    assert observation.attention == frozenset()


def test_a_refund_that_cannot_be_found_nowhere_is_flagged() -> None:
    observation = seen(at_paths({HERE: order(refund_orders=[REFUND])}))

    assert observation.facts.refunded == 0
    assert observation.attention == {"refund_unreadable"}


def test_a_refund_that_we_saw_before_does_not_vanish_with_one_404() -> None:
    body = order(refund_orders=[REFUND], chargeback_orders=[CHARGE_BACK])
    taken = order(id=CHARGE_BACK, amount=1000, chargeback_of_order_id=ORDER)
    both = {HERE: body, f"/v1/orders/{REFUND}/": refund(), f"/v1/orders/{CHARGE_BACK}/": taken}
    known = seen(at_paths(both)).facts

    facts = seen(at_paths({HERE: body}), known).facts

    assert (facts.refunded, facts.taken_back) == (3500, 1000)


def test_a_total_without_ids_is_taken_as_it_is() -> None:
    body = order(flags=["has-refunds"], refunded_amount=700)

    assert seen(at_paths({HERE: body})).facts.refunded == 700


def test_refunds_that_are_only_flagged_are_listed() -> None:
    listed = [refund(), refund(), refund(id=CHARGE_BACK, status="pending")]
    observation = seen(at_paths({HERE: order(flags=["has-refunds"]), f"{HERE}refunds/": listed}))

    assert observation.facts.refunded == 2500
    assert {related.provider_id for related in observation.related} == {REFUND, CHARGE_BACK}


def test_refunds_that_are_flagged_beside_a_charge_back_are_listed_too() -> None:
    body = order(flags=["has-refunds"], chargeback_orders=[CHARGE_BACK])
    taken = order(id=CHARGE_BACK, amount=1000, chargeback_of_order_id=ORDER)
    answer = {HERE: body, f"/v1/orders/{CHARGE_BACK}/": taken, f"{HERE}refunds/": [refund()]}
    facts = seen(at_paths(answer)).facts

    assert (facts.refunded, facts.taken_back) == (3500, 1000)


def test_refunds_that_are_only_flagged_and_cannot_be_listed_are_flagged_here_too() -> None:
    observation = seen(at_paths({HERE: order(flags=["has-refunds"])}))

    assert observation.facts.refunded == 0
    assert observation.attention == {"refund_unreadable"}


def test_more_refunds_than_we_read_are_taken_from_the_total() -> None:
    ids = [REFUND[:-2] + f"{number:02x}" for number in range(CHILDREN_MAX + 1)]
    body = json.dumps(order(refund_orders=ids, refunded_amount=1100)).encode()

    answer, requests = run(ginger().read(Kind.ORDER, ORDER, None), always(body))

    assert isinstance(answer, Observation)
    assert (answer.facts.refunded, len(requests)) == (1100, 1)


@pytest.mark.parametrize(
    "child",
    [
        refund(refund_of_order_id=CHARGE_BACK),
        refund(currency="USD"),
        refund(id=CHARGE_BACK),
        {"id": REFUND, "amount": 2500, "currency": "EUR", "modified": "2024-05-14T09:00:00Z"},
    ],
)
def test_a_refund_that_does_not_fit_its_original_is_unreadable(child: dict[str, Any]) -> None:
    answer = at_paths({HERE: order(refund_orders=[REFUND]), f"/v1/orders/{REFUND}/": child})

    with pytest.raises(Unreadable):
        seen(answer)


def test_ids_in_an_answer_reach_no_url_unchecked() -> None:
    with pytest.raises(Unreadable):
        seen(order(refund_orders=["../../merchants/self"]))


def test_an_order_that_names_itself_as_its_refund_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        seen(order(refund_orders=[ORDER]))


def test_an_order_that_cannot_be_found_is_the_callers_business() -> None:
    with pytest.raises(NotFoundThere):
        seen(at_paths({}))
