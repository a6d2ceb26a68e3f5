"""What the API answers, as far as we read it. Source: fact sheet, sections 2 and 5."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import httpx
import msgspec

from service.domain.money import Money
from service.domain.strict_json import NotStrict, parse
from service.errors import Unreadable

T = TypeVar("T")
Id = int | str  # one edition of the API writes ids as text. Source: section 2
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | int

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:]{8}(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


class Transfer(msgspec.Struct, frozen=True):
    """One payment of an order, without its bank accounts."""

    id: Id
    payment_status: Word
    amount: int | Decimal
    currency_code: str

    @property
    def minor(self) -> int:
        """The amount in minor units; only zeros may follow the currency's last decimal."""
        text = f"{self.amount:f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        try:
            minor = Money.parse(text, self.currency_code).minor
        except ValueError as error:
            raise Unreadable("not an amount in a currency") from error
        if minor <= 0:
            raise Unreadable("a transfer of nothing")
        return minor


class PaymentRequest(msgspec.Struct, frozen=True):
    """A payment order. Source: section 2."""

    id: Id
    client_account_id: Id
    created_at: str
    payment_status: Word
    transfers: Annotated[tuple[Transfer, ...], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        if len({str(transfer.id) for transfer in self.transfers}) != len(self.transfers):
            raise ValueError("a transfer stands there twice")
        if not all(folded(word) for word in self.words):
            raise ValueError("an empty status")

    @property
    def words(self) -> list[str | int]:
        """Every status word: the request's own and those of its transfers."""
        return [self.payment_status, *(transfer.payment_status for transfer in self.transfers)]

    @property
    def in_order(self) -> list[Transfer]:
        """The transfers by their ids: no order of an answer is promised."""
        return sorted(self.transfers, key=lambda one: (len(str(one.id)), str(one.id)))


class Entry(msgspec.Struct, frozen=True):
    """A payment order as far as a list must have it; it may show all of it."""

    id: Id
    created_at: str


class Meta(msgspec.Struct, frozen=True):
    """Where a page stands in its list; no list of ours has a million."""

    records: Annotated[int, msgspec.Meta(ge=0)]
    per_page: Annotated[int, msgspec.Meta(ge=1)]
    page: Annotated[int, msgspec.Meta(ge=0)]
    pages: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]

    def __post_init__(self) -> None:
        if self.records > self.per_page * self.pages:
            raise ValueError("fewer pages than the records fill")


class ListAnswer(msgspec.Struct, frozen=True):
    """A page; without meta it would be the first of who knows how many. Source: section 5."""

    meta: Meta
    data: tuple[Any, ...]


class ClientAccount(msgspec.Struct, frozen=True):
    id: Id


class ClientAccounts(msgspec.Struct, frozen=True):
    """The client accounts that the token's user may see. Source: section 1."""

    data: tuple[ClientAccount, ...]


def folded(word: str | int) -> str:
    """Return a word as words are compared. Source: section 3."""
    return str(word).strip().casefold()


def moment_of(text: str) -> datetime:
    """Read a date-time with its zone. Raises Unreadable."""
    if not _MOMENT.fullmatch(text):
        raise Unreadable("not a date-time with a zone")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Unreadable("not a date-time") from error


def unwrapped(raw: object) -> object:
    """Return a single object, which may or may not be wrapped in `data`. Source: section 2."""
    return raw["data"] if isinstance(raw, dict) and "data" in raw else raw


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
