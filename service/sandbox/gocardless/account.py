"""A merchant's account at the fake GoCardless."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from service.sandbox.accounts import Account, AccountSettings
from service.sandbox.calls import News, Patience, WebhookCall
from service.sandbox.faults import Milliseconds
from service.sandbox.gocardless.creation import (
    DIRECT_DEBIT,
    Asked,
    BillingRequest,
    Metadata,
)
from service.sandbox.gocardless.events import Event, event_of
from service.sandbox.gocardless.happenings import PAYMENT_STARTS, What, happened
from service.sandbox.gocardless.hooks import EVENTS_MAX, Call, Endpoint, Webhook, patience
from service.sandbox.gocardless.ids import part_id, spelled
from service.sandbox.gocardless.parts import payment_id
from service.sandbox.gocardless.pictures import Merchant
from service.sandbox.gocardless.shelf import Shelf
from service.sandbox.gocardless.stories import DIRECT_DEBIT as MAY_FALL_BACK
from service.sandbox.gocardless.stories import MANDATE_ONLY, STORIES, WITH_MANDATE
from service.sandbox.gocardless.truth import truth_of
from service.sandbox.gocardless.words import billing_word, payment_word
from service.sandbox.ledger import Json, PaymentRequest
from service.sandbox.limits import CallLimit
from service.sandbox.story import Story
from service.sandbox.truth import Truth

# Source: fact sheet gocardless, section 9.
CALLS_PER_MINUTE = 1000

# The key under which the merchant keeps its own reference, as in every sample.
REFERENCE = "order_ref"


class GoCardlessSettings(AccountSettings, kw_only=True):
    """events_lag_ms: how long it may take until an event is listed.

    webhook_meta: whether bodies name their webhook; older ones do not.
    """

    provider: Literal["gocardless"] = "gocardless"
    access_token: Annotated[str, Meta(min_length=1)]
    webhook_secret: Annotated[str, Meta(min_length=1)]
    organisation_id: str = "OR0004J7TX5R2V"
    creditor_id: str = "CR0007K2QZ9D41"
    creditor_name: str = "Example Trading Ltd"
    environment: Literal["sandbox", "live"] = "sandbox"
    events_lag_ms: Milliseconds = 0
    webhook_meta: bool = True

    @property
    def credentials(self) -> str:
        return self.access_token


class GoCardlessAccount(Account[GoCardlessSettings]):
    """Billing requests and what came of them: payments, events and webhooks."""

    stories = STORIES

    def __init__(self, settings: GoCardlessSettings) -> None:
        super().__init__(settings)
        self.billing_requests: Shelf[BillingRequest] = Shelf()
        self.payments: Shelf[BillingRequest] = Shelf()
        self.events: Shelf[Event] = Shelf()
        self.webhook_log: Shelf[Webhook] = Shelf()
        self.made_by_key: dict[tuple[str, str], str] = {}
        self._api_metadata: dict[str, Metadata] = {}
        self._told: dict[str, str] = {}
        self._untold: list[Event] = []
        self._newest_at: datetime | None = None

    def configure(self, settings: GoCardlessSettings) -> None:
        super().configure(settings)
        calls = max(1, round(CALLS_PER_MINUTE * settings.call_limit_factor))
        self.limit = CallLimit(calls, 60)

    @property
    def merchant(self) -> Merchant:
        own = self.settings
        return Merchant(own.organisation_id, own.creditor_id, own.creditor_name)

    @property
    def patience(self) -> Patience:
        return patience(self.settings.time_scale)

    def ask(
        self, story: Story, *, reference: str, amount: int, currency: str, at: datetime
    ) -> PaymentRequest:
        sent: Json = {
            "metadata": {REFERENCE: reference},
            "fallback_enabled": story.kind == MAY_FALL_BACK,
        }
        if story.kind in (MANDATE_ONLY, WITH_MANDATE):
            sent["mandate_request"] = {"scheme": DIRECT_DEBIT.get(currency), "currency": currency}
        if story.kind != MANDATE_ONLY:
            sent["payment_request"] = {
                "amount": amount,
                "currency": currency,
                "description": f"Order {reference}",
                "metadata": {REFERENCE: reference},
            }
        try:
            asked = msgspec.convert(sent, Asked)
        except msgspec.ValidationError as error:
            raise ValueError(f"GoCardless cannot ask for this: {error}") from error
        return self.create(asked, at=at)

    def create(self, asked: Asked, *, at: datetime) -> BillingRequest:
        """Make a billing request; a mandate alone asks for no money."""
        if self._newest_at is not None:
            at = max(at, self._newest_at + timedelta(microseconds=1))
        self._newest_at = at
        payment, mandate = asked.payment_request, asked.mandate_request
        request = BillingRequest(
            id=spelled("BRQ", self.ids.getrandbits(64)),
            kind="billing_request",
            amount=payment.amount if payment else 0,
            currency=payment.currency if payment else (mandate.currency if mandate else "GBP"),
            created_at=at,
            reference=asked.metadata.get(REFERENCE),
            asked=asked,
        )
        self.requests[request.id] = request
        self.billing_requests.add(request.id, request, at)
        request.record(What.ASKED, at=at)
        return request

    def by_api(self, entry_id: str, metadata: Metadata) -> None:
        """Note that a call of the API made an entry, and what it sent along."""
        self._api_metadata[entry_id] = metadata

    def has_money(self, request: PaymentRequest) -> bool:
        return happened(request.entries, What.CONFIRMED)

    def truth(self, request: PaymentRequest) -> Truth | None:
        assert isinstance(request, BillingRequest)
        return truth_of(request, account=self.settings.name)

    def note(self, request: PaymentRequest, *, returns: bool) -> None:
        """Make an event of each new entry, whatever it is about."""
        assert isinstance(request, BillingRequest)
        for number in range(request.noted, len(request.entries)):
            entry = request.entries[number]
            if entry.what in PAYMENT_STARTS:
                self.payments.add(payment_id(request), request, entry.at)
            event = event_of(
                request,
                number,
                at=self.events.time_for(entry.at),
                lag_ms=self.settings.events_lag_ms,
                by_api=self._api_metadata.get(entry.id),
            )
            if event is not None:
                self.events.add(event.id, event, event.at, keys=event.links.values())
                self._untold.append(event)
        request.noted = len(request.entries)

    def take_calls(self) -> Sequence[WebhookCall]:
        events, self._untold = self._untold, []
        url = self.settings.webhook_url
        if url is None:
            return ()
        own = self.settings
        endpoint = Endpoint(url, own.webhook_secret, own.environment, own.webhook_meta)
        bodies = [events[n : n + EVENTS_MAX] for n in range(0, len(events), EVENTS_MAX)]
        return [self._call(endpoint, body) for body in bodies]

    def answered(self, call: WebhookCall, status_code: int | None) -> None:
        assert isinstance(call, Call)
        webhook = self.webhook_log.find(call.webhook_id)
        assert webhook is not None, "every call is logged when it is made"
        webhook.answered(status_code)

    def _call(self, endpoint: Endpoint, events: Sequence[Event]) -> Call:
        webhook_id = part_id("WB", self.settings.name, len(self.webhook_log) + 1)
        requests = {event.request.id: event.request for event in events}.values()
        news = tuple(news for request in requests for news in self._news(request))
        call = endpoint.call(events, webhook_id, news)
        self.webhook_log.add(webhook_id, Webhook(call, events[-1].at), events[-1].at)
        return call

    def _news(self, request: BillingRequest) -> Sequence[News]:
        """Return the request's new word, if it has one: the payment's once there is one."""
        word = payment_word(request.entries) or billing_word(request.entries)
        if request.asked.payment_request is None or self._told.get(request.id) == word:
            return ()
        self._told[request.id] = word
        return (News(request.id, word),)
