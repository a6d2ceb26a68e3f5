"""What we tell the ERP: the exact bytes that are signed. Source: CONTRACT.md, section 5."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from service.domain.money import Money, MoneyJson
from service.domain.order import OrderState
from service.domain.request import ObservedBy, PaymentRequest
from service.domain.status import ISO20022

SCHEMA = "1"


def time_text(at: datetime | None) -> str | None:
    """Return a time as RFC 3339 in UTC with milliseconds and Z."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def notification_of_request(
    before: PaymentRequest,
    after: PaymentRequest,
    *,
    notification_id: str,
    notification_type: str,
    provider: str,
    correction: bool,
    observed_by: ObservedBy,
    observed_at: datetime,
    recorded_at: datetime,
) -> bytes:
    """Return the body of the message about one transition of a request."""
    facts = after.facts
    assert facts is not None, "a transition always ends in facts"
    previous = before.facts.status if before.facts else None
    data = {
        "reference": after.reference,
        "request_id": after.id,
        "order_id": after.order_id,
        "account": after.key.account,
        "kind": after.key.kind,
        "direction": after.direction,
        "sequence": after.sequence,
        "status": facts.status,
        "previous_status": previous,
        "final": facts.final,
        "correction": correction,
        **amounts(facts.currency, facts.amount, facts.money),
        "iso20022": {"status": ISO20022.get(facts.status), "reason": None},
        "reason": facts.reason,
        "provider": {
            "name": provider,
            "id": after.key.provider_id,
            "status": facts.provider_status,
        },
        "attention": sorted(after.attention),
        "occurred_at": time_text(after.occurred_at),
        "observed_at": time_text(observed_at),
        "observed_by": observed_by,
    }
    return _body(notification_id, notification_type, recorded_at, data)


def notification_of_order(
    state: OrderState,
    *,
    notification_id: str,
    order_id: str,
    reference: str,
    sequence: int,
    previous_status: str | None,
    amount: int | None,
    withdrawn: bool,
    requests: Sequence[Mapping[str, object]],
    recorded_at: datetime,
) -> bytes:
    """Return the body of the message about one change of an order.

    amount is what the ERP registered, None for an order known only by discovery; it stands when
    the order was withdrawn. requests holds id, account, status, received and refunded of each
    request.
    """
    data = {
        "reference": reference,
        "order_id": order_id,
        "sequence": sequence,
        "status": state.status,
        "previous_status": previous_status,
        **amounts(
            state.currency,
            amount,
            (state.received, state.refunded, state.taken_back, state.booked),
        ),
        "rule": state.rule,
        "withdrawn": withdrawn,
        "attention": sorted(state.attention),
        "requests": requests,
    }
    return _body(notification_id, f"order.{state.status}", recorded_at, data)


def amounts(
    currency: str | None, amount: int | None, money: tuple[int, int, int, int]
) -> dict[str, MoneyJson | None]:
    """Return the five amounts as the API and the messages show them; null when not known."""
    if currency is None:
        return dict.fromkeys(("amount", "received", "refunded", "taken_back", "booked"))
    received, refunded, taken_back, booked = money
    return {
        "amount": Money(amount, currency).as_json() if amount is not None else None,
        "received": Money(received, currency).as_json(),
        "refunded": Money(refunded, currency).as_json(),
        "taken_back": Money(taken_back, currency).as_json(),
        "booked": Money(booked, currency).as_json(),
    }


def _body(
    notification_id: str, notification_type: str, at: datetime, data: Mapping[str, object]
) -> bytes:
    message = {
        "type": notification_type,
        "id": notification_id,
        "timestamp": time_text(at),
        "schema": SCHEMA,
        "data": data,
    }
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
