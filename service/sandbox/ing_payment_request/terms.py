"""What a payment request was created with. Source: fact sheet ing_payment_request, section 5.1."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Terms:
    """Amounts in cents. Either fixed or suggested is set; fixed is the amount of each payment.

    payments_max and receivable_max make the request fulfilled when they are reached.
    """

    valid_until: datetime
    purchase_id: str
    description: str
    fixed: int | None = None
    suggested: int | None = None
    least: int | None = None
    most: int | None = None
    payments_max: int | None = None
    receivable_max: int | None = None
    return_url: str | None = None

    @property
    def asked(self) -> int:
        """What has to come for the request to be paid. Source: STATUSES.md, section 2, point 4."""
        if self.receivable_max is not None:
            return self.receivable_max
        if self.fixed is not None:
            return self.fixed * (self.payments_max or 1)
        assert self.suggested is not None
        return self.suggested
