"""The traps in reading GoCardless, one test each. Source: fact sheet gocardless."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from service.domain.event import Event
from service.domain.request import (
    Kind,
    Related,
    Unclaimed,
    Unmapped,
)
from service.domain.status import Status
from service.errors import Unreadable
from tests.providers.exchange import always, at_paths, run
from tests.providers.gocardless_bodies import (
    HERE,
    NOTHING,
    PAID_BY,
    PAST,
    PAYMENT,
    REQUEST,
    TAKEN_BACK,
    billing_request,
    event,
    events,
    gocardless,
    payment,
    read,
    seen,
    signed,
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
        Kind.PAYMENT,
        PAYMENT,
        "EV01",
        created_at=datetime(2025, 3, 3, 9, 4, 25, tzinfo=UTC),
        claims=Status.PART_PAID,
    )


@pytest.mark.parametrize(
    ("ours", "named", "reason"),
    [
        (None, "OR1", None),
        ("OR1", "OR1", None),
        ("OR1", None, None),
        ("OR1", "OR2", "foreign_organisation"),
        ("OR1", 7, "foreign_organisation"),
    ],
)
def test_an_event_of_another_organisation_is_set_aside_where_ours_is_known(
    ours: str | None, named: object, reason: str | None
) -> None:
    item = event(links={"payment": PAYMENT, "organisation": named})

    (found,) = gocardless(organisation_id=ours).verify(
        signed(json.dumps({"events": [item]}).encode())
    )

    assert found.reason == reason
    assert found.provider_id == (PAYMENT if reason is None else None)


@pytest.mark.parametrize("minor", [1, 29, 1999, 10**15 - 1])
def test_amounts_stay_whole_minor_units(minor: int) -> None:
    part = {"amount": minor, "currency": "EUR"}
    body = billing_request(payment_request=part)
    facts = seen(payment(amount=minor, currency="EUR"), asked=body).facts

    assert (facts.amount, facts.received, facts.currency) == (minor, minor, "EUR")
