"""Reads and checks the bodies of creations. Source: fact sheet ginger, sections 3, 15 and 16."""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from service.sandbox.ginger.door import bad
from service.sandbox.ledger import Json

T = TypeVar("T")

# Source: fact sheet ginger, section 15: 87 codes.
CURRENCY_CODES = (
    "AED AFN ANG ARS AUD AWG AZN BBD BDT BGN BHD BMD BND BOB BRL BSD BZD CAD CHF CLP CNY COP CRC "
    "CZK DKK DOP DZD EGP EUR FJD GBP GTQ GYD HKD HUF IDR ILS INR IQD ISK JMD JOD JPY KES KRW KWD "
    "KYD KZT LBP LKR MAD MDL MOP MXN MYR NGN NOK NPR NZD OMR PEN PHP PKR PLN PYG QAR RON SAR SCR "
    "SEK SGD SRD THB TND TRY TWD TZS UAH UGX USD UYU VND XCD XOF ZAR EEK LTL"
)
CURRENCIES = frozenset(CURRENCY_CODES.split())

# What a read repeats of a creation. Source: fact sheet ginger, sections 3.1 and 4.
REPEATED = (
    "capture_mode",
    "client",
    "customer",
    "description",
    "expiration_period",
    "extra",
    "failure_url",
    "merchant_order_id",
    "order_lines",
    "payment_methods",
    "return_url",
    "webhook_url",
)


Url = Annotated[str, Meta(pattern="^https?://")]
Amount = Annotated[int, Meta(ge=1)]
Percentage = Annotated[int, Meta(ge=0, le=10_000)]


class AskedTransaction(Struct):
    """A payment method to offer."""

    payment_method: str


class OrderLine(Struct, forbid_unknown_fields=True):
    """One line; amount is the price of one item. Source: section 3.2."""

    merchant_order_line_id: str
    name: str
    quantity: Amount
    amount: int
    currency: str | None = None
    vat_percentage: Percentage | None = None
    discount_rate: Percentage | None = None
    ean: str | None = None
    image_url: str | None = None
    type: (
        Literal[
            "physical",
            "discount",
            "shipping_fee",
            "sales_tax",
            "digital",
            "gift_card",
            "store_credit",
            "surcharge",
        ]
        | None
    ) = None
    url: str | None = None


class AskedOrder(Struct):
    """What is checked of an order or a link. Source: section 3.1."""

    amount: Amount
    currency: str
    capture_mode: Literal["manual", "delayed"] | None = None
    expiration_period: Annotated[str, Meta(pattern=r"^P(?=\d|T\d)[\dDHMSTWY]+$")] | None = None
    merchant_bic: (
        Annotated[str, Meta(pattern="^[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$")] | None
    ) = None
    merchant_iban: Annotated[str, Meta(pattern="^[A-Z]{2}[0-9]{2}[A-Z0-9]{1,34}$")] | None = None
    order_lines: list[OrderLine] | None = None
    payment_methods: Annotated[list[str], Meta(min_length=1)] | None = None
    return_url: Url | None = None
    transactions: list[AskedTransaction] = []
    webhook_url: Url | None = None


def decode(body: bytes, shape: type[T]) -> T:
    """Return a body in its shape. Raises ProviderError 400, which names the property."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        value, _, path = str(error).partition(" - at `$.")
        raise bad(value, path.rstrip("`")) from error


def asked_order(body: bytes) -> tuple[AskedOrder, Json]:
    """Return a creation, checked, and what reads repeat of it. Raises ProviderError 400."""
    asked, sent = decode(body, AskedOrder), decode(body, dict[str, object])
    if asked.currency not in CURRENCIES:
        raise bad("currency is not supported", "currency")
    for name, value in sent.items():
        if value is None:
            raise bad(f"{name} must not be null", name)
    if asked.capture_mode == "delayed" and asked.expiration_period is None:
        raise bad("delayed capture needs a period", "expiration_period")
    lines = [line.merchant_order_line_id for line in asked.order_lines or ()]
    if len(set(lines)) < len(lines):
        raise bad("merchant_order_line_id must be unique", "order_lines")
    return asked, {key: sent[key] for key in REPEATED if key in sent}
