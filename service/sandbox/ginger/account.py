"""A merchant's account at the fake Ginger."""

import base64
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from service.sandbox.accounts import Account, AccountSettings
from service.sandbox.calls import News, Patience, WebhookCall
from service.sandbox.ginger.happenings import ARRIVALS, What
from service.sandbox.ginger.links import PaymentLink, link_word, truth_of_link
from service.sandbox.ginger.orders import (
    amount_details,
    order_json,
    order_summary,
    order_word,
    return_json,
    return_summary,
    return_word,
)
from service.sandbox.ginger.stories import CAPTURED_BY_HAND, STORIES
from service.sandbox.ginger.transactions import Seller
from service.sandbox.ginger.truth import truth_of
from service.sandbox.ledger import Entry, Json, PaymentRequest
from service.sandbox.story import Story
from service.sandbox.truth import Truth

# The merchant of every sample in the fact sheet.
MERCHANT_ID = "7131b462-1b7d-489f-aba9-de2f0eadc9dc"
PAY_URL = "https://api.psp.example"

# What reads repeat of a link's creation. Source: fact sheet ginger, section 12.
REPEATED_BY_LINKS = (
    "customer",
    "description",
    "expiration_period",
    "failure_url",
    "merchant_order_id",
    "payment_methods",
    "return_url",
    "webhook_url",
)

# Source: fact sheet ginger, section 13.4.
REDELIVERY_SECONDS = 120
TRIES_MAX = 10
FIRST_TIMEOUT_SECONDS = 4
LATER_TIMEOUT_SECONDS = 10


class GingerSettings(AccountSettings, kw_only=True):
    """webhook_order_status: whether bodies carry the hint `order_status`."""

    provider: Literal["ginger"] = "ginger"
    api_key: Annotated[str, Meta(min_length=1)]
    project_id: str
    merchant_id: str = MERCHANT_ID
    webhook_order_status: bool = True

    @property
    def credentials(self) -> str:
        """HTTP Basic: the key, a colon, no password. Source: fact sheet ginger, section 2."""
        return base64.b64encode(f"{self.api_key}:".encode()).decode()


@dataclass(frozen=True, slots=True)
class Listed:
    """A resource with an id of its own: an order, or a counter order of one."""

    order: PaymentRequest
    return_id: str = ""

    @property
    def id(self) -> str:
        return self.return_id or self.order.id


