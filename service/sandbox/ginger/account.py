"""A merchant's account at the fake Ginger."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from service.sandbox.accounts import Account, AccountSettings
from service.sandbox.calls import News, Patience, WebhookCall
from service.sandbox.ginger.happenings import ARRIVALS, MOVEMENT_OF, What
from service.sandbox.ginger.links import REPEATED_BY_LINKS, PaymentLink, link_word, truth_of_link
from service.sandbox.ginger.notices import Notices, status_changed, transaction_status_changed
from service.sandbox.ginger.orders import (
    amount_details,
    compact_return,
    order_json,
    order_summary,
    order_word,
    return_json,
    return_summary,
    return_word,
)
from service.sandbox.ginger.shelf import Listed, Shelf
from service.sandbox.ginger.stories import (
    CAPTURED_LATER,
    FOREIGN_PROJECT,
    PAYMENT_LINK,
    STORIES,
)
from service.sandbox.ginger.transactions import Seller
from service.sandbox.ginger.truth import truth_of
from service.sandbox.ledger import Entry, Json, PaymentRequest
from service.sandbox.story import Story
from service.sandbox.truth import Truth

# The merchant of every sample in the fact sheet.
MERCHANT_ID = "7131b462-1b7d-489f-aba9-de2f0eadc9dc"
PAY_URL = "https://api.psp.example"

# Whose orders the same key opens, too. Source: fact sheet ginger, sections 4 and 13.2.
OTHER_PROJECT_ID = "6a1f3c07-2b0d-4f57-9a3e-51c9d4d0b6aa"

# Source: fact sheet ginger, section 13.4.
REDELIVERY_SECONDS = 120
TRIES_MAX = 10
FIRST_TIMEOUT_SECONDS = 4
LATER_TIMEOUT_SECONDS = 10


class GingerSettings(AccountSettings, kw_only=True):
    """webhook_order_status: whether bodies carry the hint `order_status`.

    transaction_events: webhooks tell of transactions, too. test_key: all orders are tests.
    compact_refunds: refunds are answered in the small shape. methods_off: payment methods that
    are not enabled.
    """

    provider: Literal["ginger"] = "ginger"
    api_key: Annotated[str, Meta(min_length=1)]
    project_id: str
    merchant_id: str = MERCHANT_ID
    webhook_order_status: bool = True
    transaction_events: bool = False
    test_key: bool = False
    compact_refunds: bool = False
    methods_off: tuple[str, ...] = ()

    @property
    def credentials(self) -> str:
        """HTTP Basic: the key, a colon, no password. Source: fact sheet ginger, section 2."""
        return base64.b64encode(f"{self.api_key}:".encode()).decode()


class GingerAccount(Account[GingerSettings]):
    """Orders and their counter orders; all are listed in the order in which they were made."""

    stories = STORIES

    def __init__(self, settings: GingerSettings) -> None:
        super().__init__(settings)
        self.shelf = Shelf()
        self._rendered: dict[tuple[str, bool], tuple[int, bytes]] = {}
        self._notices = Notices()
        self._calls: list[WebhookCall] = []

    @property
    def resources(self) -> Mapping[str, Listed]:
        """All orders and counter orders, by id."""
        return self.shelf.by_id

    def seller(self, order: PaymentRequest) -> Seller:
        """Return who sells in an order: mostly the project of the settings."""
        project_id = str(order.as_created.get("project_id", self.settings.project_id))
        return Seller(self.settings.merchant_id, project_id, PAY_URL, self.settings.test_key)

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
        if story.kind == PAYMENT_LINK:
            return self.create_link(amount, currency, as_created, at=at)
        if story in CAPTURED_LATER:
            as_created |= {"capture_mode": story.kind or "manual", "expiration_period": "P7D"}
        if story.kind == FOREIGN_PROJECT:
            as_created["project_id"] = OTHER_PROJECT_ID
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
            created_at=self.shelf.next_moment(at),
            reference=_reference_in(as_created),
            as_created=as_created,
        )
        self.requests[order.id] = order
        self.shelf.add(Listed(order), order.created_at)
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

    def can_play(self, story: Story, request: PaymentRequest) -> bool:
        return (story.kind == PAYMENT_LINK) == isinstance(request, PaymentLink)

    def has_money(self, request: PaymentRequest) -> bool:
        orders = request.attempts if isinstance(request, PaymentLink) else [request]
        return any(entry.what in ARRIVALS for order in orders for entry in order.entries)

    def truth(self, request: PaymentRequest) -> Truth | None:
        if "project_id" in request.as_created:
            return None
        if isinstance(request, PaymentLink):
            return truth_of_link(request, account=self.settings.name)
        return truth_of(request, account=self.settings.name)

    def note(self, request: PaymentRequest, *, returns: bool) -> None:
        """Note a call for each order whose status word changed; a link sends none of its own."""
        request = self.request_of(request)
        url = request.as_created.get("webhook_url", self.settings.webhook_url)
        for listed in self.family(request):
            if listed.return_id and not returns:
                continue
            bodies = self._bodies(listed, request)
            if isinstance(url, str):
                about = (request.id,)
                self._calls += (WebhookCall(url, body, about, news) for body, news in bodies)

    def take_calls(self) -> Sequence[WebhookCall]:
        calls, self._calls = self._calls, []
        return calls

    def request_of(self, order: PaymentRequest) -> PaymentRequest:
        """Return the link that an order is an attempt of, else the order."""
        return self.requests.get(str(order.as_created.get("related_payment_link_id")), order)

    def family(self, request: PaymentRequest) -> list[Listed]:
        """Return an order, or a link's attempts, each with its counter orders.

        Those that were opened since the last look are listed from now on.
        """
        if isinstance(request, PaymentLink):
            return [listed for attempt in request.attempts for listed in self.family(attempt)]
        opened = [entry for entry in request.entries if entry.what in MOVEMENT_OF]
        family = [Listed(request), *(Listed(request, entry.subject) for entry in opened)]
        for listed, at in zip(family, (request.created_at, *(e.at for e in opened)), strict=True):
            self.shelf.add(listed, at)
        return family

    def word(self, listed: Listed) -> str:
        """Return the provider's status of a resource now."""
        if listed.return_id:
            return return_word(listed.order.entries, listed.return_id)
        return order_word(listed.order, listed.order.entries)

    def picture(self, listed: Listed, entries: Sequence[Entry], *, details: bool) -> Json:
        """Return a resource with its transactions as of these entries."""
        seller = self.seller(listed.order)
        if listed.return_id:
            return return_json(listed.order, entries, listed.return_id, seller)
        shown = order_json(listed.order, entries, seller)
        if details:
            shown["amount_details"] = amount_details(entries)
        return shown

    def summary(self, listed: Listed, now: datetime) -> Json:
        """Return a resource as lists show it."""
        order = listed.order
        if listed.return_id:
            return return_summary(order, order.entries, listed.return_id, self.seller(order))
        return order_summary(order, order.seen_at(now), self.seller(order))

    def refunds(self, order: PaymentRequest) -> list[Listed]:
        """Return an order's refund orders, oldest first."""
        opened = {e.subject for e in order.entries if e.what is What.REFUND_OPENED}
        return [listed for listed in self.family(order) if listed.return_id in opened]

    def refund_row(self, listed: Listed, now: datetime) -> Json:
        """Return a refund order as the list of refunds shows it."""
        if self.settings.compact_refunds:
            return self.refund_shown(listed)
        return self.summary(listed, now)

    def refund_shown(self, listed: Listed) -> Json:
        """Return a refund order as its creation answers it."""
        if self.settings.compact_refunds:
            return compact_return(listed.order, listed.order.entries, listed.return_id)
        return self.picture(listed, listed.order.entries, details=False)

    def rendered(self, listed: Listed, now: datetime, *, details: bool) -> bytes:
        """Return the picture seen now as JSON; rendered again only when it has grown."""
        entries = listed.order.entries if listed.return_id else listed.order.seen_at(now)
        known = self._rendered.get((listed.id, details))
        if known is not None and known[0] == len(entries):
            return known[1]
        body = msgspec.json.encode(self.picture(listed, entries, details=details))
        self._rendered[listed.id, details] = (len(entries), body)
        return body

    def _bodies(
        self, listed: Listed, request: PaymentRequest
    ) -> list[tuple[bytes, tuple[News, ...]]]:
        """Return what is new of an order, each with the news in it."""
        seller, word = self.seller(listed.order), self.word(listed)
        bodies: list[tuple[bytes, tuple[News, ...]]] = []
        if self._notices.is_news(listed.id, word):
            hint = self.settings.webhook_order_status
            body = status_changed(seller, listed.id, word, hint=hint)
            news = News(listed.id, word)
            if isinstance(request, PaymentLink):
                news = News(request.id, link_word(request))
            bodies.append((body, (news,)))
        if self.settings.transaction_events:
            bodies += (
                (transaction_status_changed(seller, listed.id, transaction), ())
                for transaction in self._transactions(listed)
                if self._notices.is_news(f"{transaction['id']}", f"{transaction['status']}")
            )
        return bodies

    def _transactions(self, listed: Listed) -> list[Json]:
        shown = self.picture(listed, listed.order.entries, details=False)["transactions"]
        assert isinstance(shown, list)
        return shown


def _reference_in(as_created: Json) -> str | None:
    reference = as_created.get("merchant_order_id")
    return reference if isinstance(reference, str) else None
