"""What an ERP has to know of a request in the end, straight from its ledger.

Independent of the provider's words and of the product's code. Source: STATUSES.md, sections 1
and 2.
"""

from typing import Literal

from msgspec import Struct


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
