"""A payment order of our own and the account that makes it, ordinary by default."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from service.domain.lifecycle import Transition, advance
from service.domain.request import Answer, Facts, Key, Kind, Observation, PaymentRequest
from service.domain.status import Status
from service.providers import AccountContext
from service.providers.payment_requests_v2 import PaymentRequestsV2, PaymentRequestsV2Keys
from service.settings import Secret
from tests.providers.exchange import Responder, at_paths, run

BASE = "https://api.partner.example/api/v2"
LIST = "/api/v2/payment-requests"
RELATIONS = "transfers.debtor.bank_account%2Ctransfers.creditor.bank_account"
HERE = f"{LIST}/41?client_account_id=123&with={RELATIONS}"
CREATED_AT = datetime(2025, 3, 3, 12, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SETTLED, PAID, PART_PAID = Status.SETTLED, Status.PAID, Status.PART_PAID


def orders(
    token: Secret | None = None,
    words: Mapping[str, Status] | None = None,
    api_base: str = f"{BASE}/",
) -> PaymentRequestsV2:
    keys = PaymentRequestsV2Keys(
        api_base=api_base,
        api_token=token or Secret("t0ken"),
        client_account_id=123,
    )
    return PaymentRequestsV2(keys, AccountContext("partner", words or {}, live=False))


def transfer(word: str | int = "initiated", amount: float = 1500, **changes: Any) -> dict[str, Any]:
    return {
        "debtor": {"bank_account_id": 456},
        "creditor": {"bank_account_id": 789},
        "requested_transfer_date": "2025-03-05",
        "payment_status": word,
        "amount": amount,
        "currency_code": "NOK",
        **changes,
    }


def order(*transfers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a payment order with these transfers; None takes a field away."""
    listed = transfers or (transfer(),)
    body = {
        "id": 41,
        "created_at": "2025-03-03T12:00:00Z",
        "client_account_id": 123,
        "payment_status": "initiated",
        "transfers": [{"id": 411 + number, **one} for number, one in enumerate(listed)],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def read(
    answer: Responder, known: Facts | None = None, words: Mapping[str, Status] | None = None
) -> Answer:
    return run(orders(words=words).read(Kind.PAYMENT_REQUEST, "41", known), answer)[0]


def seen(
    body: dict[str, Any] | bytes,
    known: Facts | None = None,
    words: Mapping[str, Status] | None = None,
) -> Observation:
    """Read an order that is known to be an observation."""
    observation = read(at_paths({HERE: body}), known, words)
    assert isinstance(observation, Observation)
    return observation


def status_of(*said: str | int, words: Mapping[str, Status] | None = None) -> tuple[Status, bool]:
    """Return status and final of an order whose transfers say these words."""
    facts = seen(order(*(transfer(word) for word in said)), words=words).facts
    return facts.status, facts.final


def money_of(body: dict[str, Any], known: Facts | None = None) -> tuple[int, int, int, int]:
    return seen(body, known).facts.money


def recorded(observation: Observation) -> PaymentRequest:
    """Return a request as it is recorded after its first read."""
    key = Key("partner", Kind.PAYMENT_REQUEST, "41")
    verdict = advance(PaymentRequest("R1", key, CREATED_AT), observation, lease_no=1)
    assert isinstance(verdict, Transition)
    return verdict.after
