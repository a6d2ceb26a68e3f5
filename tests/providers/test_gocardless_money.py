"""Status and money of a GoCardless payment, one trap each. Source: fact sheet, 3, 4 and 6."""

import json
from contextlib import suppress
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.lifecycle import Contradiction, Transition, advance, with_reversal
from service.domain.request import (
    Key,
    Kind,
    NotOurs,
    Observation,
    PaymentRequest,
    Related,
    Unmapped,
)
from service.domain.status import Status
from service.errors import NotFoundThere, Unreadable
from tests.providers.exchange import at_paths
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
    payment,
    read,
    seen,
    standing,
)

PART = {"amount": 12500, "currency": "GBP", "links": {}}


def test_without_a_payment_the_request_decides() -> None:
    def of(word: str) -> tuple[Status, tuple[int, int, int, int], bool]:
        return standing(asked=billing_request(status=word, links={}, payment_request=PART))

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


@pytest.mark.parametrize(
    ("word", "registered"),
    [
        ("pending", (Status.OPEN, False)),
        ("fulfilled", (Status.CANCELLED, True)),
        ("cancelled", (Status.CANCELLED, True)),
        ("brand_new", None),
    ],
)
def test_a_request_for_a_mandate_alone_is_none_of_ours_and_cancelled_once_fulfilled_if_registered(
    word: str, registered: tuple[Status, bool] | None
) -> None:
    mandate = {"currency": "GBP", "scheme": "bacs"}
    body = billing_request(payment_request=None, mandate_request=mandate, status=word, links={})

    answer = read(at_paths({HERE: body}))

    assert isinstance(answer, NotOurs)
    assert answer.reason == "no_payment_part"
    if answer.as_registered is None:
        assert registered is None
    else:
        shown = answer.as_registered.facts
        assert (shown.status, shown.final) == registered
        assert answer.as_registered.attention == {"no_payment_part"}


@pytest.mark.parametrize("mandate", [None, {}, {"currency": 7}, {"currency": "XXXX"}])
def test_of_a_mandate_without_a_currency_nothing_more_is_said(mandate: object) -> None:
    body = billing_request(payment_request=None, mandate_request=mandate, links={})

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


@pytest.mark.parametrize(("action", "booked"), [("confirmed", 0), ("paid_out", 12500)])
def test_a_failure_after_money_was_confirmed_takes_it_back_and_unbooks_nothing(
    action: str, booked: int
) -> None:
    past = (failure(will_attempt_retry=True), event(action))

    status, money, final = standing(payment("failed"), *past)

    assert (status, money, final) == (Status.REVERSED, (12500, 12500, 12500, booked), True)


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


@pytest.mark.parametrize("word", ["pending_submission", "submitted", "cancelled"])
def test_whatever_follows_a_failure_for_good_is_a_retry_and_always_legal(word: str) -> None:
    known = seen(payment("failed"), failure(will_attempt_retry=False)).facts
    retried = seen(payment(word), known=known)
    request = PaymentRequest("prq_1", Key("gc", Kind.BILLING_REQUEST, REQUEST), NOW, facts=known)

    assert known.final
    assert isinstance(advance(request, retried, lease_no=1), Transition)
    assert not seen(payment("failed"), failure(), known=known).retried
    assert not seen(payment("submitted")).retried
    assert not seen(asked=billing_request(links={}, payment_request=PART), known=known).retried


def test_a_retry_shows_in_the_events_that_money_had_come_between_two_failures() -> None:
    known = seen(payment("failed"), failure(will_attempt_retry=True)).facts
    confirmed = event("confirmed", created_at="2025-03-06T08:00:00.000Z")
    past = (failure("2025-03-07T08:00:00.000Z"), confirmed, failure())

    assert standing(payment("submitted"), *past, known=known) == TAKEN_BACK


def test_a_charge_back_that_we_missed_may_have_left_a_payment_confirmed_again() -> None:
    known = seen(payment("paid_out")).facts
    paid_out = event("paid_out", created_at="2025-03-06T08:00:00.000Z")
    charged_back = event("charged_back", created_at="2025-03-07T08:00:00.000Z")
    cancelled = event("chargeback_cancelled", created_at="2025-03-08T08:00:00.000Z")
    again = event("paid_out", created_at="2025-03-09T08:00:00.000Z")
    past = (cancelled, charged_back, paid_out)

    assert standing(payment("confirmed"), *past, known=known) == (
        Status.PAID,
        (12500, 0, 0, 0),
        False,
    )
    for contradicted in ((again, *past), (charged_back, paid_out), (paid_out,)):
        with pytest.raises(Unreadable, match="older picture"):
            seen(payment("confirmed"), *contradicted, known=known)


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


# Anything at all


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
