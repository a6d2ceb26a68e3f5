"""The traps of payment orders, one test each. Source: fact sheet payment_requests_v2."""

import json
from typing import Any

import pytest

from service.domain.lifecycle import Contradiction, NoChange, Transition, advance
from service.domain.request import Direction, Kind, NotOurs, Unmapped
from service.domain.status import Status
from service.errors import NotFoundThere, Unreadable
from tests.providers.exchange import at_paths, run
from tests.providers.payment_requests_v2_bodies import (
    CREATED_AT,
    HERE,
    PAID,
    PART_PAID,
    SETTLED,
    money_of,
    order,
    orders,
    read,
    recorded,
    seen,
    status_of,
    transfer,
)
from tests.providers.world import recording

# Mistake 1: the client account is left out


def test_a_read_names_the_client_account() -> None:
    _, (asked,) = run(orders().read(Kind.PAYMENT_REQUEST, "41", None), at_paths({HERE: order()}))

    assert asked.url.params["client_account_id"] == "123"
    assert asked.url.params["with"] == (
        "transfers.debtor.bank_account,transfers.creditor.bank_account"
    )


def test_an_order_of_another_client_account_is_not_ours() -> None:
    answer = read(at_paths({HERE: order(client_account_id=124)}))

    assert answer == NotOurs("foreign_client_account")


def test_an_order_without_client_account_is_not_shown_to_be_ours() -> None:
    with pytest.raises(Unreadable):
        seen(order(client_account_id=None))


# Mistake 2: only the request's own status is looked at


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["initiated", "initiated"], (Status.CREATED, False)),
        (["accepted", "pending_approval"], (Status.AUTHORISING, False)),
        (["acsp", "rejected"], (Status.PROCESSING, False)),
        (["completed", "initiated"], (PART_PAID, False)),
        (["completed", "rejected"], (PART_PAID, True)),
        (["acsc", "rejected"], (PART_PAID, False)),
        (["acsc", "completed"], (PAID, False)),
        (["completed", "executed"], (SETTLED, True)),
        (["cancelled", "cancelled"], (Status.CANCELLED, True)),
        (["cancelled", "rejected"], (Status.REJECTED, True)),
        (["rejected", "failed"], (Status.FAILED, True)),
    ],
)
def test_transfers_are_judged_one_by_one_and_all_have_to_be_done(
    said: list[str], expected: tuple[Status, bool]
) -> None:
    assert status_of(*said) == expected
    assert status_of(*reversed(said)) == expected


def test_a_request_that_says_completed_does_not_hide_a_failed_transfer() -> None:
    body = order(transfer("completed"), transfer("failed", 200), payment_status="completed")
    observation = seen(body)

    assert (observation.facts.status, observation.facts.received) == (PART_PAID, 150_000)
    assert observation.attention == {"transfers_disagree"}


def test_a_request_whose_own_word_lags_behind_its_transfers_is_nothing_to_look_at() -> None:
    assert seen(order(transfer("completed"))).attention == frozenset()
    assert seen(order(transfer("completed"), transfer("rejected"))).attention == frozenset()


def test_a_request_that_says_cancelled_while_transfers_go_on_is_to_be_looked_at() -> None:
    observation = seen(order(transfer("accepted"), payment_status="cancelled"))

    assert observation.facts.status is Status.ACCEPTED
    assert observation.attention == {"transfers_disagree"}


def test_a_frozen_transfer_holds_an_order_of_which_nothing_is_done() -> None:
    words = {"frozen": Status.HELD}

    assert status_of("frozen", "initiated", words=words) == (Status.HELD, False)
    assert status_of("frozen", "completed", words=words) == (PART_PAID, False)


# Mistake 3: amounts taken as minor units or binary floats


@pytest.mark.parametrize(
    ("number", "currency", "minor"),
    [
        ("1500", "NOK", 150_000),
        ("249.5", "NOK", 24_950),
        ("0.29", "NOK", 29),
        ("1500.000", "NOK", 150_000),
        ("1500", "JPY", 1500),
        ("1500.0", "JPY", 1500),
        ("1.234", "KWD", 1234),
    ],
)
def test_amounts_are_decimal_major_units(number: str, currency: str, minor: int) -> None:
    body = json.dumps(order(transfer("completed", 777, currency_code=currency)))
    facts = seen(body.replace("777", number).encode()).facts

    assert (facts.currency, facts.amount, facts.received) == (currency, minor, minor)


