"""What bunq checks of a new request inquiry. Source: fact sheet bunq, section 2, create body."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from service.sandbox.bunq.answers import decoded, refused
from service.sandbox.bunq.parties import bunq_user, outsider
from service.sandbox.ledger import Json

# Accepts by itself what it is asked, up to an amount. Source: fact sheet bunq, section 10.
SUGAR_DADDY = "sugardaddy@bunq.com"
SUGAR_DADDY_IBAN = "NL57BUNQ2025104100"
SUGAR_DADDY_MAX = 50_000

Minimum = Annotated[int, Meta(ge=12, le=100)]


class AskedAmount(Struct, forbid_unknown_fields=True):
    """An amount as text, with at most two decimals."""

    value: Annotated[str, Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,2})?$")]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]

    @property
    def minor(self) -> int:
        whole, _, cents = self.value.partition(".")
        return int(whole) * 100 + int(cents.ljust(2, "0"))


class AskedAlias(Struct, forbid_unknown_fields=True):
    """Whom to ask."""

    type: Literal["EMAIL", "PHONE_NUMBER", "IBAN"]
    value: Annotated[str, Meta(min_length=1)]
    name: str | None = None

    @property
    def shown(self) -> Json:
        """Return the payer as reads show it: known at bunq by an IBAN, or an outsider."""
        if self.type == "IBAN":
            return bunq_user(self.name or "", self.value)
        if self.value == SUGAR_DADDY:
            return bunq_user("Sugar Daddy", SUGAR_DADDY_IBAN)
        return outsider(self.value)


class AskedInquiry(Struct, forbid_unknown_fields=True):
    """A creation; status is ignored, attachments and split bills are taken and not shown."""

    amount_inquired: AskedAmount
    counterparty_alias: AskedAlias
    description: Annotated[str, Meta(max_length=9000)]
    allow_bunqme: bool
    merchant_reference: str | None = None
    redirect_url: str | None = None
    minimum_age: Minimum | None = None
    require_address: (
        Literal["BILLING", "SHIPPING", "BILLING_SHIPPING", "NONE", "OPTIONAL"] | None
    ) = None
    attachment: list[msgspec.Raw] | None = None
    event_id: int | None = None
    want_tip: bool = False
    allow_amount_lower: bool = False
    allow_amount_higher: bool = False
    status: str | None = None

    @property
    def as_created(self) -> Json:
        repeated = {
            "merchant_reference": self.merchant_reference,
            "redirect_url": self.redirect_url,
            "minimum_age": self.minimum_age,
            "require_address": self.require_address,
        }
        return {
            "description": self.description,
            "counterparty_alias": self.counterparty_alias.shown,
            **{name: value for name, value in repeated.items() if value is not None},
        }

    @property
    def is_accepted_at_once(self) -> bool:
        amount = self.amount_inquired
        return (
            self.counterparty_alias.value == SUGAR_DADDY
            and amount.currency == "EUR"
            and amount.minor <= SUGAR_DADDY_MAX
        )


def asked_inquiry(body: bytes) -> AskedInquiry:
    """Return a creation, checked. Raises ProviderError 400."""
    asked = decoded(body, AskedInquiry)
    if asked.amount_inquired.minor == 0:
        raise refused(400, "amount_inquired must be above 0.")
    alias = asked.counterparty_alias
    if alias.type == "IBAN" and not alias.name:
        raise refused(400, "counterparty_alias needs a name with an IBAN.")
    return asked