class GingerAccount(Account[GingerSettings]):
    """Orders and their counter orders; all are listed in the order in which they were made."""

    stories = STORIES

    def __init__(self, settings: GingerSettings) -> None:
        super().__init__(settings)
        self.resources: dict[str, Listed] = {}
        self._created_at: list[datetime] = []
        self._listed: list[Listed] = []
        self._rendered: dict[tuple[str, bool], tuple[int, bytes]] = {}
        self._told: dict[str, str] = {}
        self._news: list[WebhookCall] = []

    @property
    def seller(self) -> Seller:
        return Seller(self.settings.merchant_id, self.settings.project_id, PAY_URL)

    @property
    def patience(self) -> Patience:
        wait_seconds = REDELIVERY_SECONDS * self.settings.time_scale
        waits = (wait_seconds,) * (TRIES_MAX - 1)
        return Patience(FIRST_TIMEOUT_SECONDS, LATER_TIMEOUT_SECONDS, waits)

    def ask(
        self, story: Story, *, reference: str, amount: int, currency: str, at: datetime
    ) -> PaymentRequest:
        as_created: Json = {
            "client": {"user_agent": "settled-sandbox"},
            "description": f"Invoice {reference}",
            "expiration_period": "PT30M",
            "extra": {"erp_document": reference},
            "merchant_order_id": reference,
            "return_url": "https://shop.example/return",
        }
        if self.settings.webhook_url is not None:
            as_created["webhook_url"] = self.settings.webhook_url
        if story.kind == "payment_link":
            return self.create_link(amount, currency, as_created, at=at)
        if story in CAPTURED_BY_HAND:
            as_created |= {"capture_mode": "manual", "expiration_period": "P7D"}
        return self.create(amount, currency, as_created, at=at)

    def create(
        self, amount: int, currency: str, as_created: Json, *, at: datetime
    ) -> PaymentRequest:
        """Create an order; creation times are distinct, so that the list has one order."""
        order = PaymentRequest(
            id=self.new_id(),
            kind="order",
            amount=amount,
            currency=currency,
            created_at=self._next_moment(at),
            reference=_reference_in(as_created),
            as_created=as_created,
        )
        self.requests[order.id] = order
        self._add(Listed(order), order.created_at)
        return order

    def create_link(
        self, amount: int, currency: str, as_created: Json, *, at: datetime
    ) -> PaymentLink:
        """Create a payment link; what lists show of it are its attempts."""
        link_id = self.new_id()
        link = PaymentLink(
            id=link_id,
            kind="payment_link",
            amount=amount,
            currency=currency,
            created_at=at,
            reference=_reference_in(as_created),
            as_created={key: as_created[key] for key in REPEATED_BY_LINKS if key in as_created}
            | {"payment_url": f"{PAY_URL}/paymentlinks/{link_id}/"},
            new_id=self.new_id,
        )
        self.requests[link.id] = link
        return link

    def new_id(self) -> str:
        return str(UUID(int=self.ids.getrandbits(128), version=4))

    def has_money(self, request: PaymentRequest) -> bool:
        orders = request.attempts if isinstance(request, PaymentLink) else [request]
        return any(entry.what in ARRIVALS for order in orders for entry in order.entries)

    def truth(self, request: PaymentRequest) -> Truth:
        if isinstance(request, PaymentLink):
            return truth_of_link(request, account=self.settings.name)
        return truth_of(request, account=self.settings.name)

    def note(self, request: PaymentRequest, *, returns: bool) -> None:
        """Note a call for each order whose status word changed; a link sends none of its own."""
        for listed in self.family(request):
            word = self.word(listed)
            if self._told.get(listed.id) == word or (listed.return_id and not returns):
                continue
            self._told[listed.id] = word
            url = request.as_created.get("webhook_url", self.settings.webhook_url)
            if isinstance(url, str):
                self._news.append(self._status_changed(listed, url, word, request))

    def take_calls(self) -> Sequence[WebhookCall]:
        calls, self._news = self._news, []
        return calls

    def family(self, request: PaymentRequest) -> list[Listed]:
        """Return an order, or a link's attempts, each with its counter orders.

        Those that were opened since the last look are listed from now on.
        """
        if isinstance(request, PaymentLink):
            return [listed for attempt in request.attempts for listed in self.family(attempt)]
        family = [self._known(Listed(request), request.created_at)]
        family += (
            self._known(Listed(request, entry.subject), entry.at)
            for entry in request.entries
            if entry.what is What.RETURN_OPENED
        )
        return family

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

    def summary(self, listed: Listed, now: datetime) -> Json:
        """Return a resource as lists show it."""
        order = listed.order
        if listed.return_id:
            return return_summary(order, order.entries, listed.return_id, self.seller)
        return order_summary(order, order.seen_at(now), self.seller)

    def rendered(self, listed: Listed, now: datetime, *, details: bool) -> bytes:
        """Return the picture seen now as JSON; rendered again only when it has grown."""
        entries = listed.order.entries if listed.return_id else listed.order.seen_at(now)
        known = self._rendered.get((listed.id, details))
        if known is not None and known[0] == len(entries):
            return known[1]
        body = msgspec.json.encode(self.picture(listed, entries, details=details))
        self._rendered[listed.id, details] = (len(entries), body)
        return body

    def _status_changed(
        self, listed: Listed, url: str, word: str, request: PaymentRequest
    ) -> WebhookCall:
        body = {
            "event": "status_changed",
            "project_id": self.settings.project_id,
            "order_id": listed.id,
        }
        if self.settings.webhook_order_status:
            body["order_status"] = word
        news = News(listed.id, word)
        if isinstance(request, PaymentLink):
            news = News(request.id, link_word(request))
        return WebhookCall(url, msgspec.json.encode(body), (request.id,), (news,))

    def _next_moment(self, at: datetime) -> datetime:
        if not self._created_at:
            return at
        return max(at, self._created_at[-1] + timedelta(microseconds=1))

    def _known(self, listed: Listed, at: datetime) -> Listed:
        """Return a resource that is listed, from now on if it was not yet."""
        if listed.id not in self.resources:
            self._add(listed, at)
        return listed

    def _add(self, listed: Listed, at: datetime) -> None:
        self.resources[listed.id] = listed
        self._listed.append(listed)
        self._created_at.append(at)


def _reference_in(as_created: Json) -> str | None:
    reference = as_created.get("merchant_order_id")
    return reference if isinstance(reference, str) else None