@pytest.mark.parametrize(
    "number", ["0.30000000000000004", "0", "-1", "true", "null", '"1500"', "NaN", "1e40"]
)
def test_an_amount_that_is_none_is_unreadable(number: str) -> None:
    body = json.dumps(order(transfer(amount=777))).replace("777", number)

    with pytest.raises(Unreadable):
        seen(body.encode())


@pytest.mark.parametrize("currency", ["nok", "XXX", "", None, 578])
def test_an_unknown_currency_is_unreadable(currency: object) -> None:
    with pytest.raises(Unreadable):
        seen(order(transfer(currency_code=currency)))


def test_received_is_what_is_done_and_booked_what_has_arrived() -> None:
    body = order(transfer("acsc", 100), transfer("accc", 50), transfer("initiated", 7))

    assert money_of(body) == (15_000, 0, 0, 5_000)
    assert seen(body).facts.amount == 15_700


def test_the_amounts_of_other_currencies_are_left_out_and_flagged() -> None:
    body = order(transfer("completed", 100, currency_code="EUR"), transfer("rejected", 50))
    observation = seen(body)

    assert (observation.facts.currency, observation.facts.amount) == ("EUR", 10_000)
    assert (observation.facts.status, observation.facts.received) == (PART_PAID, 10_000)
    assert observation.attention == {"several_currencies"}
    assert observation.facts.reason == "EUR 100.00 of 100.00, NOK 0.00 of 50.00"


def test_transfers_of_one_currency_need_no_detail() -> None:
    assert seen(order(transfer("completed"), transfer("rejected"))).facts.reason is None


def test_a_status_is_told_by_the_transfers_of_every_currency() -> None:
    nothing_told = order(transfer("accepted", 100, currency_code="EUR"), transfer("completed", 50))
    observation = seen(nothing_told)

    assert (observation.facts.status, observation.facts.received) == (PART_PAID, 0)
    assert observation.facts.reason == "EUR 0.00 of 100.00, NOK 50.00 of 50.00"


def test_the_currency_that_was_told_before_stays_though_the_order_of_transfers_changes() -> None:
    transfers = transfer("acsp", 100, currency_code="EUR"), transfer("acsp", 50)
    known = seen(order(*transfers)).facts

    assert seen(order(*reversed(transfers)), known).facts == known
    assert seen(order(transfer("acsp", 50)), known).facts.currency == "NOK"


# Money that comes back


def test_money_that_returns_after_it_was_settled_is_taken_back() -> None:
    known = seen(order(transfer("completed"), transfer("completed", 200))).facts
    facts = seen(order(transfer("completed"), transfer("returned", 200)), known).facts

    assert facts.money == (170_000, 20_000, 20_000, 150_000)
    assert (facts.status, facts.final, facts.reason) == (PAID, True, "returned")


def test_a_return_that_is_read_again_is_the_same_return() -> None:
    known = seen(order(transfer("completed"))).facts
    back = seen(order(transfer("returned")), known).facts

    assert seen(order(transfer("returned")), back).facts == back
    assert back.money == (150_000, 150_000, 150_000, 0)


def test_an_order_of_which_all_returned_is_reversed() -> None:
    before = recorded(seen(order(transfer("completed"))))
    verdict = advance(before, seen(order(transfer("returned")), before.facts), lease_no=2)

    assert isinstance(verdict, Transition)
    assert verdict.after.facts is not None
    assert (verdict.after.facts.status, verdict.correction) == (Status.REVERSED, True)


def test_a_return_that_we_see_first_is_money_that_went_out_and_came_back() -> None:
    known = seen(order(transfer("accepted"))).facts
    facts = seen(order(transfer("returned")), known).facts

    assert facts.money == (150_000, 150_000, 150_000, 0)
    assert facts == seen(order(transfer("returned"))).facts


# Mistake 7: unknown words taken for paid or failed


@pytest.mark.parametrize(
    "body",
    [
        order(transfer("sent_to_bank")),
        order(transfer("completed"), transfer("sent_to_bank")),
        order(transfer("completed"), payment_status="sent_to_bank"),
    ],
)
def test_an_unknown_word_anywhere_is_no_verdict(body: dict[str, Any]) -> None:
    assert read(at_paths({HERE: body})) == Unmapped("sent_to_bank")


