"""Ginger's answers as it sends them, and an adapter that reads them.

Builders are ordinary by default: an order that one completed transaction has paid, and a
link that names its attempts as they are.
"""

import json
from datetime import UTC, datetime
from typing import Any

from service.domain.request import Answer, Facts, Kind, Observation
from service.domain.status import Status
from service.providers import AccountContext
from service.providers.ginger import Ginger, GingerKeys
from service.settings import Secret
from tests.providers.exchange import Responder, always, at_paths, run

ORDER = "93101167-9065-4b9c-b98b-5d789a3ed9fe"
REFUND = "2199ba28-2dc6-4ab2-92ce-9da4fa66573f"
CHARGE_BACK = "3bb663cc-2a20-400d-8bf6-18d9695d0c66"
OURS = "405d8375-3514-403b-8c43-83ae74cfe0e9"
THEIRS = "1ef558ed-d77d-470d-b43b-c0f4a131bcef"
LINK = "b140a83f-b8e4-47ed-bf80-3f751e4a11ed"
OTHER_LINK = "c251b940-c9f5-48fe-8091-4086204b22fe"
UNPAID: dict[str, Any] = {"transactions": [], "completed": None}
HERE = f"/v1/orders/{ORDER}/"
WITH_DETAILS = f"{HERE}?fields%5B%5D=amount_details"
NOW = datetime(2024, 5, 14, 9, 30, tzinfo=UTC)


def ginger(
    *,
    words: dict[str, Status] | None = None,
    live: bool = False,
    reference: str | None = None,
    project_ids: tuple[str, ...] = (OURS,),
) -> Ginger:
    keys = GingerKeys(
        api_base="https://api.psp.example/", api_key=Secret("k3y"), project_ids=project_ids
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


def attempt_id(number: int) -> str:
    return f"a475a773-a7f4-469c-8deb-{number:012x}"


def attempt(number: int, **changes: Any) -> dict[str, Any]:
    """Return an order made through the link, paid by one completed transaction."""
    return order(**{"id": attempt_id(number), "related_payment_link_id": LINK, **changes})


def unpaid(number: int, word: str, **changes: Any) -> dict[str, Any]:
    return attempt(number, status=word, **{**UNPAID, **changes})


def running(number: int) -> dict[str, Any]:
    return unpaid(number, "processing", transactions=[transaction(status="pending")])


def link(*attempts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a link that names its attempts under the status they have; None takes a field away."""
    groups: dict[str, list[str]] = {}
    for one in attempts:
        groups.setdefault(one["status"], []).append(one["id"])
    body = {
        "id": LINK,
        "merchant_order_id": "SI-350",
        "amount": 5000,
        "currency": "EUR",
        "status": "completed",
        "orders": groups,
        "created": "2024-05-14T08:30:00.000000Z",
        "modified": "2024-05-14T09:14:45.902217Z",
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def at(*bodies: dict[str, Any]) -> dict[str, object]:
    """Return where orders are found."""
    return {f"/v1/orders/{body['id']}/": body for body in bodies}


def read_link(
    body: dict[str, Any], *orders: dict[str, Any], known: Facts | None = None, **setting: Any
) -> tuple[Answer, int]:
    """Read a link; return the answer and how many calls it took."""
    answers = {f"/v1/paymentlinks/{LINK}/": body, **at(*orders)}
    exchange = ginger(**setting).read(Kind.PAYMENT_LINK, LINK, known)
    answer, requests = run(exchange, at_paths(answers))
    return answer, len(requests)


def link_seen(
    body: dict[str, Any], *orders: dict[str, Any], known: Facts | None = None
) -> Observation:
    answer, _ = read_link(body, *orders, known=known)
    assert isinstance(answer, Observation)
    return answer


def link_status(word: str, *attempts: dict[str, Any], **changes: Any) -> tuple[Status, int, bool]:
    facts = link_seen(link(*attempts, status=word, **changes), *attempts).facts
    return facts.status, facts.received, facts.final
