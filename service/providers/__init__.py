"""What a provider adapter can do. Knows no provider.

Adapters do no I/O: `read` and `list_changed` are generators that yield each HTTP request and
receive its response; `service.fetch` runs them within the account's call budget. Abilities are
small protocols, and an adapter has those that its provider has.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar, runtime_checkable

import httpx

from service.domain.event import Call, Event
from service.domain.request import Answer, Facts, Kind
from service.domain.status import Status

T = TypeVar("T")

# HTTP calls that end in a T: yields each request, receives its response.
Exchange = Generator[httpx.Request, httpx.Response, T]


@dataclass(frozen=True, slots=True)
class AccountContext:
    """What an adapter may know of its surroundings besides its own keys.

    words are the account's own, which go over the built-in table. live is true where the
    configuration's mode is "live".
    """

    name: str
    words: Mapping[str, Status]
    live: bool
    reference_from: str | None = None


class Provider(Protocol):
    """Can be asked. Does no I/O itself."""

    kinds: frozenset[Kind]
    body_bytes_max: int

    def knows(self, kind: Kind, provider_id: str) -> bool:
        """Return whether provider_id has the shape of this provider's identifiers."""
        ...

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        """Read one request and the payments under it.

        known is what we recorded before, for providers whose newest answer does not tell the
        whole story. Raises Unreadable; lookup and value errors count as Unreadable too.
        """
        ...


@runtime_checkable
class SendsWebhooks(Protocol):
    """Calls us when something changed."""

    def verify(self, call: Call) -> Sequence[Event]:
        """Return the events in an authentic call. Raises BadSignature or Malformed."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """A request seen in a list: what it is and the version the list shows, if any."""

    kind: Kind
    provider_id: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; next is the cursor of the following page, None on the last."""

    items: tuple[Listed, ...]
    next: str | None


@runtime_checkable
class HasList(Protocol):
    """Can list requests by time."""

    def list_page(self, since: datetime, until: datetime, cursor: str | None) -> Exchange[Page]:
        """Read one page of the requests of a window, both ends in UTC."""
        ...
