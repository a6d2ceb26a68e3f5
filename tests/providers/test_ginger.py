"""The traps of Ginger's orders, one test each. Source: fact sheet ginger."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain.event import Call, Event, EventVerdict
from service.domain.request import (
    Answer,
    BelongsTo,
    Facts,
    Kind,
    NotOurs,
    Observation,
    Related,
    Unmapped,
)
from service.domain.status import Status
from service.errors import Malformed, NotFoundThere, Unreadable
from service.providers import AccountContext, Listed, Page
from service.providers.ginger import CHILDREN_MAX, Ginger, GingerKeys, microseconds_of
from service.settings import Secret
from tests.providers.exchange import Responder, always, at_paths, run

ORDER = "93101167-9065-4b9c-b98b-5d789a3ed9fe"
REFUND = "2199ba28-2dc6-4ab2-92ce-9da4fa66573f"
CHARGE_BACK = "3bb663cc-2a20-400d-8bf6-18d9695d0c66"
OURS = "405d8375-3514-403b-8c43-83ae74cfe0e9"
THEIRS = "1ef558ed-d77d-470d-b43b-c0f4a131bcef"
HERE = f"/v1/orders/{ORDER}/"
WITH_DETAILS = f"{HERE}?fields%5B%5D=amount_details"
NOW = datetime(2024, 5, 14, 9, 30, tzinfo=UTC)


def ginger(
    *, words: dict[str, Status] | None = None, live: bool = False, reference: str | None = None
) -> Ginger:
    keys = GingerKeys(
        api_base="https://api.psp.example/", api_key=Secret("k3y"), project_ids=(OURS,)
    )
    return Ginger(keys, AccountContext("test", words or {}, live, reference_from=reference))


def order(**changes: Any) -> dict[str, Any]:
    """Return an order paid by one completed transaction; None takes a field away."""
    body = {
        "id": ORDER,
        "project_id": OURS,
        "amount": 5000,
        "currency": "EUR",
        "status": "completed",
        "created": "2024-05-14T09:00:00+00:00",
        "modified": "2024-05-14T09:14:41.350926+00:00",
        "completed": "2024-05-14T09:14:41.200000+00:00",
        "merchant_order_id": "SI-1",
        "transactions": [transaction()],
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def transaction(**changes: Any) -> dict[str, Any]:
    body = {
        "status": "completed",
        "amount": 5000,
        "currency": "EUR",
        "credit_debit": "credit",
        "payment_method": "ideal",
        "completed": "2024-05-14T09:14:41.018830+00:00",
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def authorisation(**changes: Any) -> dict[str, Any]:
    return transaction(transaction_type="authorization", payment_method="credit-card", **changes)


def details(**changes: int) -> dict[str, int]:
    return {"captured": 0, "capturable": 0, "voided": 0, "refunded": 0, **changes}


def refund(**changes: Any) -> dict[str, Any]:
    body = {"id": REFUND, "amount": 2500, "flags": ["is-refund"], "refund_of_order_id": ORDER}
    return order(**{**body, **changes})


def read(adapter: Ginger, answer: Responder, known: Facts | None = None) -> Answer:
    return run(adapter.read(Kind.ORDER, ORDER, known), answer)[0]


def seen(answer: Responder | dict[str, Any], known: Facts | None = None) -> Observation:
    """Read an order that is known to be an observation."""
    respond = always(json.dumps(answer).encode()) if isinstance(answer, dict) else answer
    observation = read(ginger(), respond, known)
    assert isinstance(observation, Observation)
    return observation


def status_of(**changes: Any) -> tuple[Status, int, bool]:
    facts = seen(order(**changes)).facts
    return facts.status, facts.received, facts.final


def told(body: object) -> Event:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    (event,) = ginger().verify(Call({}, raw, received_at=NOW))
    return event


def hint(**changes: Any) -> dict[str, Any]:
    return {"event": "status_changed", "order_id": ORDER, "project_id": OURS, **changes}


# The call (sections 1, 13)


def test_a_call_names_an_order_and_its_status_is_not_believed() -> None:
    event = told(hint(order_status="completed"))

    assert event == Event(Kind.ORDER, ORDER)
    assert told(hint(order_status=["nonsense"])) == event


def test_an_order_id_in_upper_case_is_the_same_order() -> None:
    assert told(hint(order_id=ORDER.upper())).provider_id == ORDER


def test_an_unknown_event_is_kept_and_nothing_is_read() -> None:
    assert told({"event": "mandate_changed"}) == Event(
        None, None, verdict=EventVerdict.SET_ASIDE, reason="unknown_event"
    )


def test_a_call_about_a_foreign_project_is_kept_and_nothing_is_read() -> None:
    event = told(hint(project_id=THEIRS))

    assert (event.provider_id, event.reason) == (None, "foreign_project")


def test_a_project_id_in_upper_case_is_the_same_project() -> None:
    assert told(hint(project_id=OURS.upper())).provider_id == ORDER


def test_a_call_without_project_is_taken_as_one_sdk_sends_it() -> None:
    body = hint()
    del body["project_id"]

    assert told(body).provider_id == ORDER


def test_every_project_is_ours_where_none_is_configured() -> None:
    keys = GingerKeys(api_base="https://api.psp.example", api_key=Secret("k3y"))
    adapter = Ginger(keys, AccountContext("test", {}, live=False))
    body = json.dumps(hint(project_id=THEIRS)).encode()

    assert adapter.verify(Call({}, body, received_at=NOW)) == [Event(Kind.ORDER, ORDER)]


@pytest.mark.parametrize(
    "order_id",
    [
        None,
        7,
        [ORDER],
        "",
        ORDER + "\n",
        ORDER + "/refunds",
        "../" + ORDER,
        ORDER + "?fields[]=x",
        ORDER.replace("-", ""),
        ORDER.replace("9", "\u0669"),
    ],
)
def test_an_order_id_of_the_wrong_shape_is_malformed(order_id: object) -> None:
    with pytest.raises(Malformed):
        told(hint(order_id=order_id))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"[]",
        b'"status_changed"',
        hint(event=None),
        hint(event=""),
        hint(event=["status_changed"]),
        hint(project_id=None),
        hint(project_id=7),
        b'{"event": "status_changed"}',
        f'{{"event": "status_changed", "order_id": "{REFUND}", "order_id": "{ORDER}"}}'.encode(),
        f'{{"event": "status_changed", "order_id": "{ORDER}", "a": NaN}}'.encode(),
    ],
)
def test_a_call_of_the_wrong_shape_is_malformed(body: object) -> None:
    with pytest.raises(Malformed):
        told(body)


# The request (section 2)


def test_the_key_is_the_user_name_and_the_password_is_empty() -> None:
    _, (request,) = run(
        ginger().read(Kind.ORDER, ORDER, None), always(json.dumps(order()).encode())
    )

    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"k3y:").decode()
    assert str(request.url) == f"https://api.psp.example{HERE}"
    assert (request.method, request.headers["accept"]) == ("GET", "application/json")


# Words and transactions (section 8)


def test_a_new_order_is_open_only_once_it_has_a_transaction() -> None:
    assert status_of(status="new", transactions=None) == (Status.CREATED, 0, False)
    assert status_of(status="new", transactions=[]) == (Status.CREATED, 0, False)
    preselected = [transaction(status="new")]
    assert status_of(status="new", transactions=preselected) == (Status.OPEN, 0, False)


@pytest.mark.parametrize("word", ["new", "processing"])
def test_a_pending_redirect_is_authorising_and_a_pending_transfer_is_open(word: str) -> None:
    redirect, transfer = (
        transaction(status="pending"),
        transaction(status="pending", payment_method="bank-transfer"),
    )

    assert status_of(status=word, transactions=[redirect])[0] is Status.AUTHORISING
    assert status_of(status=word, transactions=[transfer])[0] is Status.OPEN
    assert status_of(status=word, transactions=[transfer, redirect])[0] is Status.AUTHORISING


def test_a_processing_order_without_pending_attempts_is_processing() -> None:
    assert status_of(status="processing", transactions=[])[0] is Status.PROCESSING


@pytest.mark.parametrize("word", ["error", "declined"])
def test_a_failed_attempt_is_not_the_end_because_the_payer_may_try_again(word: str) -> None:
    failed = [transaction(status=word)]

    assert status_of(status=word, transactions=failed) == (Status.FAILED, 0, False)


def test_a_declined_order_asks_for_a_look() -> None:
    observation = seen(order(status="declined", transactions=[transaction(status="declined")]))

    assert observation.attention == {"declined"}


def test_a_retry_that_won_is_paid_wherever_it_stands() -> None:
    attempts = [
        transaction(status="error"),
        transaction(status="new", payment_method="credit-card"),
        transaction(payment_method="credit-card"),
        transaction(status="cancelled"),
    ]

    assert status_of(transactions=attempts) == (Status.PAID, 5000, True)
    assert status_of(transactions=attempts[::-1]) == (Status.PAID, 5000, True)


def test_less_than_asked_is_part_paid_for_good_once_the_order_is_completed() -> None:
    assert status_of(transactions=[transaction(amount=4999)]) == (Status.PART_PAID, 4999, True)


def test_more_than_asked_is_reported_as_it_is_and_flagged() -> None:
    observation = seen(order(transactions=[transaction(), transaction()]))

    assert (observation.facts.status, observation.facts.received) == (Status.PAID, 10000)
    assert observation.attention == {"more_than_asked"}


def test_only_money_towards_the_payee_counts() -> None:
    debit, untold = transaction(credit_debit="debit"), transaction(credit_debit=None)

    assert status_of(transactions=[debit, transaction(), untold]) == (Status.PAID, 5000, True)


def test_a_completed_transaction_in_another_currency_is_no_amount() -> None:
    with pytest.raises(Unreadable, match="another currency"):
        seen(order(transactions=[transaction(), transaction(currency="USD")]))


def test_a_completed_order_without_a_completed_transaction_is_no_verdict() -> None:
    for transactions in (None, [], [transaction(status="pending")]):
        with pytest.raises(Unreadable, match="without a completed transaction"):
            seen(order(transactions=transactions, amount_details=details()))


def test_money_in_an_expired_order_is_not_booked_but_flagged() -> None:
    observation = seen(order(status="expired"))

    assert (observation.facts.status, observation.facts.received) == (Status.EXPIRED, 0)
    assert observation.attention == {"money_in_unpaid_order"}


@pytest.mark.parametrize(
    ("transactions", "expected"),
    [
        ([], (Status.OPEN, 0, False)),
        ([transaction(status="new")], (Status.OPEN, 0, False)),
        ([transaction(status="pending")], (Status.AUTHORISING, 0, False)),
        ([transaction(status="processing")], (Status.PROCESSING, 0, False)),
        ([transaction(status="error")], (Status.FAILED, 0, False)),
        ([transaction(status="expired"), transaction(status="new")], (Status.OPEN, 0, False)),
        ([transaction(amount=2000)], (Status.PART_PAID, 2000, False)),
        ([transaction(), transaction(status="error")], (Status.PAID, 5000, True)),
    ],
)
def test_see_transactions_is_what_its_transactions_say(
    transactions: list[dict[str, Any]], expected: tuple[Status, int, bool]
) -> None:
    assert status_of(status="see-transactions", transactions=transactions) == expected


def test_see_transactions_with_an_unknown_word_among_them_is_unmapped() -> None:
    body = order(status="see-transactions", transactions=[transaction(status="frozen")])

    assert read(ginger(), always(json.dumps(body).encode())) == Unmapped("frozen")


@pytest.mark.parametrize("word", ["accepted", "captured", "authorized", "Completed", "refunded"])
def test_words_seen_in_plugin_code_only_are_unmapped_even_with_money_beside_them(
    word: str,
) -> None:
    body = json.dumps(order(status=word)).encode()

    assert read(ginger(), always(body)) == Unmapped(word)


def test_the_accounts_own_words_decide_the_status_of_a_word() -> None:
    adapter = ginger(words={"captured": Status.PAID, "accepted": Status.ACCEPTED})

    captured = read(adapter, always(json.dumps(order(status="captured")).encode()))
    accepted = read(adapter, always(json.dumps(order(status="accepted")).encode()))

    assert isinstance(captured, Observation)
    assert isinstance(accepted, Observation)
    assert (captured.facts.status, captured.facts.received) == (Status.PAID, 5000)
    assert (accepted.facts.status, accepted.facts.received) == (Status.ACCEPTED, 0)


def test_the_built_in_table_merged_into_the_accounts_words_overrides_nothing() -> None:
    body = json.dumps(order(transactions=[authorisation()], amount_details=details(capturable=1)))
    answer = read(ginger(words={"completed": Status.PAID}), always(body.encode()))

    assert isinstance(answer, Observation)
    assert answer.facts.status is Status.ACCEPTED


@pytest.mark.parametrize("status", [None, 7, "", [], {}, True])
def test_a_missing_or_malformed_status_is_no_verdict(status: object) -> None:
    body = {**order(), "status": status}
    if status is None:
        del body["status"]

    with pytest.raises(Unreadable):
        seen(body)


# Authorised is not paid (sections 1.5, 8.4, 9)


def test_a_completed_authorisation_is_accepted_and_no_money() -> None:
    body = order(transactions=[authorisation()], amount_details=details(capturable=5000))

    assert seen(body).facts.status is Status.ACCEPTED
    assert seen(body).facts.received == 0


@pytest.mark.parametrize(
    "sign",
    [
        {"transactions": [authorisation()]},
        {"transactions": [transaction(is_capturable=True)]},
        {"transactions": [transaction(capture_mode="manual")]},
        {"transactions": [transaction(status="accepted")]},
        {"flags": ["has-captures"]},
        {"flags": ["has-voids"]},
        {"capture_mode": "delayed"},
        {"transactions": []},
    ],
)
def test_amount_details_are_asked_for_where_only_they_tell_what_was_captured(
    sign: dict[str, Any],
) -> None:
    first, second = order(**sign), order(**sign, amount_details=details(captured=3000))
    answer = at_paths({HERE: first, WITH_DETAILS: second})

    assert seen(answer).facts.received == 3000


@pytest.mark.parametrize("word", ["new", "processing", "error", "cancelled", "expired"])
def test_amount_details_are_not_asked_for_while_there_can_be_no_money(word: str) -> None:
    body = order(status=word, capture_mode="manual", transactions=[])

    assert seen(at_paths({HERE: body})).facts.received == 0


def test_the_answer_with_details_counts_as_a_whole() -> None:
    first = order(capture_mode="manual", transactions=[authorisation()])
    second = {**first, "amount_details": details(captured=5000), "merchant_order_id": "SI-2"}
    observation = seen(at_paths({HERE: first, WITH_DETAILS: second}))

    assert (observation.facts.status, observation.reference) == (Status.PAID, "SI-2")


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        (details(capturable=5000), (Status.ACCEPTED, 0, False)),
        (details(captured=2000, capturable=3000), (Status.PART_PAID, 2000, False)),
        (details(captured=2000, voided=3000), (Status.PART_PAID, 2000, True)),
        (details(captured=5000), (Status.PAID, 5000, True)),
        (details(captured=5000, capturable=100), (Status.PAID, 5000, True)),
        (details(voided=5000), (Status.CANCELLED, 0, True)),
        (details(), (Status.CANCELLED, 0, True)),
    ],
)
def test_what_was_captured_decides(
    amounts: dict[str, int], expected: tuple[Status, int, bool]
) -> None:
    assert status_of(transactions=[authorisation()], amount_details=amounts) == expected


def test_a_lapsed_authorisation_is_flagged_and_a_voided_one_is_not() -> None:
    lapsed = order(transactions=[authorisation()], amount_details=details())
    voided = order(transactions=[authorisation()], amount_details=details(voided=5000))

    assert seen(lapsed).attention == {"authorisation_lapsed"}
    assert seen(voided).attention == frozenset()


def test_an_authorisation_ends_when_the_order_last_changed_not_when_it_was_made() -> None:
    body = order(transactions=[authorisation()], amount_details=details(voided=5000))

    assert seen(body).occurred_at == datetime.fromisoformat(body["modified"])


def test_details_that_are_all_zero_do_not_unpay_a_method_without_authorisation() -> None:
    assert status_of(amount_details=details()) == (Status.PAID, 5000, True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"transactions": [authorisation()]}, (Status.ACCEPTED, 0, False)),
        (
            {"transactions": [authorisation(is_capturable=False, is_fully_captured=True)]},
            (Status.PAID, 5000, True),
        ),
        (
            {
                "transactions": [
                    authorisation(is_capturable=True),
                    transaction(amount=2000, transaction_type="capture"),
                ],
                "flags": ["has-captures"],
            },
            (Status.PART_PAID, 2000, False),
        ),
        (
            {
                "transactions": [
                    authorisation(is_capturable=False),
                    transaction(transaction_type="void"),
                ]
            },
            (Status.CANCELLED, 0, True),
        ),
    ],
)
def test_a_brand_without_amount_details_is_judged_by_its_transactions(
    changes: dict[str, Any], expected: tuple[Status, int, bool]
) -> None:
    assert status_of(**changes) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"transactions": [authorisation(is_capturable=True)], "flags": ["has-captures"]},
        {"transactions": [transaction(status="captured")]},
        {"flags": ["has-voids"]},
    ],
)
def test_captures_and_voids_of_unknown_size_are_no_verdict(changes: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        seen(order(**changes))


# Counter-movements (sections 7, 8.4, 9)


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


# Whose it is


def test_an_order_of_a_foreign_project_is_not_ours() -> None:
    body = json.dumps(order(project_id=THEIRS)).encode()

    assert read(ginger(), always(body)) == NotOurs("foreign_project")


def test_an_order_without_project_is_not_shown_to_be_ours() -> None:
    with pytest.raises(Unreadable):
        seen(order(project_id=None))


@pytest.mark.parametrize(
    "sign", [{"flags": ["is-test"]}, {"transactions": [transaction(balance="test")]}]
)
def test_a_test_order_brings_nothing_to_a_live_book(sign: dict[str, Any]) -> None:
    body = json.dumps(order(**sign)).encode()

    assert read(ginger(live=True), always(body)) == NotOurs("test_order")
    assert isinstance(read(ginger(), always(body)), Observation)


def test_the_attempt_of_a_payment_link_is_judged_like_any_order() -> None:
    assert status_of(related_payment_link_id=REFUND) == (Status.PAID, 5000, True)


# Amounts and answers (sections 14 to 16)


@pytest.mark.parametrize("currency", ["JPY", "KWD", "EEK"])
def test_amounts_are_minor_units_whatever_the_exponent(currency: str) -> None:
    body = order(currency=currency, amount=1234, transactions=[transaction(currency=currency)])
    body["transactions"][0]["amount"] = 1234
    facts = seen(body).facts

    assert (facts.currency, facts.amount, facts.received) == (currency, 1234, 1234)


@pytest.mark.parametrize("amount", [True, -1, 12.5, 5000.0, "5000", None, [5000]])
def test_an_amount_that_is_no_whole_number_is_unreadable(amount: object) -> None:
    for body in (
        {**order(), "amount": amount},
        order(transactions=[{**transaction(), "amount": amount}]),
    ):
        with pytest.raises(Unreadable):
            seen(body)


@pytest.mark.parametrize("currency", ["eur", "XXX", "", None, 978])
def test_an_unknown_currency_is_unreadable(currency: object) -> None:
    with pytest.raises(Unreadable):
        seen({**order(), "currency": currency})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b"[]",
        b"null",
        b"{}",
        b'{"error": {"status": 404}}',
        json.dumps(order()).replace('"amount": 5000', '"amount": 1, "amount": 5000').encode(),
        json.dumps(order()).encode("utf-16"),
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_no_order_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        seen(always(body))


def test_an_answer_for_another_order_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="another order"):
        seen(order(id=REFUND))


def test_fields_that_we_do_not_know_and_nulls_for_optional_ones_are_fine() -> None:
    nulls = dict.fromkeys(("flags", "refund_orders", "amount_details", "capture_mode"))

    assert seen({**order(), **nulls, "brand_new": {"a": [1]}}).facts.status is Status.PAID


# Times, version, reference (section 16)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:00.000001+00:00", 1),
        ("1970-01-01T02:00:00.5+02:00", 500_000),
        ("1970-01-01T00:00:01", 1_000_000),
        ("2024-05-14T09:14:41.350926+00:00", 1_715_678_081_350_926),
    ],
)
def test_date_times_are_read_to_the_microsecond(text: str, microseconds: int) -> None:
    assert microseconds_of(text) == microseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-05-14",
        "20240514T091441Z",
        "2024-05-14 09:14:41Z",
        "2024-13-14T09:14:41Z",
        "2024-05-14T09:14:41Z\n",
        "2024-05-14T::::::::Z",
        "9999-12-31T23:59:59-23:59",
        "yesterday",
    ],
)
def test_anything_else_is_no_date_time(text: str) -> None:
    with pytest.raises(Unreadable):
        microseconds_of(text)


def test_the_version_is_the_time_of_the_last_change() -> None:
    assert seen(order()).version == 1_715_678_081_350_926
    with pytest.raises(Unreadable):
        seen(order(modified=None))


def test_the_reference_stands_where_the_account_says() -> None:
    body = json.dumps(order(extra={"erp": {"document": "SI-9"}})).encode()

    def reference(path: str | None) -> str | None:
        answer = read(ginger(reference=path), always(body))
        assert isinstance(answer, Observation)
        return answer.reference

    assert reference(None) == "SI-1"
    assert reference("extra.erp.document") == "SI-9"
    assert reference("extra.erp") is None
    assert reference("extra.erp.document.deeper") is None


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "x" * 201, 7, ["SI-1"], None])
def test_a_reference_unfit_to_be_one_is_none(text: object) -> None:
    assert seen({**order(), "merchant_order_id": text}).reference is None


# The list (section 11)


def page(since: datetime, until: datetime, cursor: str | None, body: object) -> tuple[Page, str]:
    exchange = ginger().list_page(since, until, cursor)
    found, (request,) = run(exchange, always(json.dumps(body).encode()))
    return found, request.url.raw_path.decode()


def test_a_list_is_asked_for_in_z_times() -> None:
    since = datetime.fromisoformat("2024-05-14T11:00:00+02:00")
    found, path = page(since, NOW, None, [{"id": ORDER, "modified": "1970-01-01T00:00:01Z"}])

    assert path == (
        "/v1/orders/?created_since=2024-05-14T09%3A00%3A00.000000Z"
        "&created_until=2024-05-14T09%3A30%3A00.000000Z"
    )
    assert found == Page((Listed(Kind.ORDER, ORDER, 1_000_000),), None)


def test_a_long_window_is_walked_in_overlapping_slices_of_at_most_a_day() -> None:
    since, cursor, windows = NOW - timedelta(days=3), None, []
    while True:
        found, path = page(since, NOW, cursor, [])
        windows.append(path)
        cursor = found.next
        if cursor is None:
            break

    assert len(windows) == 4
    assert "created_until=2024-05-12T09%3A30%3A00" in windows[0]
    assert "created_since=2024-05-12T09%3A29%3A59" in windows[1]
    assert "created_until=2024-05-14T09%3A30%3A00" in windows[-1]


def test_an_order_twice_in_a_list_counts_once() -> None:
    assert len(page(NOW, NOW, None, [{"id": ORDER}, {"id": ORDER.upper()}])[0].items) == 1


@pytest.mark.parametrize("entry", [{}, {"id": None}, {"id": "1"}, {"id": ORDER + "\n"}, ORDER, 7])
def test_a_list_with_an_entry_without_id_is_unreadable(entry: object) -> None:
    with pytest.raises(Unreadable):
        page(NOW, NOW, None, [{"id": ORDER}, entry])


@pytest.mark.parametrize("body", [{}, {"orders": []}, None, "[]"])
def test_a_list_that_is_no_array_is_unreadable(body: object) -> None:
    with pytest.raises(Unreadable):
        page(NOW, NOW, None, body)
