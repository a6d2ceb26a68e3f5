"""bunq: money that was given back, which only the payments show."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from service.domain.lifecycle import with_reversal
from service.domain.request import Kind, Observation
from service.domain.status import Status
from service.errors import (
    Unreadable,
)
from tests.providers.bunq_bodies import (
    INQUIRY_PATH,
    bunq,
    inquiry,
    paged,
    payment,
    read,
)
from tests.providers.exchange import always, at_paths, run
from tests.providers.table_bunq import (
    ACCOUNT_PATH,
    INQUIRY,
    PAYMENTS_PATH,
)
from tests.providers.world import recording


def test_refunds_are_what_left_the_account_with_the_same_reference() -> None:
    seen = read(
        inquiry(),
        payment(3, "-25.00"),
        payment(2, "-10.50"),
        payment(9, "-99.00", merchant_reference="SO-10043"),
        payment(8, "-99.00", merchant_reference=None),
        payment(7, "125.00"),
    )

    assert seen.facts.money == (12500, 3550, 0, 12500)
    assert (seen.facts.status, seen.attention) == (Status.SETTLED, frozenset())


def test_a_refund_moves_the_time_of_the_newest_money() -> None:
    seen = read(inquiry(), payment(3), payment(2, created="2025-03-03 12:00:00.000000"))

    assert seen.occurred_at == datetime(2025, 3, 4, 9, 0, 0, 1, tzinfo=UTC)
    assert seen.version == read(inquiry()).version


def test_a_refund_of_everything_reverses_the_request() -> None:
    answer = json.loads(recording("bunq", "payment_outgoing_refund.json"))

    facts = with_reversal(read(inquiry(), *answer["Response"]).facts)

    assert (facts.status, facts.refunded, facts.taken_back) == (Status.REVERSED, 12500, 0)


def test_more_given_back_than_received_is_reported_as_it_is() -> None:
    assert read(inquiry(), payment(3, "-100.00"), payment(2, "-100.00")).facts.refunded == 20000


def test_a_payment_that_shows_on_two_pages_counts_once() -> None:
    link = f"{ACCOUNT_PATH}/payment?count=200&older_id=3"

    seen = read(
        inquiry(),
        paths={PAYMENTS_PATH: paged(payment(3), older=link), link: paged(payment(3), payment(2))},
    )

    assert seen.facts.refunded == 5000


def test_payments_are_read_no_further_than_to_when_the_request_was_paid() -> None:
    before = payment(1, created="2025-03-03 09:06:31.715419")
    link = f"{ACCOUNT_PATH}/payment?count=200&older_id=1"

    seen = read(inquiry(), paths={PAYMENTS_PATH: paged(payment(3), before, older=link)})

    assert (seen.facts.refunded, seen.attention) == (2500, frozenset())


def test_a_request_of_somebody_outside_bunq_is_flagged_until_its_payment_is_seen() -> None:
    outside = {"bunqme_share_url": "https://bunq.me/t/5c1f3a1e"}

    unseen = read(inquiry(**outside), payment(2, "-25.00"))
    seen = read(inquiry(**outside), payment(1, "125.00"))

    assert unseen.attention == {"incoming_payment_not_seen"}
    assert (unseen.facts.status, unseen.facts.received) == (Status.SETTLED, 12500)
    assert seen.attention == read(inquiry()).attention == frozenset()
    assert read(inquiry(merchant_reference=None, **outside)).attention == frozenset()


def test_where_not_all_payments_can_be_read_refunds_are_no_less_than_known() -> None:
    links = [f"{ACCOUNT_PATH}/payment?count=200&older_id={number}" for number in (3, 2, 1)]
    pages = {
        path: paged(payment(number), older=link)
        for path, number, link in zip([PAYMENTS_PATH, *links], (3, 2, 1), links, strict=False)
    }
    known = replace(read(inquiry()).facts, refunded=9000)

    seen = read(inquiry(), known=known, paths=pages)

    assert (seen.facts.refunded, seen.attention) == (9000, frozenset({"refund_unreadable"}))


def test_payments_that_cannot_be_found_leave_refunds_as_known() -> None:
    known = replace(read(inquiry()).facts, refunded=2500)
    exchange = bunq().read(Kind.REQUEST_INQUIRY, INQUIRY, known)

    seen, _ = run(exchange, at_paths({INQUIRY_PATH: inquiry()}))

    assert isinstance(seen, Observation)
    assert (seen.facts.refunded, seen.attention) == (2500, frozenset({"refund_unreadable"}))


def test_a_refund_in_another_currency_is_no_verdict() -> None:
    with pytest.raises(Unreadable):
        read(inquiry(), payment(3, amount={"value": "-1.00", "currency": "USD"}))


def test_an_answer_that_holds_anything_but_payments_is_no_list_of_them() -> None:
    with pytest.raises(Unreadable):
        read(inquiry(), *inquiry()["Response"])


def test_a_read_of_money_that_can_be_given_back_costs_a_second_call() -> None:
    exchange = bunq().read(Kind.REQUEST_INQUIRY, INQUIRY, None)

    _, requests = run(exchange, at_paths({INQUIRY_PATH: inquiry(), PAYMENTS_PATH: paged()}))

    assert [request.url.raw_path.decode() for request in requests] == [INQUIRY_PATH, PAYMENTS_PATH]


@pytest.mark.parametrize(
    "shown", [inquiry("pending"), inquiry("rejected"), inquiry(merchant_reference=None)]
)
def test_without_money_or_a_reference_no_call_is_spent_on_payments(shown: dict[str, Any]) -> None:
    exchange = bunq().read(Kind.REQUEST_INQUIRY, INQUIRY, None)

    _, requests = run(exchange, always(json.dumps(shown).encode()))

    assert len(requests) == 1
