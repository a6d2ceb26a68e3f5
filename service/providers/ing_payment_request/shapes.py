"""What ING answers, as far as we read it. Source: sections 4.1 and 5."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final, Literal, TypeVar

import httpx
import msgspec

from service.domain.money import Money
from service.domain.strict_json import NotStrict, parse
from service.errors import Unreadable

T = TypeVar("T")
Number = int | Decimal
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
# Without blanks: payments are told apart by it.
TransactionId = Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]{1,100}\Z")]
# Visible ASCII: it goes into a header as it is.
Token = Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]{1,8192}\Z")]

CURRENCY: Final = "EUR"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:]{8}(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


class TokenAnswer(msgspec.Struct, frozen=True):
    access_token: Token
    expires_in: Annotated[int, msgspec.Meta(gt=0, le=86_400)]
    scope: str | None = None

    @property
    def scopes(self) -> frozenset[str] | None:
        """What the token is good for, None where the answer does not tell."""
        return frozenset(self.scope.split()) if self.scope is not None else None


class Registration(msgspec.Struct, frozen=True):
    """The merchant's registration. Source: sections 5.7 and 6.2."""

    status: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]{1,60}\Z")]


class Amount(msgspec.Struct, frozen=True):
    """What is asked or paid: at least a cent. Source: section 5.1."""

    value: Number
    currency: Literal["EUR"]

    @property
    def cents(self) -> int:
        cents = cents_of(self.value)
        if cents == 0:
            raise Unreadable("an amount of nothing")
        return cents


class VariableAmount(msgspec.Struct, frozen=True, rename="camel"):
    """The payer chooses what he gives; the suggestion may be nothing at all."""

    suggested_value: Number
    currency: Literal["EUR"]

    @property
    def cents(self) -> int | None:
        return cents_of(self.suggested_value) or None


class PaymentRequest(msgspec.Struct, frozen=True, rename="camel"):
    """A payment request without its deprecated `transactions`. Source: section 5.4."""

    id: str
    status: Word
    fixed_amount: Amount | None = None
    variable_amount: VariableAmount | None = None
    maximum_receivable_amount: Amount | None = None
    maximum_allowed_payments: Annotated[int, msgspec.Meta(ge=1)] | None = None
    valid_until: str | None = None

    @property
    def asked(self) -> int | None:
        """What was asked in all, in cents; None where that is left to the payers.

        A maximum to receive comes first for variable amounts too: a suggestion is only what
        one payer may give. Source: STATUSES.md, section 2, point 4.
        """
        if self.maximum_receivable_amount is not None:
            return self.maximum_receivable_amount.cents
        if self.fixed_amount is not None:
            return self.fixed_amount.cents * (self.maximum_allowed_payments or 1)
        if self.variable_amount is not None:
            return self.variable_amount.cents
        raise Unreadable("a payment request without amount")

    def expecting(self, registered: Money) -> "PaymentRequest":
        """Return the request with what the ERP registered in the place of what is suggested."""
        if self.variable_amount is None or registered.currency != CURRENCY:
            return self
        expected = msgspec.structs.replace(
            self.variable_amount, suggested_value=Decimal(registered.decimal)
        )
        return msgspec.structs.replace(self, variable_amount=expected)

    @property
    def is_unlimited(self) -> bool:
        """Whether no sum and no number of payments ends it, so that somebody has to close it."""
        return self.maximum_receivable_amount is None and self.maximum_allowed_payments is None

    @property
    def ends_at(self) -> datetime | None:
        return moment_of(self.valid_until) if self.valid_until is not None else None


class Payment(msgspec.Struct, frozen=True, rename="camel"):
    """A payment: what is listed has been paid. Source: section 5.5."""

    transaction_id: TransactionId
    amount: Amount
    executed: str


class Payments(msgspec.Struct, frozen=True):
    payments: tuple[Payment, ...]


def cents_of(number: Number) -> int:
    """Return euros as cents; only zeros may follow the second decimal. Raises Unreadable."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    try:
        cents = Money.parse(text, CURRENCY).minor
    except ValueError as error:
        raise Unreadable("not an amount in euros") from error
    if cents < 0:
        raise Unreadable("a negative amount")
    return cents


def moment_of(text: str) -> datetime:
    """Read a date-time with its zone, which is never guessed. Raises Unreadable."""
    if not _MOMENT.fullmatch(text):
        raise Unreadable("not a date-time with a zone")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Unreadable("not a date-time") from error


def parsed(response: httpx.Response) -> object:
    try:
        return parse(response.content)
    except NotStrict as error:
        raise Unreadable(str(error)) from error


def shaped(raw: object, shape: type[T]) -> T:
    """Return raw as shape; fields that shape does not name are ignored. Raises Unreadable.

    Numbers are numbers: text that reads like one is none.
    """
    try:
        return msgspec.convert(raw, shape, builtin_types=(Decimal,))
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from error
