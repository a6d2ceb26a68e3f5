"""How we speak with GoCardless: account keys, signature, calls."""

import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import httpx

from service.domain.event import Call, Event
from service.domain.request import (
    Answer,
    Facts,
    Kind,
    Listing,
    NotOurs,
    Observation,
    Related,
    Unclaimed,
    Unmapped,
)
from service.domain.status import Status, words_of
from service.errors import BadSignature, NotFoundThere, Unreadable
from service.providers import AccountContext, Exchange, Finding, Page
from service.providers.gocardless.api import ENTRIES_PER_PAGE, Api, wait_seconds
from service.providers.gocardless.check import findings
from service.providers.gocardless.lists import events_page, requests_page
from service.providers.gocardless.shapes import (
    BillingRequest,
    EventItem,
    Payment,
    PaymentPart,
    is_id,
    shaped,
)
from service.providers.gocardless.verdict import (
    KEEPS_MONEY,
    Past,
    is_retried,
    needs_past,
    past_of,
    with_payment,
    without_payment,
)
from service.providers.gocardless.webhook import events_in
from service.settings import Expected, Secret, Section

INVALID_TOKEN: Final = 498  # GoCardless's own status for a bad signature. Source: section 5
# Events of a day are caught up with before those of the next.
WINDOW_MAX: Final = timedelta(days=1)
PAST_PAGES_MAX: Final = 5  # 1250 events of one payment; a payment retried for years has dozens

# Where the ERP's reference stands unless the account says otherwise; the first that is filled.
# Descriptions are text for the payer and no reference. Source: section 2.1 and its samples.
REFERENCE_PATHS: Final = ("metadata.reference", "metadata.order_ref", "payment_request.reference")
REFERENCE_CHARACTERS_MAX: Final = 200

BILLING_REQUEST_WORDS: Final = words_of("gocardless", "billing_request")
PAYMENT_WORDS: Final = words_of("gocardless", "payment")
# Why a request for a mandate alone is none of ours, and what who registered it is to look at.
NO_PAYMENT_PART: Final = "no_payment_part"
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)


class GoCardlessKeys(Section):
    """The account's own keys. One call may be signed with any of webhook_secrets.

    With organisation_id, a partner's app gets its events alone; without it, those of all.
    """

    api_base: str
    access_token: Secret
    webhook_secrets: tuple[Secret, ...]
    organisation_id: str | None = None

    def __post_init__(self) -> None:
        token = self.access_token.reveal()
        if not (token.isascii() and token.isprintable()):
            raise Expected("a token of printable ASCII characters", at="access_token")
        if not self.webhook_secrets:
            raise Expected("at least one secret", at="webhook_secrets")


