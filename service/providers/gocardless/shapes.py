"""What GoCardless sends, as far as we read it; fields that no shape names are ignored.

Source: fact sheet gocardless, sections 1 (conventions), 2 (resources), 5 (event object), 8 (pages).
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from service.domain.money import EXPONENTS
from service.domain.request import Kind
from service.errors import Unreadable

T = TypeVar("T")
Minor = Annotated[int, Meta(ge=0)]
Word = Annotated[str, Meta(min_length=1, max_length=100)]
# The id of a page's last record, but opaque. Source: section 8.
Cursor = Annotated[str, Meta(max_length=200, pattern=r"\A[!-~]+\Z")]

# Opaque but for the prefix, and of any length; these characters need no escaping in a URL.
_SHAPES: Final = {
    Kind.BILLING_REQUEST: re.compile(r"BRQ[A-Za-z0-9_-]{1,97}", re.ASCII),
    Kind.PAYMENT: re.compile(r"PM[A-Za-z0-9_-]{1,98}", re.ASCII),
}
_EVENT_ID = re.compile(r"EV[A-Za-z0-9_-]{1,98}", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)


class PartLinks(msgspec.Struct, frozen=True):
    payment: str | None = None


class PaymentPart(msgspec.Struct, frozen=True):
    """The one-off part of a billing request; amount is null while the payer may choose it."""

    amount: Minor | None
    currency: str
    links: PartLinks | None = None

    def __post_init__(self) -> None:
        _check_currency(self.currency)


class BillingRequestLinks(msgspec.Struct, frozen=True):
    payment_request_payment: str | None = None


class MandatePart(msgspec.Struct, frozen=True):
    """The part that asks for a mandate; its currency counts only where nothing else is asked."""

    currency: object = None

    @property
    def known_currency(self) -> str | None:
        currency = self.currency
        return currency if isinstance(currency, str) and currency in EXPONENTS else None


class BillingRequest(msgspec.Struct, frozen=True):
    """What a payer is asked with. payment_request is null where only a mandate is asked for."""

    id: str
    status: Word
    payment_request: PaymentPart | None
    mandate_request: MandatePart | None = None
    links: BillingRequestLinks | None = None
    created_at: object = None

    @property
    def mark(self) -> str:
        """What a list shows of it, as text: the same exactly when a read comes to the same.

        One that has led to a payment shows to which: from then on the payment decides.
        """
        part = self.payment_request
        asked_for = f"{part.currency} {part.amount}" if part else "nothing"
        return " ".join((self.status, asked_for, *([self.payment_id] if self.payment_id else [])))

    @property
    def payment_id(self) -> str | None:
        """The payment that it led to, which is named in two places; None before it is fulfilled."""
        part_links = self.payment_request and self.payment_request.links
        named = {
            self.links.payment_request_payment if self.links else None,
            part_links.payment if part_links else None,
        } - {None}
        if len(named) > 1:
            raise Unreadable("a billing request with two payments")
        payment_id = next(iter(named), None)
        if payment_id is not None and not is_id(Kind.PAYMENT, payment_id):
            raise Unreadable("not the id of a payment")
        return payment_id


class PaymentLinks(msgspec.Struct, frozen=True):
    payout: str | None = None


class Payment(msgspec.Struct, frozen=True):
    id: str
    status: Word
    amount: Annotated[int, Meta(ge=1)]
    amount_refunded: Minor
    currency: str
    retry_if_possible: bool | None = None
    links: PaymentLinks | None = None

    def __post_init__(self) -> None:
        _check_currency(self.currency)

    @property
    def was_collected(self) -> bool:
        """Whether the payment itself shows that it once brought money, whatever it reads now.

        Only what was collected is paid out or refunded. Source: section 2.2.
        """
        return self.amount_refunded > 0 or bool(self.links and self.links.payout)

    @property
    def mark(self) -> str:
        """What a list shows of it, as text: the same exactly when a read comes to the same.

        That holds while no event has a say, as it has once a payment went wrong.
        """
        collected = " collected" if self.was_collected else ""
        return f"{self.status} {self.currency} {self.amount} {self.amount_refunded}{collected}"


class EventLinks(msgspec.Struct, frozen=True):
    billing_request: str | None = None
    payment: str | None = None
    organisation: object = None


class EventItem(msgspec.Struct, frozen=True):
    """One item of a call or of the list. It carries no amount and no status. Source: section 5."""

    id: str
    resource_type: Word
    action: Word
    links: EventLinks
    created_at: object = None
    details: object = None

    def __post_init__(self) -> None:
        if event_id_in(self.id) is None:
            raise ValueError("not the id of an event")

    @property
    def names(self) -> tuple[Kind, str] | None:
        """What the event is about, as far as we can read that.

        Raises Unreadable for a link of the wrong shape, and where a link that is always there is
        missing; refunds and payouts may come without one.
        """
        is_billing_request = self.resource_type == "billing_requests"
        kind = Kind.BILLING_REQUEST if is_billing_request else Kind.PAYMENT
        link = self.links.billing_request if is_billing_request else self.links.payment
        if link is None and self.resource_type not in ("billing_requests", "payments"):
            return None
        if link is None or not is_id(kind, link):
            raise Unreadable(f"an event without the id of a {kind}")
        return kind, link

    def detail(self, name: str) -> object:
        return self.details.get(name) if isinstance(self.details, dict) else None


class Cursors(msgspec.Struct, frozen=True):
    """after leads to older records and is null on the last page."""

    after: Cursor | None


class PageMeta(msgspec.Struct, frozen=True):
    cursors: Cursors


def is_id(kind: Kind, text: str) -> bool:
    """Return whether text has the shape of a billing request's or a payment's id."""
    return kind in _SHAPES and _SHAPES[kind].fullmatch(text) is not None


def event_id_in(value: object) -> str | None:
    return value if isinstance(value, str) and _EVENT_ID.fullmatch(value) else None


def moment_in(value: object) -> datetime | None:
    """Return the time in a text such as "2025-03-03T09:04:11.000Z", None for anything else."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError:
        return None


def unwrapped(raw: object, name: str) -> object:
    """Return what stands in the envelope, which is named after the resource, in the plural."""
    if not isinstance(raw, dict) or name not in raw:
        raise Unreadable(f"no {name} in the answer")
    return raw[name]


def shaped(raw: object, shape: type[T]) -> T:
    """Return raw as shape. Raises Unreadable."""
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from error


def _check_currency(currency: str) -> None:
    if currency not in EXPONENTS:
        raise ValueError("unknown currency")
