"""What a provider adapter can do. Knows no provider.

Adapters do no I/O: `read` and `list_changed` are generators that yield each HTTP request and
receive its response; `service.fetch` runs them within the account's call budget. Abilities are
small protocols, and an adapter has those that its provider has.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeGuard, TypeVar, runtime_checkable

import httpx

from service.domain.event import Call, Event
from service.domain.money import Money
from service.domain.request import Answer, Facts, Kind
from service.domain.status import Status
from service.errors import SettledError

T = TypeVar("T")

# HTTP calls that end in a T: yields each request, receives its response.
Exchange = Generator[httpx.Request, httpx.Response, T]


@dataclass(frozen=True, slots=True)
class AccountContext:
    """What an adapter may know of its surroundings besides its own keys.

    words are the account's own, which go over the built-in table. live is true where the
    configuration's mode is "live". paid_is_settled is true where the account is credited at once.
    """

    name: str
    words: Mapping[str, Status]
    live: bool
    reference_from: str | None = None
    paid_is_settled: bool = False


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
class LeavesAmountOpen(Protocol):
    """May leave to the payer how much to pay: when that is all, only who registered it knows."""

    def read_registered(
        self, kind: Kind, provider_id: str, known: Facts | None, registered: Money
    ) -> Exchange[Answer]:
        """Read like `read`, where the ERP registered an amount for this request alone."""
        ...


@runtime_checkable
class SendsWebhooks(Protocol):
    """Calls us when something changed."""

    def verify(self, call: Call) -> Sequence[Event]:
        """Return the events in an authentic call. Raises BadSignature or Malformed."""
        ...


@dataclass(frozen=True, slots=True)
class Session:
    """What a provider gave us to speak with, shared by all workers.

    values may hold more than the token: whatever the next opening needs, such as the keys of an
    installation made once. They are kept in the database, so they are as secret as the database.
    One that expires in 0 seconds is a step on the way: it is kept, so that it is never made
    twice, and opening goes on from there. counts is False for a step after which the next may
    follow at once.
    """

    values: Mapping[str, str]
    expires_in_seconds: float
    counts: bool = True


@runtime_checkable
class NeedsSession(Protocol):
    """Has to be logged in to before it answers."""

    # No two sessions are opened within this time, however many workers ask.
    session_seconds_min: float

    def open_session(self, kept: Mapping[str, str]) -> Exchange[Session]:
        """Open a session; kept holds the values of the last one, empty before the first.

        The requests it yields are sent as they are, without `authorise`.
        """
        ...

    def authorise(self, request: httpx.Request, session: Session) -> httpx.Request:
        """Return the request with what proves that it is us: a token, a signature."""
        ...


@runtime_checkable
class ChecksOrders(Protocol):
    """Has limits that an order's registration can be checked against."""

    def check_order(self, amount: Money, *, requests: int) -> None:
        """Raise Malformed, naming the limit, when so many requests cannot carry amount."""
        ...


@runtime_checkable
class StripsReferences(Protocol):
    """Takes ASCII letters and digits only where it keeps the ERP's reference."""

    # False where the account takes the reference from a field that holds any character.
    strips_references: bool


@runtime_checkable
class LagsBehind(Protocol):
    """May take money, or show it, for a while after a request has ended."""

    # Seconds after the end at which a request is looked at again.
    looks_after_end: tuple[float, ...]


@runtime_checkable
class ReadsStatus(Protocol):
    """Uses HTTP statuses of its own."""

    def error_for(self, response: httpx.Response) -> SettledError | None:
        """Return what an answer's status means, None where it means what it means everywhere."""
        ...


@runtime_checkable
class TellsLimits(Protocol):
    """Says in its answers how many calls are left."""

    def wait_seconds(self, response: httpx.Response, *, now: datetime) -> float | None:
        """Return how long to make no further call, None when there are calls left."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """A request seen in a list: what it is and the version the list shows, if any.

    event_id is set where the list is one of events: such an item is news unless that event was
    received. mark is what the list shows of it, in the form of `Observation.listing`.
    """

    kind: Kind
    provider_id: str
    version: int | None
    event_id: str | None = None
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; next is the cursor of the following page, None on the last."""

    items: tuple[Listed, ...]
    next: str | None


@runtime_checkable
class HasList(Protocol):
    """Can list requests by time.

    window_max is how much time a window may span, None where the provider cannot be asked for a
    time: there every window walks through all of its list, so the fewer the better.
    """

    window_max: timedelta | None

    def list_page(self, since: datetime, until: datetime, cursor: str | None) -> Exchange[Page]:
        """Read one page of the requests of a window, both ends in UTC."""
        ...


@runtime_checkable
class ShowsStatuses(Protocol):
    """Lists requests with their statuses: one page stands for as many reads that find nothing."""

    entries_per_page: int

    def look_through(self, since: datetime, cursor: str | None) -> Exchange[Page]:
        """Read one page of all requests made since then; each item carries its mark."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of an account came to.

    ok is None where the provider's API cannot tell. remedy says what to do where it is not ok.
    """

    check: str
    ok: bool | None
    detail: str
    remedy: str = ""


@runtime_checkable
class ChecksAccount(Protocol):
    """Can tell whether the account is set up as it must be."""

    def check(self, webhook_url: str | None) -> Exchange[tuple[Finding, ...]]:
        """Try the login and what else the API shows: permissions, webhooks, registration.

        webhook_url is where our webhooks come in, None where the configuration does not tell.
        What the login itself runs into (Unauthorised, Unavailable) is raised.
        """
        ...


# What protocols answered, by class and protocol.
_ANSWERS: Final[dict[tuple[type, type], bool]] = {}


def needs_session(provider: Provider) -> TypeGuard[NeedsSession]:
    return _has(provider, NeedsSession)


def reads_status(provider: Provider) -> TypeGuard[ReadsStatus]:
    return _has(provider, ReadsStatus)


def tells_limits(provider: Provider) -> TypeGuard[TellsLimits]:
    return _has(provider, TellsLimits)


def leaves_amount_open(provider: Provider) -> TypeGuard[LeavesAmountOpen]:
    return _has(provider, LeavesAmountOpen)


def strips_references(provider: Provider) -> TypeGuard[StripsReferences]:
    return _has(provider, StripsReferences)


def lags_behind(provider: Provider) -> TypeGuard[LagsBehind]:
    return _has(provider, LagsBehind)


def _has(provider: Provider, ability: type) -> bool:
    """Ask a protocol once for each class, whose adapters all have the same abilities.

    It looks at every one of its members, and each read asks several.
    """
    asked = (type(provider), ability)
    if asked not in _ANSWERS:
        _ANSWERS[asked] = isinstance(provider, ability)
    return _ANSWERS[asked]
