"""A payment request of this provider: an order to pay, made of transfers."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from service.sandbox.ledger import PaymentRequest

# Currencies without decimal places, and with three; the others have two. Source: ISO 4217.
WHOLE = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV"}
    | {"XAF", "XOF", "XPF"}
)
THREE_PLACES = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money for one payee. Amount is in minor units; debtor and creditor are bank account ids."""

    debtor: int
    creditor: int
    amount: int
    currency: str
    requested_on: date | None

    @property
    def major(self) -> Decimal:
        """The amount in major units, with all decimal places of its currency."""
        return Decimal(self.amount).scaleb(-exponent_of(self.currency))


@dataclass(slots=True)
class PaymentOrder(PaymentRequest):
    """transfers are kept by their id.

    They may be in several currencies: the request's is the first one's, and its amount is the sum
    of the transfers in that currency.
    """

    transfers: dict[str, Transfer] = field(default_factory=dict)
    payment_type: str = "local"
    payment_means: str = "credit_transfer"


def exponent_of(currency: str) -> int:
    """Return how many decimal places a currency has."""
    if currency in WHOLE:
        return 0
    return 3 if currency in THREE_PLACES else 2