class GoCardless:
    """Implements Provider, SendsWebhooks, HasList, ShowsStatuses, ChecksAccount and TellsLimits."""

    kinds = frozenset({Kind.BILLING_REQUEST})
    body_bytes_max = 1_048_576  # more than 250 events with metadata. Source: section 5
    window_max = WINDOW_MAX
    entries_per_page = ENTRIES_PER_PAGE

    def __init__(self, keys: GoCardlessKeys, context: AccountContext) -> None:
        self._api = Api(keys.api_base, access_token=keys.access_token.reveal())
        self._organisation_id = keys.organisation_id
        self._secrets = tuple(secret.reveal().encode() for secret in keys.webhook_secrets)
        self._reference_paths = (
            (context.reference_from,) if context.reference_from else REFERENCE_PATHS
        )
        self._billing_request_words = MappingProxyType({**BILLING_REQUEST_WORDS, **context.words})
        self._payment_words = MappingProxyType({**PAYMENT_WORDS, **context.words})

    def knows(self, kind: Kind, provider_id: str) -> bool:
        return is_id(kind, provider_id)

    def verify(self, call: Call) -> Sequence[Event]:
        signature = call.headers.get("webhook-signature", "")
        if not _SIGNATURE.fullmatch(signature):
            raise BadSignature("no signature of 64 hex digits", status_code=INVALID_TOKEN)
        given = signature.encode()
        matches = [
            hmac.compare_digest(_signed(call.body, secret), given) for secret in self._secrets
        ]
        if not any(matches):
            raise BadSignature("signed with another secret", status_code=INVALID_TOKEN)
        return events_in(call.body, organisation_id=self._organisation_id)

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        if not self.knows(kind, provider_id):
            raise Unreadable("not the id of a billing request or a payment")
        if kind is Kind.PAYMENT:
            # Nothing leads from a payment to its billing request. Source: section 2.2.
            return Unclaimed()
        raw, asked = yield from self._billing_request(provider_id)
        part = asked.payment_request
        if part is None:
            return NotOurs(NO_PAYMENT_PART, self._as_registered(asked))
        payment_id = asked.payment_id
        payment = (yield from self._payment(payment_id, known)) if payment_id else None
        word = payment.status if payment else asked.status
        status = (self._payment_words if payment else self._billing_request_words).get(word)
        if status is None:
            return Unmapped(word)
        past = None
        if payment and needs_past(status, known):
            past = yield from self._past(payment.id)
        if payment:
            facts = with_payment(part, payment, status, past or Past(), known)
        else:
            facts = without_payment(part, word, status)
        return Observation(
            facts,
            version=None,  # neither resource tells when it changed
            reference=_reference_in(raw, self._reference_paths),
            occurred_at=_occurred_at(status, past),
            related=(Related(Kind.PAYMENT, payment_id, "payment"),) if payment_id else (),
            attention=_attention(facts),
            # What events have a say in, no list shows.
            listing=None if past else _listing(asked, payment),
            retried=payment is not None and is_retried(status, known),
        )

    def _as_registered(self, asked: BillingRequest) -> Observation | None:
        """Return what a request for nothing but a mandate is to an ERP that registered it.

        None where nothing can be said of it. Source: STATUSES.md, section 2, point 3.
        """
        currency = asked.mandate_request and asked.mandate_request.known_currency
        status = self._billing_request_words.get(asked.status)
        if not currency or status is None:
            return None
        status = Status.CANCELLED if asked.status == "fulfilled" else status
        return Observation(
            without_payment(PaymentPart(None, currency), asked.status, status),
            version=None,
            reference=None,
            occurred_at=None,
            attention=frozenset({NO_PAYMENT_PART}),
        )

    def list_page(self, since: datetime, until: datetime, cursor: str | None) -> Exchange[Page]:
        return events_page(self._api, since, until, cursor)

    def look_through(self, since: datetime, cursor: str | None) -> Exchange[Page]:
        return requests_page(self._api, since, cursor)

    def check(self, webhook_url: str | None) -> Exchange[tuple[Finding, ...]]:
        return findings(self._api, webhook_url)

    def wait_seconds(self, response: httpx.Response, *, now: datetime) -> float | None:
        return wait_seconds(response, now=now)

    def _billing_request(self, provider_id: str) -> Exchange[tuple[object, BillingRequest]]:
        """Read one billing request; return it also as it came. The id's shape is checked."""
        raw = yield from self._api.one(Kind.BILLING_REQUEST, provider_id)
        asked = shaped(raw, BillingRequest)
        if asked.id != provider_id:
            raise Unreadable("answer for another billing request")
        return raw, asked

    def _payment(self, payment_id: str, known: Facts | None) -> Exchange[Payment | None]:
        """Read the payment of a billing request, None while it cannot be seen yet.

        One that was seen before can: then its 404 is an error.
        """
        try:
            raw = yield from self._api.one(Kind.PAYMENT, payment_id)
        except NotFoundThere:
            if known is not None and known.provider_status not in BILLING_REQUEST_WORDS:
                raise
            return None
        payment = shaped(raw, Payment)
        if payment.id != payment_id:
            raise Unreadable("answer for another payment")
        return payment

    def _past(self, payment_id: str) -> Exchange[Past]:
        """Read all events of a payment."""
        events: list[EventItem] = []
        cursor = None
        for _ in range(PAST_PAGES_MAX):
            found, cursor = yield from self._api.page("events", {"payment": payment_id}, cursor)
            events += [shaped(raw, EventItem) for raw in found]
            if cursor is None:
                return past_of(events, payment_id)
        raise Unreadable("more events of one payment than we read")


def _signed(body: bytes, secret: bytes) -> bytes:
    """Return the signature of body: hex, over the raw bytes."""
    return hmac.digest(secret, body, "sha256").hex().encode()


def _occurred_at(status: Status, past: Past | None) -> datetime | None:
    if past is None:
        return None
    return past.came_at if status in KEEPS_MONEY else past.went_at


def _listing(asked: BillingRequest, payment: Payment | None) -> Listing | None:
    """Return which entry of a list shows what was read: the payment's, once there is one."""
    if payment is not None:
        return Listing(payment.id, payment.mark)
    if asked.payment_id is not None:
        return None  # it exists but cannot be seen yet, and no list tells when it can
    return Listing(asked.id, asked.mark)


def _attention(facts: Facts) -> frozenset[str]:
    is_more = facts.amount is not None and facts.received > facts.amount
    return frozenset({"more_than_asked"}) if is_more else frozenset()


def _reference_in(raw: object, paths: Sequence[str]) -> str | None:
    """Return the first text at one of paths, such as "metadata.order_ref", that can be one."""
    found = (_text_at(raw, path) for path in paths)
    return next((text for text in found if text is not None), None)


def _text_at(raw: object, path: str) -> str | None:
    for name in path.split("."):
        raw = raw.get(name) if isinstance(raw, dict) else None
    if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
        return None
    return raw if len(raw) <= REFERENCE_CHARACTERS_MAX else None
