"""The traps in reading GoCardless, one test each. Source: fact sheet gocardless."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.event import Event, EventVerdict
from service.domain.lifecycle import Contradiction, advance, with_reversal
from service.domain.request import (
    Key,
    Kind,
    NotOurs,
    Observation,
    PaymentRequest,
    Related,
    Unclaimed,
    Unmapped,
)
from service.domain.status import Status
from service.errors import NotFoundThere, Unreadable
from tests.providers.exchange import always, at_paths, run
from tests.providers.gocardless_bodies import (
    HERE,
    NOTHING,
    NOW,
    PAID_BY,
    PAST,
    PAYMENT,
    REQUEST,
    TAKEN_BACK,
    billing_request,
    event,
    events,
    failure,
    gocardless,
    payment,
    read,
    seen,
    standing,
    step,
    told,
)

# Which calls a read makes (sections 1 and 2)


def test_a_read_asks_with_token_and_version() -> None:
    answers = at_paths({HERE: billing_request(), PAID_BY: payment()})
    _, requests = run(gocardless().read(Kind.BILLING_REQUEST, REQUEST, None), answers)

    assert [request.url.raw_path.decode() for request in requests] == [HERE, PAID_BY]
    for request in requests:
        assert request.method == "GET"
        assert request.headers["authorization"] == "Bearer t0ken"
        assert request.headers["gocardless-version"] == "2015-07-06"
        assert request.headers["accept"] == "application/json"


def test_nothing_leads_from_a_payment_to_its_request_so_it_costs_no_call() -> None:
    answer, requests = run(gocardless().read(Kind.PAYMENT, PAYMENT, None), always(b""))

    assert (answer, requests) == (Unclaimed(), [])


@pytest.mark.parametrize("kind", [Kind.PAYMENT, Kind.ORDER])
def test_an_id_counts_only_for_its_own_kind(kind: Kind) -> None:
    assert not gocardless().knows(kind, REQUEST)
    with pytest.raises(Unreadable):
        next(gocardless().read(kind, REQUEST, None))


@pytest.mark.parametrize(
    "links",
    [
        {"links": {}},
        {"payment_request": {"amount": 12500, "currency": "GBP", "links": {}}},
        {"payment_request": {"amount": 12500, "currency": "GBP"}},
    ],
)
def test_the_payment_is_found_in_either_place(links: dict[str, Any]) -> None:
    observation = seen(payment(), asked=billing_request(**links))

    assert observation.facts.status is Status.PAID
    assert observation.related == (Related(Kind.PAYMENT, PAYMENT, "payment"),)


@pytest.mark.parametrize("other", ["PM2", "../../creditors", "BRQ1", ""])
def test_payment_links_that_contradict_each_other_or_lead_elsewhere_are_unreadable(
    other: str,
) -> None:
    body = billing_request(links={"payment_request_payment": other})

    with pytest.raises(Unreadable):
        read(at_paths({HERE: body, PAID_BY: payment()}))


# Status and money (sections 3 and 4; STATUSES.md, section 2)


def test_without_a_payment_the_request_decides() -> None:
    part = {"amount": 12500, "currency": "GBP", "links": {}}

    def of(word: str) -> tuple[Status, tuple[int, int, int, int], bool]:
        return standing(asked=billing_request(status=word, links={}, payment_request=part))

    assert of("pending") == (Status.OPEN, NOTHING, False)
    assert of("ready_to_fulfil") == of("fulfilling") == (Status.AUTHORISING, NOTHING, False)
    assert of("fulfilled") == (Status.PROCESSING, NOTHING, False)
    assert of("cancelled") == (Status.CANCELLED, NOTHING, True)


def test_a_fulfilled_request_whose_payment_is_not_visible_yet_is_processing() -> None:
    observation = seen(None)

    assert observation.facts.status is Status.PROCESSING
    assert observation.facts.provider_status == "fulfilled"
    assert observation.related == (Related(Kind.PAYMENT, PAYMENT, "payment"),)


def test_a_payment_that_was_seen_before_cannot_be_not_visible_yet() -> None:
    known = seen(payment("submitted")).facts

    with pytest.raises(NotFoundThere):
        seen(None, known=known)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("pending_customer_approval", (Status.AUTHORISING, NOTHING, False)),
        ("pending_submission", (Status.ACCEPTED, NOTHING, False)),
        ("submitted", (Status.PROCESSING, NOTHING, False)),
        ("confirmed", (Status.PAID, (12500, 0, 0, 0), False)),
        ("paid_out", (Status.SETTLED, (12500, 0, 0, 12500), True)),
        ("cancelled", (Status.CANCELLED, NOTHING, True)),
        ("customer_approval_denied", (Status.REJECTED, NOTHING, True)),
    ],
)
def test_once_a_payment_exists_it_decides(
    word: str, expected: tuple[Status, tuple[int, int, int, int], bool]
) -> None:
    for request_word in ("fulfilled", "fulfilling", "brand_new"):
        assert standing(payment(word), asked=billing_request(status=request_word)) == expected
    assert seen(payment(word)).facts.provider_status == word


def test_a_request_by_direct_debit_is_paid_only_once_its_payment_is() -> None:
    fallen_back = billing_request(fallback_occurred=True)

    assert standing(payment("submitted"), asked=fallen_back)[0] is Status.PROCESSING


@pytest.mark.parametrize("word", ["pending", "fulfilled", "brand_new"])
def test_a_request_for_a_mandate_alone_is_none_of_ours(word: str) -> None:
    body = billing_request(payment_request=None, status=word, links={})

    assert read(at_paths({HERE: body})) == NotOurs("no_payment_part")


def test_a_refund_leaves_the_status_as_it_is() -> None:
    facts = seen(payment("paid_out", amount_refunded=2500)).facts

    assert (facts.status, facts.money) == (Status.SETTLED, (12500, 2500, 0, 12500))


def test_a_payment_given_back_whole_is_reversed_by_its_sums() -> None:
    facts = seen(payment("confirmed", amount_refunded=12500)).facts

    assert facts.status is Status.PAID
    assert with_reversal(facts).status is Status.REVERSED


@pytest.mark.parametrize("will_retry", [True, False])
def test_a_failure_is_final_only_where_no_retry_will_follow(will_retry: bool) -> None:
    answer = standing(payment("failed"), failure(will_attempt_retry=will_retry))

    assert answer == (Status.FAILED, NOTHING, not will_retry)


def test_the_newest_failure_decides_wherever_it_stands() -> None:
    older = failure("2025-03-04T08:00:00.000Z", will_attempt_retry=True)
    newer = failure("2025-03-09T08:00:00.000Z", will_attempt_retry=False, cause="other")
    submitted = event("submitted", created_at="2025-03-10T08:00:00.000Z")
    expected = (True, "other", datetime(2025, 3, 9, 8, tzinfo=UTC))

    for order in ((newer, older, submitted), (submitted, older, newer)):
        observation = seen(payment("failed"), *order)
        facts = observation.facts
        assert (facts.final, facts.reason, observation.occurred_at) == expected


@pytest.mark.parametrize(("wish", "final"), [(True, False), (False, True), (None, False)])
def test_a_failure_that_does_not_speak_of_retries_leaves_it_to_the_payments_wish(
    wish: bool | None, final: bool
) -> None:
    failed = payment("failed", retry_if_possible=wish)

    assert standing(failed, failure()) == (Status.FAILED, NOTHING, final)


def test_a_failure_whose_event_is_not_listed_yet_is_not_final() -> None:
    assert standing(payment("failed"), event("submitted")) == (Status.FAILED, NOTHING, False)


@pytest.mark.parametrize("action", ["confirmed", "paid_out"])
def test_a_failure_after_money_was_confirmed_takes_it_back(action: str) -> None:
    past = (failure(will_attempt_retry=True), event(action))

    assert standing(payment("failed"), *past) == TAKEN_BACK


def test_a_payout_link_shows_that_money_had_come() -> None:
    paid_out = payment("failed", links={"payout": "PO1"})

    assert standing(paid_out, failure()) == TAKEN_BACK


def test_our_own_record_shows_that_money_had_come() -> None:
    known = seen(payment("confirmed")).facts

    assert standing(payment("failed"), failure(), known=known) == TAKEN_BACK


def test_events_of_other_payments_prove_nothing() -> None:
    other = event("confirmed", links={"payment": "PM2"})
    refund = event("confirmed", resource_type="refunds")

    assert standing(payment("failed"), other, refund)[1] == NOTHING


def test_a_charge_back_takes_the_whole_back_beside_what_was_refunded() -> None:
    charged_back = event("charged_back", details={"origin": "bank", "cause": "refund_requested"})
    facts = seen(payment("charged_back", amount_refunded=2500), charged_back).facts

    assert (facts.status, facts.money) == (Status.REVERSED, (12500, 15000, 12500, 0))
    assert facts.reason == "refund_requested"


def test_a_charge_back_needs_no_proof_that_money_had_come() -> None:
    assert standing(payment("charged_back")) == TAKEN_BACK


@pytest.mark.parametrize(
    ("word", "status", "booked"),
    [("confirmed", Status.PAID, 0), ("paid_out", Status.SETTLED, 12500)],
)
def test_a_cancelled_charge_back_brings_the_money_again(
    word: str, status: Status, booked: int
) -> None:
    charged_back = event("charged_back", created_at="2025-03-09T09:00:00.000Z")
    cancelled = event("chargeback_cancelled", created_at="2025-03-10T09:00:00.000Z")
    known = seen(payment("charged_back"), charged_back).facts
    observation = seen(payment(word), cancelled, charged_back, known=known)
    facts = observation.facts

    assert observation.occurred_at == datetime(2025, 3, 10, 9, tzinfo=UTC)
    assert (facts.status, facts.money) == (status, (12500, 0, 0, booked))


@pytest.mark.parametrize("word", ["pending_submission", "submitted"])
def test_a_retry_after_a_late_failure_counts_the_payment_once(word: str) -> None:
    known = seen(payment("failed"), failure(), event("confirmed")).facts

    assert standing(payment(word), known=known) == TAKEN_BACK
    assert standing(payment("confirmed"), known=known)[1] == (12500, 0, 0, 0)


def test_a_retry_after_a_late_failure_that_we_missed_shows_in_the_events() -> None:
    known = seen(payment("confirmed")).facts
    past = (failure(will_attempt_retry=True), event("confirmed"))

    assert standing(payment("submitted"), *past, known=known) == TAKEN_BACK


def test_a_retry_of_a_payment_that_never_brought_money_starts_again() -> None:
    known = seen(payment("failed"), failure(will_attempt_retry=True)).facts

    assert standing(payment("pending_submission"), known=known)[:2] == (Status.ACCEPTED, NOTHING)


def test_a_picture_from_before_the_money_takes_nothing_back_but_is_refused() -> None:
    known = seen(payment("confirmed")).facts
    older = seen(payment("submitted"), event("confirmed"), known=known)
    request = PaymentRequest("prq_1", Key("gc", Kind.BILLING_REQUEST, REQUEST), NOW, facts=known)

    assert older.facts.taken_back == 0
    assert advance(request, older, lease_no=1) == Contradiction("regression_refused")


def test_a_picture_from_before_a_retry_confirmed_is_no_verdict() -> None:
    retried = event("confirmed", created_at="2025-03-09T09:00:00.000Z")

    for known in (None, seen(payment("confirmed")).facts):
        with pytest.raises(Unreadable, match="older picture"):
            seen(payment("failed"), retried, failure(), known=known)


@pytest.mark.parametrize("word", ["confirmed", "paid_out"])
def test_a_picture_from_before_a_charge_back_is_no_verdict(word: str) -> None:
    charged_back = event("charged_back", created_at="2025-03-09T09:00:00.000Z")
    known = seen(payment("charged_back"), charged_back).facts

    with pytest.raises(Unreadable, match="older picture"):
        seen(payment(word), charged_back, event("paid_out"), known=known)


def test_a_picture_from_before_the_payout_is_no_verdict() -> None:
    known = seen(payment("paid_out")).facts

    with pytest.raises(Unreadable, match="older picture"):
        seen(payment("confirmed"), known=known)


@pytest.mark.parametrize("cause", [None, 7, "Not enough funds on account 55779911", "x" * 101])
def test_a_cause_that_is_no_code_is_no_reason(cause: object) -> None:
    assert seen(payment("failed"), failure(cause=cause)).facts.reason is None


def test_the_past_is_read_page_by_page() -> None:
    answers = {
        HERE: billing_request(),
        PAID_BY: payment("failed"),
        PAST: events(failure(), after="EV09"),
        f"{PAST}&after=EV09": events(event("confirmed")),
    }
    observation = read(at_paths(answers))

    assert isinstance(observation, Observation)
    assert observation.facts.received == 12500


@pytest.mark.parametrize("cursors", [["EV1", "EV2", "EV3", "EV4", "EV5", "EV6"], ["EV1", "EV1"]])
def test_a_past_without_end_is_unreadable(cursors: list[str]) -> None:
    pages = iter(cursors)
    answers = at_paths({HERE: billing_request(), PAID_BY: payment("failed")})

    def answer(request: httpx.Request) -> bytes | None:
        if request.url.path != "/events":
            return answers(request)
        return json.dumps(events(after=next(pages))).encode()

    with pytest.raises(Unreadable):
        read(answer)


@pytest.mark.parametrize(
    "broken",
    [
        event("confirmed", links=None),
        {**event(), "action": 7},
        failure(at="yesterday"),
        {},
        "EV01",
    ],
)
def test_a_past_that_cannot_be_read_is_no_verdict(broken: object) -> None:
    with pytest.raises(Unreadable):
        seen(payment("failed"), broken)


def test_a_payment_of_less_than_was_asked_is_part_paid() -> None:
    assert standing(payment("paid_out", amount=10000)) == (
        Status.PART_PAID,
        (10000, 0, 0, 10000),
        False,
    )


def test_a_payment_of_more_than_was_asked_is_flagged() -> None:
    observation = seen(payment("confirmed", amount=20000))

    assert (observation.facts.amount, observation.facts.received) == (12500, 20000)
    assert observation.attention == {"more_than_asked"}


def test_an_amount_that_the_payer_chooses_is_known_with_the_payment() -> None:
    part = {"amount": None, "currency": "GBP"}

    assert seen(asked=billing_request(payment_request=part)).facts.amount is None
    assert seen(payment(), asked=billing_request(payment_request=part)).facts.amount == 12500


# Words


def test_an_unknown_word_of_the_payment_is_unmapped() -> None:
    answers = at_paths({HERE: billing_request(), PAID_BY: payment("on_hold")})

    assert read(answers) == Unmapped("on_hold")


def test_the_accounts_own_words_go_over_the_table() -> None:
    own = gocardless(words={"on_hold": Status.HELD, "lost": Status.FAILED})

    assert standing(payment("on_hold"), by=own)[:2] == (Status.HELD, NOTHING)
    assert standing(payment("lost"), event("confirmed"), by=own) == TAKEN_BACK
    assert standing(payment("confirmed"), by=own)[0] is Status.PAID


def test_money_that_is_held_is_still_there() -> None:
    known = seen(payment("confirmed")).facts
    own = gocardless(words={"on_hold": Status.HELD})

    assert standing(payment("on_hold"), by=own, known=known)[1] == (12500, 0, 0, 0)


# Answers that are none


def with_change(body: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    ((name, inner),) = body.items()
    kept = {field: value for field, value in {**inner, **change}.items() if value is not ...}
    return {name: kept}


@pytest.mark.parametrize(
    "change",
    [
        {"id": "BRQ2"},
        {"status": None},
        {"status": ""},
        {"status": 7},
        {"status": ...},
        {"payment_request": ...},
        {"payment_request": []},
        {"payment_request": {"amount": 12500}},
        *({"payment_request": {"amount": bad, "currency": "GBP"}} for bad in (-1, "1", 1.5, True)),
        *({"payment_request": {"amount": 1, "currency": bad}} for bad in ("gbp", "", None, 826)),
    ],
)
def test_a_request_that_lacks_what_it_must_have_is_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        seen(payment(), asked=with_change(billing_request(), change))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "PM2"},
        {"status": None},
        {"status": ...},
        {"amount": ...},
        *({"amount": bad} for bad in (-1, 0, 125.0, "12500", True, None)),
        {"amount_refunded": ...},
        {"amount_refunded": -1},
        {"currency": "EUR"},
        {"currency": "gbp"},
    ],
)
def test_a_payment_that_lacks_what_it_must_have_is_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        seen(with_change(payment(), change))


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"[]", b"null", b"{}", b'"x"'])
def test_an_answer_that_is_no_envelope_is_unreadable(body: bytes) -> None:
    for path in (HERE, PAID_BY, PAST):
        answers = {HERE: billing_request(), PAID_BY: payment("failed"), PAST: events(), path: body}
        with pytest.raises(Unreadable):
            read(at_paths(answers))


def test_fields_that_we_do_not_know_are_fine() -> None:
    assert seen({**payment(), "brand_new": 1}, asked=billing_request(brand_new={})).facts


@given(st.data())
def test_any_payment_and_past_are_unreadable_or_sound(data: st.DataObject) -> None:
    odd: st.SearchStrategy[object] = st.sampled_from(
        [None, True, 0, -1, 10**18, 0.5, "", "x", [], {}, {"payment": "PM2"}]
    )
    word = st.sampled_from(["failed", "charged_back", "confirmed", "submitted", "paid_out"])
    paid_by = payment(data.draw(word), amount_refunded=data.draw(st.integers(0, 13000)))
    past = [failure(), event(data.draw(word))]
    place = data.draw(st.sampled_from([paid_by["payments"], *past, past[0]["details"], {}]))
    if place:
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(odd)

    with suppress(Unreadable):
        answer = read(at_paths({HERE: billing_request(), PAID_BY: paid_by, PAST: events(*past)}))
        if isinstance(answer, Unmapped):
            return
        assert isinstance(answer, Observation)
        facts = answer.facts
        assert 0 <= facts.booked <= facts.received
        assert 0 <= facts.taken_back <= facts.refunded
        assert facts.received or not facts.refunded


# Reference


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"metadata": {"reference": "INV-1", "order_ref": "SO-1"}}, "INV-1"),
        ({"metadata": {"order_ref": "SO-1"}}, "SO-1"),
        ({"metadata": {"reference": " ", "order_ref": "SO-1"}}, "SO-1"),
        ({"metadata": {}}, "PAY-1"),
        ({"metadata": None}, "PAY-1"),
    ],
)
def test_the_reference_is_the_first_of_the_usual_places(
    changes: dict[str, Any], expected: str
) -> None:
    part = {"amount": 12500, "currency": "GBP", "reference": "PAY-1", "description": "Order 7"}
    body = billing_request(payment_request=part, **changes)

    assert seen(payment(), asked=body).reference == expected


def test_the_reference_stands_where_the_account_says() -> None:
    body = billing_request(metadata={"erp": "SI-9", "reference": "INV-1"})

    def reference(path: str) -> str | None:
        return seen(payment(), asked=body, by=gocardless(reference=path)).reference

    assert reference("metadata.erp") == "SI-9"
    assert reference("metadata.none") is None
    assert reference("metadata") is None


@pytest.mark.parametrize("text", ["", "a\nb", "x" * 201, 7, ["SO-1"], None])
def test_a_reference_unfit_to_be_one_is_none(text: object) -> None:
    body = billing_request(metadata={"reference": text})

    assert seen(payment(), asked=body).reference is None


# What integrators get wrong (section 13)


def test_the_redirect_and_a_fulfilled_request_are_not_money() -> None:
    assert seen(payment("pending_submission")).facts.received == 0
    assert seen(None).facts.received == 0


def test_paid_is_not_final() -> None:
    assert not seen(payment("confirmed")).facts.final


def test_a_cause_alone_decides_nothing() -> None:
    misleading = event("surcharge_fee_debited", details={"cause": "payment_confirmed"})

    assert standing(payment("failed"), misleading) == (Status.FAILED, NOTHING, False)


@pytest.mark.parametrize("action", ["bank_authorisation_denied", "bank_authorisation_failed"])
def test_a_denied_authorisation_ends_nothing(action: str) -> None:
    (found,) = told(step(action))
    still_open = billing_request(
        status="pending", links={}, payment_request={"amount": 12500, "currency": "GBP"}
    )

    assert found.provider_id == REQUEST
    assert standing(asked=still_open) == (Status.OPEN, NOTHING, False)


def test_one_event_twice_in_a_body_keeps_its_id_twice() -> None:
    assert [one.event_id for one in told(event(), event())] == ["EV01", "EV01"]


def test_an_event_proves_nothing_about_amounts() -> None:
    (found,) = told(event(amount=1, details={"amount": 1}))

    assert found == Event(
        Kind.PAYMENT, PAYMENT, "EV01", created_at=datetime(2025, 3, 3, 9, 4, 25, tzinfo=UTC)
    )


def test_an_organisation_in_the_links_is_no_reason_to_refuse() -> None:
    (found,) = told(event(links={"payment": PAYMENT, "organisation": "OR1"}))

    assert found.verdict is EventVerdict.ACCEPTED


@pytest.mark.parametrize("minor", [1, 29, 1999, 10**15 - 1])
def test_amounts_stay_whole_minor_units(minor: int) -> None:
    part = {"amount": minor, "currency": "EUR"}
    body = billing_request(payment_request=part)
    facts = seen(payment(amount=minor, currency="EUR"), asked=body).facts

    assert (facts.amount, facts.received, facts.currency) == (minor, minor, "EUR")
