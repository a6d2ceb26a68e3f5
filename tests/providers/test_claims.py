"""What an event says of a status: noted as a claim where it is a word we know, else as none."""

import json

import pytest

from service.domain.event import Call
from service.domain.status import Status
from tests.providers.bunq_bodies import call_about_inquiry, verify
from tests.providers.ginger_bodies import NOW, ORDER, ginger
from tests.providers.gocardless_bodies import event, step, told


@pytest.mark.parametrize(
    ("fields", "claims"),
    [
        ({"order_status": "completed"}, Status.PAID),
        ({"order_status": "new"}, Status.CREATED),
        ({"order_status": "error"}, Status.FAILED),
        ({}, None),
        ({"order_status": "sleeping"}, None),
        ({"order_status": 7}, None),
        ({"order_status": ["completed"]}, None),
        ({"transaction_status": "completed"}, None),
    ],
)
def test_ginger_claims_the_status_of_the_order(
    fields: dict[str, object], claims: Status | None
) -> None:
    hint = {"event": "status_changed", "order_id": ORDER, **fields}

    (found,) = ginger().verify(Call({}, json.dumps(hint).encode(), received_at=NOW))

    assert found.claims is claims


@pytest.mark.parametrize(
    ("fields", "claims"),
    [
        ({"status": "ACCEPTED"}, Status.SETTLED),
        ({"status": "REVOKED"}, Status.CANCELLED),
        ({}, None),
        ({"status": "accepted"}, None),
        ({"status": None}, None),
        ({"status": {}}, None),
    ],
)
def test_bunq_claims_the_status_of_the_object(
    fields: dict[str, object], claims: Status | None
) -> None:
    assert verify(call_about_inquiry(**fields)).claims is claims


@pytest.mark.parametrize(
    ("item", "claims"),
    [
        (event("confirmed"), Status.PAID),
        (event("paid_out"), Status.SETTLED),
        (event("charged_back"), Status.REVERSED),
        (event("chargeback_cancelled"), None),
        (event("created"), None),
        (step("fulfilled"), None),
        (step("cancelled"), Status.CANCELLED),
        (step("created"), None),
        (event("paid", resource_type="refunds"), None),
    ],
)
def test_gocardless_claims_what_an_action_is_called_like(
    item: object, claims: Status | None
) -> None:
    (found,) = told(item)

    assert found.claims is claims
