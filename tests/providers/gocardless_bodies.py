"""What GoCardless sends, ordinary by default, and an adapter that reads it."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from service.domain.event import Call, Event
from service.domain.request import (
    Answer,
    Facts,
    Kind,
    Observation,
)
from service.domain.status import Status
from service.providers import AccountContext
from service.providers.gocardless import GoCardless, GoCardlessKeys
from service.settings import Secret
from tests.providers.exchange import Responder, at_paths, run

SECRET = "wh_test_a"
REQUEST = "BRQ0006K3VB4N71"
PAYMENT = "PM009V7QX2M4TB"
HERE = f"/billing_requests/{REQUEST}"
PAID_BY = f"/payments/{PAYMENT}"
PAST = f"/events?payment={PAYMENT}&limit=250"
NOW = datetime(2025, 3, 3, 9, 5, tzinfo=UTC)


def gocardless(
    *,
    secrets: tuple[str, ...] = (SECRET,),
    words: dict[str, Status] | None = None,
    reference: str | None = None,
    organisation_id: str | None = None,
) -> GoCardless:
    keys = GoCardlessKeys(
        api_base="https://api.psp.example/",
        access_token=Secret("t0ken"),
        webhook_secrets=tuple(map(Secret, secrets)),
        organisation_id=organisation_id,
    )
    return GoCardless(keys, AccountContext("test", words or {}, False, reference_from=reference))


def signed(body: bytes, *, secret: str = SECRET) -> Call:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return Call({"webhook-signature": signature}, body, received_at=NOW)


def words(text: str) -> list[str]:
    return text.split()


def told(*items: object) -> list[Event]:
    """Return the events that the adapter makes of items in one signed call."""
    return list(gocardless().verify(signed(json.dumps({"events": items}).encode())))


def event(action: str = "confirmed", **changes: Any) -> dict[str, Any]:
    """Return an event of the payment; None takes a field away."""
    body = {
        "id": "EV01",
        "created_at": "2025-03-03T09:04:25.000Z",
        "resource_type": "payments",
        "action": action,
        "metadata": {},
        "details": {"origin": "gocardless", "cause": f"payment_{action}"},
        "links": {"payment": PAYMENT},
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def step(action: str, **changes: Any) -> dict[str, Any]:
    """Return an event of the billing request."""
    links = {"billing_request": REQUEST}
    return event(action, **{"resource_type": "billing_requests", "links": links, **changes})


def billing_request(**changes: Any) -> dict[str, Any]:
    """Return a fulfilled billing request of 125.00 GBP with a payment."""
    body = {
        "id": REQUEST,
        "status": "fulfilled",
        "payment_request": {"amount": 12500, "currency": "GBP", "links": {"payment": PAYMENT}},
        "mandate_request": None,
        "metadata": {"order_ref": "SO-1"},
        "links": {"payment_request": "PRQ1", "payment_request_payment": PAYMENT},
        "fallback_occurred": False,
    }
    return {"billing_requests": {**body, **changes}}


def payment(status: str = "confirmed", **changes: Any) -> dict[str, Any]:
    body = {
        "id": PAYMENT,
        "amount": 12500,
        "amount_refunded": 0,
        "currency": "GBP",
        "status": status,
        "links": {"creditor": "CR1"},
        "retry_if_possible": False,
    }
    return {"payments": {**body, **changes}}


def events(*items: object, after: str | None = None) -> dict[str, Any]:
    return {"events": items, "meta": {"cursors": {"before": None, "after": after}, "limit": 500}}


def failure(at: str = "2025-03-05T08:00:00.000Z", **details: object) -> dict[str, Any]:
    cause = {"origin": "bank", "cause": "insufficient_funds", **details}
    return event("failed", id="EV09", created_at=at, details=cause)


def read(answer: Responder, known: Facts | None = None, *, by: GoCardless | None = None) -> Answer:
    return run((by or gocardless()).read(Kind.BILLING_REQUEST, REQUEST, known), answer)[0]


def seen(
    paid_by: object = None,
    *past: object,
    asked: object = None,
    known: Facts | None = None,
    by: GoCardless | None = None,
) -> Observation:
    """Read a billing request whose payment and that payment's events are given; None is a 404."""
    answers = {HERE: asked or billing_request(), PAID_BY: paid_by, PAST: events(*past)}
    observation = read(at_paths(answers), known, by=by)
    assert isinstance(observation, Observation)
    return observation


def standing(*args: Any, **options: Any) -> tuple[Status, tuple[int, int, int, int], bool]:
    facts = seen(*args, **options).facts
    return facts.status, facts.money, facts.final


NOTHING = (0, 0, 0, 0)
TAKEN_BACK = (Status.REVERSED, (12500, 12500, 12500, 0), True)
