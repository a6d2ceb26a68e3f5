"""The merchants at the fake provider: their settings, their orders, their counts."""

import base64
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from service.sandbox.faults import Draws, Faults, Milliseconds
from service.sandbox.ginger_orders import (
    amount_details,
    order_json,
    order_summary,
    order_word,
    return_json,
    return_summary,
    return_word,
)
from service.sandbox.ginger_transactions import Json, Seller
from service.sandbox.ledger import Entry, Order, What

# The merchant of every sample in the fact sheet.
MERCHANT_ID = "7131b462-1b7d-489f-aba9-de2f0eadc9dc"
PAY_URL = "https://api.psp.example"

WEBHOOK_COUNTS = (
    "planned",
    "sent",
    "accepted",
    "refused",
    "dropped",
    "duplicated",
    "reordered",
    "late",
    "given_up",
    "waiting",
)


class Pace(Struct, forbid_unknown_fields=True):
    """How long a pause between two beats of a story takes."""

    min_ms: Milliseconds = 20
    max_ms: Milliseconds = 200

    def pause_seconds(self, random: Random) -> float:
        return random.uniform(self.min_ms, max(self.min_ms, self.max_ms)) / 1000


class AccountSettings(Struct, forbid_unknown_fields=True):
    """What the control API may set.

    time_scale shortens the two minutes between redeliveries (1/60: two seconds).
    webhook_order_status: whether bodies carry the hint `order_status`.
    """

    name: Annotated[str, Meta(min_length=1)]
    api_key: Annotated[str, Meta(min_length=1)]
    project_id: str
    provider: Literal["ginger"] = "ginger"
    webhook_url: Annotated[str, Meta(pattern="^https?://")] | None = None
    merchant_id: str = MERCHANT_ID
    faults: Faults = msgspec.field(default_factory=Faults)
    seed: int = 0
    pace: Pace = msgspec.field(default_factory=Pace)
    time_scale: Annotated[float, Meta(gt=0)] = 1 / 60
    latency_ms: Milliseconds = 0
    webhook_order_status: bool = True

    @property
    def credentials(self) -> str:
        """HTTP Basic: the key, a colon, no password. Source: fact sheet ginger, section 2."""
        return base64.b64encode(f"{self.api_key}:".encode()).decode()


@dataclass(frozen=True, slots=True)
class Listed:
    """A resource with an id of its own: an order, or a counter order of one."""

    order: Order
    return_id: str = ""

    @property
    def id(self) -> str:
        return self.return_id or self.order.id


@dataclass
class Account:
    """One merchant account. Resources are listed in the order in which they were created."""

    settings: AccountSettings
    resources: dict[str, Listed] = field(default_factory=dict)
    webhooks: Counter[str] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)
    _created_at: list[datetime] = field(default_factory=list)
    _listed: list[Listed] = field(default_factory=list)
    _rendered: dict[tuple[str, bool], tuple[int, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seed = f"{self.settings.name}:{self.settings.seed}"
        self.ids = Random(f"{seed}:ids")  # noqa: S311 - identifiers, not secrets
        self.configure(self.settings)

    def configure(self, settings: AccountSettings) -> None:
        """Use these settings from now on; the draws of faults start again."""
        self.settings = settings
        self.draws = Draws(f"{settings.name}:{settings.seed}")

    @property
    def seller(self) -> Seller:
        return Seller(self.settings.merchant_id, self.settings.project_id, PAY_URL)

    def create(self, amount: int, currency: str, as_created: Json, *, at: datetime) -> Order:
        """Create an order; creation times are distinct, so that the list has one order."""
        if self._created_at:
            at = max(at, self._created_at[-1] + timedelta(microseconds=1))
        order_id = str(UUID(int=self.ids.getrandbits(128), version=4))
        order = Order(order_id, amount, currency, at, as_created)
        self._add(Listed(order), at)
        return order

    def family(self, order: Order) -> list[Listed]:
        """Return an order and its counter orders, listing those opened since the last look."""
        family = [self.resources[order.id]]
        for entry in order.entries:
            if entry.what is What.RETURN_OPENED:
                if entry.subject not in self.resources:
                    self._add(Listed(order, entry.subject), entry.at)
                family.append(self.resources[entry.subject])
        return family

    def orders(self) -> Iterator[Order]:
        """Yield the orders that payers were asked to pay, oldest first."""
        return (listed.order for listed in self._listed if not listed.return_id)

    def created_between(self, since: datetime, until: datetime) -> Sequence[Listed]:
        """Return what was created from since up to, not including, until; newest first.

        Whether the bounds are inclusive is not documented. Source: fact sheet, section 11.
        """
        first, end = bisect_left(self._created_at, since), bisect_left(self._created_at, until)
        return self._listed[first:end][::-1]

    def word(self, listed: Listed) -> str:
        """Return the provider's status of a resource now."""
        if listed.return_id:
            return return_word(listed.order.entries, listed.return_id)
        return order_word(listed.order, listed.order.entries)

    def picture(self, listed: Listed, entries: Sequence[Entry], *, details: bool) -> Json:
        """Return a resource with its transactions as of these entries."""
        if listed.return_id:
            return return_json(listed.order, entries, listed.return_id, self.seller)
        shown = order_json(listed.order, entries, self.seller)
        if details:
            shown["amount_details"] = amount_details(entries)
        return shown

    def summary(self, listed: Listed) -> Json:
        """Return a resource as lists show it."""
        order, entries = listed.order, listed.order.entries
        if listed.return_id:
            return return_summary(order, entries, listed.return_id, self.seller)
        return order_summary(order, entries, self.seller)

    def rendered(self, listed: Listed, *, details: bool) -> bytes:
        """Return the present picture as JSON; rendered again only when the ledger has grown."""
        length = len(listed.order.entries)
        known = self._rendered.get((listed.id, details))
        if known is not None and known[0] == length:
            return known[1]
        body = msgspec.json.encode(self.picture(listed, listed.order.entries, details=details))
        self._rendered[listed.id, details] = (length, body)
        return body

    def _add(self, listed: Listed, at: datetime) -> None:
        self.resources[listed.id] = listed
        self._listed.append(listed)
        self._created_at.append(at)
