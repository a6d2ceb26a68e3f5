"""What an ERP has to know of a request in the end, straight from its ledger.

Independent of the provider's words and of the product's code. Source: STATUSES.md, sections 1
and 2.
"""

from typing import Literal

from msgspec import Struct

from service.sandbox.ledger import PaymentRequest


class Truth(Struct, kw_only=True):
    """The canonical outcome of a request; amounts are minor units of its currency.

    amount is None where the provider leaves it open.
    """

    account: str
    kind: str
    provider_id: str
    reference: str | None
    currency: str
    amount: int | None
    status: str
    received: int
    refunded: int
    taken_back: int
    booked: int
    final: bool
    direction: Literal["in", "out"] = "in"


def truth_about(
    request: PaymentRequest,
    account: str,
    *,
    status: str,
    final: bool,
    received: int,
    refunded: int = 0,
    taken_back: int = 0,
    booked: int = 0,
    direction: Literal["in", "out"] = "in",
) -> Truth:
    """Return the truth about a request that an account's ledger comes to."""
    return Truth(
        account=account,
        kind=request.kind,
        provider_id=request.id,
        reference=request.reference,
        currency=request.currency,
        amount=request.amount,
        status=status,
        received=received,
        refunded=refunded,
        taken_back=taken_back,
        booked=booked,
        final=final,
        direction=direction,
    )
