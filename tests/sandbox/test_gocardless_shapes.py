"""GoCardless's JSON against the fact sheet's samples: the same fields, the same types."""

import json
import re
from typing import Any

import pytest

from service.sandbox.gocardless.billing import billing_request_json
from service.sandbox.gocardless.events import event_json
from service.sandbox.gocardless.pictures import payment_json
from service.sandbox.gocardless.shelf import Stretch
from service.sandbox.gocardless.stories import STORIES
from tests.sandbox.gocardless_worlds import account, played, sample

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
ID = re.compile(r"(BRQ|BRF|PRQ|MRQ|BAU|PM|MD|CU|CBD|BA|CR|PO|OR|EV|WB)[0-9A-Z]{11,14}")


def shape(value: Any) -> Any:
    """Return a value with each leaf replaced by its type; times, dates and ids are told apart."""
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items()}
        case list():
            return sorted({json.dumps(shape(inner), sort_keys=True) for inner in value})
        case str() if TIME.fullmatch(value):
            return "time"
        case str() if DATE.fullmatch(value):
            return "date"
        case str() if found := ID.fullmatch(value):
            return found[1]
        case _:
            return type(value).__name__


def shown_billing(story: str, currency: str = "GBP") -> Any:
    request = played(story, currency=currency)
    return billing_request_json(request, request.entries, account().merchant)


def shown_payment(story: str) -> Any:
    request = played(story)
    return payment_json(request, request.entries, account().merchant)


@pytest.mark.parametrize(
    ("story", "name"),
    [
        ("created", "pending"),
        ("authorising", "ready_to_fulfil"),
        ("fulfilling", "fulfilling"),
        ("paid", "fulfilled"),
        ("fallback", "fulfilled_by_fallback"),
        ("mandate_only", "fulfilled_mandate_only"),
        ("payment_and_mandate", "fulfilled_payment_and_mandate"),
    ],
)
def test_a_billing_request_has_the_shape_and_status_of_its_sample(story: str, name: str) -> None:
    shown, expected = shown_billing(story), sample(f"billing_requests/{name}")["billing_requests"]

    assert shape(shown) == shape(expected)
    assert shown["status"] == expected["status"]


def test_a_cancelled_request_has_the_shape_of_its_sample() -> None:
    shown = shown_billing("cancelled")
    expected = sample("billing_requests/cancelled")["billing_requests"]
    # The sample's payer gave no bank account before the request was cancelled.
    del shown["links"]["customer_bank_account"]

    assert shape(shown) == shape(expected)


def test_a_request_in_euros_names_its_scheme() -> None:
    shown = shown_billing("created", currency="EUR")
    expected = sample("billing_requests/pending_eur")["billing_requests"]

    assert shape(shown) == shape(expected)
    assert shown["payment_request"]["scheme"] == expected["payment_request"]["scheme"]


def test_the_actions_still_to_be_taken_are_those_of_the_sample() -> None:
    told, expected = (
        [(each["type"], each["status"], each["requires_actions"]) for each in request["actions"]]
        for request in (
            shown_billing("created"),
            sample("billing_requests/pending")["billing_requests"],
        )
    )

    assert told == expected


@pytest.mark.parametrize(
    ("story", "name"),
    [
        ("accepted", "pending_submission"),
        ("processing", "submitted"),
        ("paid", "confirmed"),
        ("paid_out", "paid_out"),
        ("failed", "failed"),
        ("payment_cancelled", "cancelled"),
        ("part_refund", "confirmed_partially_refunded"),
        ("customer_approval_awaited", "pending_customer_approval"),
        ("customer_approval_denied", "customer_approval_denied"),
        ("chargeback", "charged_back"),
        ("late_failure", "failed_after_paid_out"),
    ],
)
def test_a_payment_has_the_shape_of_its_sample(story: str, name: str) -> None:
    shown, expected = shown_payment(story), sample(f"payments/{name}")["payments"]

    assert shape(shown) == shape(expected)
    told = ("status", "scheme", "retry_if_possible")
    assert [shown[key] for key in told] == [expected[key] for key in told]


def test_what_a_refund_leaves_is_on_the_payment() -> None:
    assert shown_payment("part_refund")["amount_refunded"] == 5000
    assert shown_payment("failed_refund")["amount_refunded"] == 0
    assert shown_payment("refund")["status"] == "paid_out"


def shown_events(story: str) -> list[Any]:
    holder = account()
    played(story, at=holder)
    page = holder.events.page(Stretch(limit=500), lambda event: True)
    return [event_json(event) for event in page.items]


def test_the_events_of_a_paid_request_have_the_shapes_of_the_samples() -> None:
    expected = [
        event
        for page in ("list_page_1", "list_page_2", "list_page_3_last")
        for event in sample(f"events/{page}")["events"]
    ]
    wanted = {(each["resource_type"], each["action"]): each for each in expected}

    told = {(each["resource_type"], each["action"]): each for each in shown_events("paid_out")}

    assert wanted.keys() <= told.keys()
    for key, event in wanted.items():
        assert shape(told[key]) == shape(event)
        assert told[key]["details"]["cause"] == event["details"]["cause"]


@pytest.mark.parametrize(
    ("story", "name"),
    [
        ("payer_declines_then_pays", "bank_authorisation_denied"),
        ("failed", "payment_failed"),
        ("paid_out", "payment_paid_out"),
    ],
)
def test_an_event_of_a_webhook_has_the_shape_of_its_sample(story: str, name: str) -> None:
    (expected,) = sample(f"webhooks/{name}")["body_for_reading"]["events"]

    told = [each for each in shown_events(story) if each["action"] == expected["action"]]
    shown = next(each for each in told if each["resource_type"] == expected["resource_type"])

    assert shape(shown) == shape(expected)


@pytest.mark.parametrize("story", STORIES)
def test_no_event_of_a_payment_names_its_billing_request(story: str) -> None:
    for event in shown_events(story):
        if event["resource_type"] != "billing_requests":
            assert "billing_request" not in event["links"]
        assert not {"amount", "currency", "status"} & event.keys()


def test_a_failure_says_whether_it_will_be_tried_again() -> None:
    failures = [
        event["details"]
        for event in reversed(shown_events("failed_for_good"))
        if event["action"] == "failed"
    ]

    assert [each["will_attempt_retry"] for each in failures] == [True, False]
    assert failures[0]["scheme"] == "bacs"


def test_a_cancelled_chargeback_has_the_cause_of_a_confirmation() -> None:
    (event,) = [e for e in shown_events("chargeback_cancelled") if "cancelled" in e["action"]]

    assert event["details"]["cause"] == "payment_confirmed"
