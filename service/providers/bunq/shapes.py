"""What bunq sends, as far as we read it; fields that no shape names are ignored.

Source: fact sheet bunq, sections 1 (conventions), 2 (request inquiry), 6 (pages).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

import httpx
import msgspec

from service.domain.money import Money
from service.domain.strict_json import NotStrict, parse
from service.errors import Unreadable

T = TypeVar("T")
Id = Annotated[int, msgspec.Meta(ge=1)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
# What can stand in a header, whoever sent it.
Visible = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,4096}\Z")]

_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?", re.ASCII)
_QUERY: Final = re.compile(r"[A-Za-z0-9_=&.%-]{1,300}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Amount(msgspec.Struct, frozen=True):
    """Decimal text in a currency; negative for what leaves the account."""

    value: str
    currency: str

    @property
    def minor(self) -> int:
        """The amount in minor units. Raises Unreadable."""
        try:
            return Money.parse(self.value, self.currency).minor
        except ValueError as error:
            raise Unreadable("not an amount") from error


class Inquiry(msgspec.Struct, frozen=True):
    """A request inquiry. amount_responded is null until it is accepted."""

    id: Id
    monetary_account_id: Id
    created: str
    updated: str
    status: Word
    amount_inquired: Amount
    amount_responded: Amount | None = None
    time_responded: str | None = None
    time_expiry: str | None = None
    merchant_reference: str | None = None
    bunqme_share_url: str | None = None

    @property
    def changed_at(self) -> datetime:
        """When the payer answered, else when it last changed."""
        return moment_of(self.time_responded or self.updated)

    @property
    def paid_after(self) -> datetime:
        """Once it is accepted, what gives its money back is not older than this."""
        return moment_of(self.time_responded or self.created)


class Payment(msgspec.Struct, frozen=True):
    """Money that came to the account or left it."""

    id: Id
    created: str
    amount: Amount
    merchant_reference: str | None = None

    @property
    def created_at(self) -> datetime:
        return moment_of(self.created)


class Failure(msgspec.Struct, frozen=True):
    """A callback that was given up; id and created are assumed, so they may be missing."""

    category: str | None = None
    id: Id | None = None
    created: str | None = None


class Filter(msgspec.Struct, frozen=True):
    """Where callbacks of a category go."""

    category: str | None = None
    notification_target: str | None = None


class Token(msgspec.Struct, frozen=True):
    token: Visible


class ServerKey(msgspec.Struct, frozen=True):
    server_public_key: Text


class Identified(msgspec.Struct, frozen=True):
    id: Id


class User(msgspec.Struct, frozen=True):
    """Whose session it is; it lasts session_timeout seconds."""

    session_timeout: Annotated[int, msgspec.Meta(ge=1)]


@dataclass(frozen=True, slots=True)
class Entry:
    """A request inquiry in a list; what cannot be read of it is None.

    Only the id must be fit, so that one bad entry hides nothing but itself.
    """

    id: int
    created_at: datetime | None
    updated_at: datetime | None
    inquiry: Inquiry | None

    def is_made_since(self, since: datetime) -> bool:
        return self.created_at is None or self.created_at >= since

    def is_changed_since(self, since: datetime) -> bool:
        return self.updated_at is None or self.updated_at >= since


def entry_of(raw: dict[str, Any]) -> Entry:
    """Read an entry of a list. Raises Unreadable where it has no id."""
    return Entry(
        shaped(raw, Identified).id,
        _or_none(moment_of, raw.get("created")),
        _or_none(moment_of, raw.get("updated")),
        _or_none(lambda whole: shaped(whole, Inquiry), raw),
    )


def _or_none(reader: Callable[[Any], T], raw: object) -> T | None:
    try:
        return reader(raw)
    except Unreadable:
        return None


@dataclass(frozen=True, slots=True)
class Body:
    """The body of an answer: objects wrapped in their type's name, and links to other pages."""

    items: tuple[dict[str, Any], ...]
    older_url: str | None

    def all(self, name: str, shape: type[T]) -> list[T]:
        """Return the objects, which are all of one type, in their order. Raises Unreadable."""
        if not all(name in item for item in self.items):
            raise Unreadable(f"other objects than of type {name}")
        return self.of(name, shape)

    def of(self, name: str, shape: type[T]) -> list[T]:
        """Return the objects of a type, in their order. Raises Unreadable."""
        return [shaped(item[name], shape) for item in self.items if name in item]

    def only(self, name: str, shape: type[T]) -> T:
        """Return the one object of a type. Raises Unreadable."""
        found = self.of(name, shape)
        if len(found) != 1:
            raise Unreadable(f"{len(found)} objects of type {name}")
        return found[0]


class _Pagination(msgspec.Struct, frozen=True):
    older_url: str | None = None


class _Envelope(msgspec.Struct, frozen=True):
    response: tuple[dict[str, Any], ...] = msgspec.field(name="Response")
    pagination: _Pagination | None = msgspec.field(name="Pagination", default=None)


def body_of(response: httpx.Response) -> Body:
    """Read an answer's body. Raises Unreadable."""
    try:
        envelope = shaped(parse(response.content), _Envelope)
    except NotStrict as error:
        raise Unreadable(str(error)) from error
    return Body(envelope.response, envelope.pagination.older_url if envelope.pagination else None)


def shaped(raw: object, shape: type[T]) -> T:
    """Return raw as shape. Raises Unreadable."""
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from error


def query_in(link: str, paths: frozenset[str]) -> str:
    """Return the query of a link to another page of the list at one of paths.

    Links have no host, and what is in the query is opaque. Raises Unreadable for any other.
    """
    path, _, query = link.partition("?")
    if path not in paths or not _QUERY.fullmatch(query):
        raise Unreadable("a link that leads elsewhere")
    return query


def moment_of(text: object) -> datetime:
    """Read a time, which is UTC without saying so. Raises Unreadable."""
    try:
        if isinstance(text, str) and _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise Unreadable("no date-time") from error
    raise Unreadable("no date-time")


def microseconds_of(moment: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