def test_an_unknown_word_is_kept_as_it_came() -> None:
    assert read(at_paths({HERE: order(transfer(" Sent "))})) == Unmapped(" Sent ")
    assert read(at_paths({HERE: order(transfer(9))})) == Unmapped("9")


@pytest.mark.parametrize("word", ["ACCC", " accc\t", "Completed", "EXECUTED", "7", 7])
def test_words_are_compared_trimmed_and_whatever_their_case(word: str | int) -> None:
    assert status_of(word) == (SETTLED, True)


def test_a_word_of_the_accounts_own_goes_over_the_table_whatever_its_case() -> None:
    words = {"Sent_To_Bank": Status.PROCESSING, "ACCEPTED ": Status.PROCESSING}

    assert status_of("sent_to_bank", words=words) == (Status.PROCESSING, False)
    assert status_of("accepted", words=words) == (Status.PROCESSING, False)


@pytest.mark.parametrize("word", [None, "", "  ", True, 1.5, ["completed"], "x" * 101])
def test_a_missing_or_malformed_status_is_no_verdict(word: Any) -> None:
    with pytest.raises(Unreadable):
        seen(order(transfer(word)))
    with pytest.raises(Unreadable):
        seen({**order(), "payment_status": word})


# Mistake 8: counted as incoming


@pytest.mark.parametrize("word", ["initiated", "completed", "rejected"])
def test_the_money_goes_out(word: str) -> None:
    assert seen(order(transfer(word))).direction is Direction.OUT


# Answers (section 2)


def test_a_single_order_may_be_wrapped() -> None:
    assert seen({"data": order()}) == seen(order())


def test_ids_may_be_text() -> None:
    assert seen(order(id="41", client_account_id="123")) == seen(order())


def test_an_answer_for_another_order_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="another"):
        seen(order(id=42))


def test_an_order_that_cannot_be_found_is_the_callers_business() -> None:
    with pytest.raises(NotFoundThere):
        read(at_paths({}))


@pytest.mark.parametrize(
    "body",
    [
        order(transfers=[]),
        order(transfers=None),
        order(transfer(id=1), transfer(id=1)),
        order(transfer(id=None)),
        order(created_at="2025-03-03T12:00:00"),
        order(created_at="2025-02-30T12:00:00Z"),
        {"data": [order()]},
        b"<html>Bad gateway</html>",
    ],
)
def test_an_order_of_another_shape_is_unreadable(body: dict[str, Any] | bytes) -> None:
    with pytest.raises(Unreadable):
        seen(body)


def test_an_order_happened_when_it_was_made_and_later_nobody_says_when() -> None:
    assert seen(order()).occurred_at == CREATED_AT
    assert seen(order(transfer("completed"))).occurred_at is None


def test_there_is_neither_version_nor_reference() -> None:
    observation = seen(order())

    assert (observation.version, observation.reference) == (None, None)


def polled(file: str) -> list[str]:
    """Play the polls of a recording; return the types of what the ERP is told."""
    answers = [
        seen(poll["response"])
        for poll in json.loads(recording("payment_requests_v2", file))["polls"]
    ]
    before, types = recorded(answers[0]), ["payment_request.created"]
    for number, answer in enumerate(answers[1:], start=2):
        verdict = advance(before, answer, lease_no=number)
        assert isinstance(verdict, Transition | NoChange)
        types += [verdict.type] if isinstance(verdict, Transition) else []
        before = verdict.after
    return types


def test_an_order_goes_its_way_one_step_at_a_time() -> None:
    assert polled("poll_initiated_to_completed.json") == [
        "payment_request.created",
        "payment_request.accepted",
        "payment_request.settled",
    ]


def test_the_same_answer_is_told_once() -> None:
    assert polled("poll_unchanged.json") == ["payment_request.created"]


@pytest.mark.parametrize("word", ["completed", "rejected", "failed", "cancelled"])
def test_what_has_ended_does_not_open_again_in_silence(word: str) -> None:
    before = recorded(seen(order(transfer(word))))

    assert advance(before, seen(order(transfer("accepted"))), lease_no=2) == Contradiction(
        "regression_refused"
    )
