"""A payment request as we record it, and as a provider shows it.

All amounts are positions in minor units of one currency, computed from the newest evidence,
never counters. Source: STATUSES.md, section 1.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from service.domain.status import Status


class Kind(StrEnum):
    """What the provider calls the thing that a payer is asked with."""

    ORDER = "order"
    PAYMENT_LINK = "payment_link"
    PAYMENT_REQUEST = "payment_request"
    BILLING_REQUEST = "billing_request"
    REQUEST_INQUIRY = "request_inquiry"
    # Never a request of its own: the id of a payment that events speak of before we know whose.
    PAYMENT = "payment"


class Direction(StrEnum):
    """Which way the money goes; outgoing money is never added to what a customer paid."""

    IN = "in"
    OUT = "out"


class ObservedBy(StrEnum):
    """What made us look."""

    WEBHOOK = "webhook"
    POLL = "poll"
    SWEEP = "sweep"
    OPERATOR = "operator"


class LinkedBy(StrEnum):
    """Who put a request under its order: the ERP, a person, or the reference at the provider."""

    ERP = "erp"
    OPERATOR = "operator"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """How a request is known at its provider; also the order in which rows are locked."""

    account: str
    kind: Kind
    provider_id: str


@dataclass(frozen=True, slots=True)
class Facts:
    """A status and the amounts behind it, in minor units of currency.

    amount is what was asked, None where the provider leaves it open. final means that only
    news about money can still change it.
    """

    status: Status
    final: bool
    currency: str
    amount: int | None
    received: int
    refunded: int
    taken_back: int
    booked: int
    provider_status: str
    reason: str | None = None

    @property
    def money(self) -> tuple[int, int, int, int]:
        """Received, refunded, taken back, booked."""
        return (self.received, self.refunded, self.taken_back, self.booked)


RelatedAs = Literal["payment", "attempt", "refund", "charge_back", "reversal"]


@dataclass(frozen=True, slots=True)
class Related:
    """Another id at the provider that belongs to a request, so that events on it are known."""

    kind: Kind
    provider_id: str
    related_as: RelatedAs


@dataclass(frozen=True, slots=True)
class Listing:
    """Where the provider's list shows a request, and as what.

    provider_id is the entry's id: the request's own, or that of the payment that decides. As long
    as the list shows the same mark, the request need not be read.
    """

    provider_id: str
    mark: str


@dataclass(frozen=True, slots=True)
class Observation:
    """A request's state as read from its provider's API.

    version grows with every change at the provider (its own version, or its modified time in
    microseconds since 1970), None where it has none. attention lists codes for conditions seen
    in this very read. ends_at is when the provider stops taking money, where it says so: then it
    is looked at once more. listing is None where a list does not show all that a read does. retried
    says that the provider is trying again what had failed, even for good.
    """

    facts: Facts
    version: int | None
    reference: str | None
    occurred_at: datetime | None
    direction: Direction = Direction.IN
    related: tuple[Related, ...] = ()
    attention: frozenset[str] = frozenset()
    ends_at: datetime | None = None
    listing: Listing | None = None
    retried: bool = False


@dataclass(frozen=True, slots=True)
class BelongsTo:
    """The thing read is part of another request: a refund, an attempt, a payment."""

    kind: Kind
    provider_id: str


@dataclass(frozen=True, slots=True)
class NotOurs:
    """The thing read is none of our business; reason is a code.

    as_registered is what it comes to for an ERP that registered it all the same.
    """

    reason: str
    as_registered: Observation | None = None


@dataclass(frozen=True, slots=True)
class Unmapped:
    """The provider uses a word that is not in the table: never stored as status, never sent."""

    word: str


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """A part whose request we cannot tell yet: kept, and bound when the link appears."""


Answer = Observation | BelongsTo | NotOurs | Unmapped | Unclaimed


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """A request as recorded. facts is None until the first good read.

    lease_no is the number of the lease under which facts were read, listing where a list showed
    them; chain is the hash of the newest transition, 32 bytes, empty before the first. raised_by
    are the refused pictures that raised attention since then.
    """

    id: str
    key: Key
    first_seen_at: datetime
    direction: Direction = Direction.IN
    facts: Facts | None = None
    version: int | None = None
    lease_no: int = 0
    sequence: int = 0
    reference: str | None = None
    order_id: str | None = None
    linked_by: LinkedBy | None = None
    registered: bool = False
    parked: str | None = None
    attention: frozenset[str] = field(default_factory=frozenset)
    raised_by: frozenset[str] = field(default_factory=frozenset)
    occurred_at: datetime | None = None
    listing: Listing | None = None
    chain: bytes = b""
