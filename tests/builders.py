"""Small builders whose defaults are ordinary: a Ginger order over 40.00 euros."""

from datetime import UTC, datetime

from service.domain.request import (
    Direction,
    Facts,
    Key,
    Kind,
    Observation,
    PaymentRequest,
    Related,
)
from service.domain.status import Status

AMOUNT = 4000
SEEN_AT = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)

_RECEIVED = {
    Status.PART_PAID: 1500,
    Status.PAID: AMOUNT,
    Status.SETTLED: AMOUNT,
    Status.REVERSED: AMOUNT,
}
_FINAL = {
    Status.PAID,
    Status.SETTLED,
    Status.REJECTED,
    Status.CANCELLED,
    Status.EXPIRED,
    Status.REVERSED,
}


def facts(
    status: Status = Status.OPEN,
    *,
    final: bool | None = None,
    currency: str = "EUR",
    amount: int | None = AMOUNT,
    received: int | None = None,
    refunded: int | None = None,
    taken_back: int = 0,
    booked: int | None = None,
    provider_status: str = "",
    reason: str | None = None,
) -> Facts:
    """Facts whose finality and amounts fit the status where they are not given."""
    received = _RECEIVED.get(status, 0) if received is None else received
    return Facts(
        status=status,
        final=status in _FINAL if final is None else final,
        currency=currency,
        amount=amount,
        received=received,
        refunded=(received if status is Status.REVERSED else 0) if refunded is None else refunded,
        taken_back=taken_back,
        booked=(received if status is Status.SETTLED else 0) if booked is None else booked,
        provider_status=provider_status or status.value,
        reason=reason,
    )


def request(
    known: Status | Facts | None = Status.OPEN,
    *,
    version: int | None = None,
    lease_no: int = 1,
    reference: str | None = "INV-1043",
    registered: bool = False,
    parked: str | None = None,
    attention: frozenset[str] = frozenset(),
    order_id: str | None = None,
    account: str = "ginger-nl",
    kind: Kind = Kind.ORDER,
    provider_id: str = "4c6afd74-0000-4000-8000-000000000001",
) -> PaymentRequest:
    """A request that was read once and is as given; never read with None."""
    recorded = facts(known) if isinstance(known, Status) else known
    return PaymentRequest(
        id="prq_1",
        key=Key(account, kind, provider_id),
        first_seen_at=SEEN_AT,
        facts=recorded,
        version=version,
        lease_no=lease_no if recorded else 0,
        sequence=1 if recorded else 0,
        reference=reference,
        order_id=order_id,
        registered=registered,
        parked=parked,
        attention=attention,
        occurred_at=SEEN_AT if recorded else None,
    )


def seen(
    shown: Status | Facts = Status.OPEN,
    *,
    version: int | None = None,
    reference: str | None = None,
    occurred_at: datetime | None = SEEN_AT,
    direction: Direction = Direction.IN,
    related: tuple[Related, ...] = (),
    attention: frozenset[str] = frozenset(),
    retried: bool = False,
) -> Observation:
    """An observation that shows what is given."""
    return Observation(
        facts=facts(shown) if isinstance(shown, Status) else shown,
        version=version,
        reference=reference,
        occurred_at=occurred_at,
        direction=direction,
        related=related,
        attention=attention,
        retried=retried,
    )
