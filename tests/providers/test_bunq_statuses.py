"""bunq: what a request inquiry comes to."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from service.domain.request import Kind, Unmapped
from service.domain.status import Status
from service.errors import (
    Unreadable,
)
from tests.providers.bunq_bodies import (
    bunq,
    euros,
    inquiry,
    read,
)
from tests.providers.exchange import always, run
from tests.providers.table_bunq import (
    INQUIRY,
)


def test_an_accepted_request_is_settled_and_its_money_booked() -> None:
    facts = read(inquiry("accepted")).facts

    assert (facts.status, facts.final) == (Status.SETTLED, True)
    assert (facts.amount, facts.money) == (12500, (12500, 0, 0, 12500))


def test_less_than_asked_is_part_paid_and_final() -> None:
    facts = read(inquiry(amount_responded=euros("100.00"))).facts

    assert (facts.status, facts.final) == (Status.PART_PAID, True)
    assert facts.money == (10000, 0, 0, 10000)


def test_more_than_asked_is_settled_and_flagged() -> None:
    seen = read(inquiry(amount_responded=euros("130.00")))

    assert (seen.facts.status, seen.facts.received) == (Status.SETTLED, 13000)
    assert seen.attention == {"more_than_asked"}


@pytest.mark.parametrize(
    "responded", [None, {"value": "125.00", "currency": "USD"}, euros("0.00"), euros("-125.00")]
)
def test_accepted_without_money_of_the_currency_asked_for_is_no_verdict(responded: object) -> None:
    with pytest.raises(Unreadable):
        read(inquiry(amount_responded=responded))


@pytest.mark.parametrize("value", ["0.00", "-1.00"])
def test_a_request_for_nothing_is_no_verdict(value: str) -> None:
    with pytest.raises(Unreadable):
        read(inquiry("pending", amount_inquired=euros(value)))


@pytest.mark.parametrize("status", [None, "", 5, ["ACCEPTED"], "x" * 101])
def test_a_missing_or_malformed_status_is_no_verdict(status: object) -> None:
    with pytest.raises(Unreadable):
        read(inquiry(status=status))


@pytest.mark.parametrize("word", ["CANCELLED", "accepted", "ACCEPTED "])
def test_a_word_that_is_not_documented_is_unmapped(word: str) -> None:
    exchange = bunq().read(Kind.REQUEST_INQUIRY, INQUIRY, None)

    assert run(exchange, always(json.dumps(inquiry(status=word)).encode()))[0] == Unmapped(word)


def test_an_accounts_own_word_goes_over_the_table() -> None:
    adapter = bunq(words={"CANCELLED": Status.CANCELLED})

    facts = read(inquiry("revoked", status="CANCELLED"), adapter=adapter).facts

    assert (facts.status, facts.final) == (Status.CANCELLED, True)


def test_an_account_may_say_that_accepted_money_is_not_booked_yet() -> None:
    facts = read(inquiry(), adapter=bunq(words={"ACCEPTED": Status.PAID})).facts

    assert (facts.status, facts.received, facts.booked) == (Status.PAID, 12500, 0)


def test_money_responded_to_a_request_that_is_not_accepted_is_flagged_and_not_counted() -> None:
    seen = read(inquiry("revoked", amount_responded=euros("125.00")))

    assert (seen.facts.status, seen.facts.received) == (Status.CANCELLED, 0)
    assert seen.attention == {"money_in_unpaid_request"}


@pytest.mark.parametrize("fields", [{"id": 2025725}, {"monetary_account_id": 1}])
def test_an_answer_about_another_request_or_account_is_refused(fields: Any) -> None:
    with pytest.raises(Unreadable):
        read(inquiry(**fields))


def test_a_request_is_looked_at_again_when_it_ends() -> None:
    seen = read(inquiry("pending", time_expiry="2025-04-02 09:00:00.123456"))

    assert seen.ends_at == datetime(2025, 4, 2, 9, 0, 0, 123456, tzinfo=UTC)
    assert read(inquiry("pending")).ends_at is None


@pytest.mark.parametrize("updated", [None, "", "2025-03-03", "2025-03-03T09:00:00Z", 17e8])
def test_a_request_without_a_time_of_change_is_no_verdict(updated: object) -> None:
    with pytest.raises(Unreadable):
        read(inquiry("pending", updated=updated))


def test_the_reference_is_the_merchants_unless_the_account_says_otherwise() -> None:
    shown = inquiry(counterparty_alias={"display_name": "C. Payer"})
    by_name = bunq(reference_from="counterparty_alias.display_name")

    assert read(shown).reference == "SO-10042"
    assert read(shown, adapter=by_name).reference == "C. Payer"


@pytest.mark.parametrize("reference", [None, "", "  ", "a\nb", "x" * 201])
def test_what_is_not_fit_to_be_a_reference_is_none(reference: str | None) -> None:
    assert read(inquiry(merchant_reference=reference)).reference is None
