"""How we speak with GoCardless: account keys, signature, calls."""

import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final

import httpx

from service.domain.event import Call, Event
from service.domain.request import (
    Answer,
    Facts,
    Kind,
    NotOurs,
    Observation,
    Related,
    Unclaimed,
    Unmapped,
)
from service.domain.status import words_of
from service.errors import BadSignature, NotFoundThere, Unreadable
from service.providers import AccountContext, Exchange, Listed, Page
from service.providers.gocardless.shapes import (
    BillingRequest,
    EventItem,
    EventPage,
    Payment,
    is_id,
    parsed,
    shaped,
    unwrapped,
)
from service.providers.gocardless.verdict import (
    KEEPS_MONEY,
    Past,
    needs_past,
    past_of,
    with_payment,
    without_payment,
)
from service.providers.gocardless.webhook import TELLING, events_in
from service.settings import Expected, Secret, Section

API_VERSION: Final = "2015-07-06"  # source: section 1
INVALID_TOKEN: Final = 498  # GoCardless's own status for a bad signature. Source: section 5
EVENTS_PER_PAGE: Final = "500"  # the most there is. Source: section 8
PAST_PAGES_MAX: Final = 5  # 2500 events of one payment; a payment retried for years has dozens
LIMIT_WAIT_SECONDS_MAX: Final = 120.0  # twice the minute that the limit counts. Source: section 9

# Where the ERP's reference stands unless the account says otherwise; the first that is filled.
# Descriptions are text for the payer and no reference. Source: section 2.1 and its samples.
REFERENCE_PATHS: Final = ("metadata.reference", "metadata.order_ref", "payment_request.reference")
REFERENCE_CHARACTERS_MAX: Final = 200

BILLING_REQUEST_WORDS: Final = words_of("gocardless", "billing_request")
PAYMENT_WORDS: Final = words_of("gocardless", "payment")
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)


class GoCardlessKeys(Section):
    """The account's own keys. One call may be signed with any of webhook_secrets."""

    api_base: str
    access_token: Secret
    webhook_secrets: tuple[Secret, ...]

    def __post_init__(self) -> None:
        token = self.access_token.reveal()
        if not (token.isascii() and token.isprintable()):
            raise Expected("a token of printable ASCII characters", at="access_token")
        if not self.webhook_secrets:
            raise Expected("at least one secret", at="webhook_secrets")


class GoCardless:
    """Implements Provider, SendsWebhooks, HasList and TellsLimits."""

    kinds = frozenset({Kind.BILLING_REQUEST})
    body_bytes_max = 1_048_576  # more than 250 events with metadata. Source: section 5

    def __init__(self, keys: GoCardlessKeys, context: AccountContext) -> None:
        self._api_base = keys.api_base.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {keys.access_token.reveal()}",
            "GoCardless-Version": API_VERSION,
            "Accept": "application/json",
        }
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
        return events_in(call.body)

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        if not self.knows(kind, provider_id):
            raise Unreadable("not the id of a billing request or a payment")
        if kind is Kind.PAYMENT:
            # Nothing leads from a payment to its billing request. Source: section 2.2.
            return Unclaimed()
        raw, asked = yield from self._billing_request(provider_id)
        part = asked.payment_request
        if part is None:
            return NotOurs("no_payment_part")
        payment_id = asked.payment_id
        payment = (yield from self._payment(payment_id, known)) if payment_id else None
        word = payment.status if payment else asked.status
        status = (self._payment_words if payment else self._billing_request_words).get(word)
        if status is None:
            return Unmapped(word)
        past = Past()
        if payment is None:
            facts = without_payment(part, word, status)
        else:
            if needs_past(status, known):
                past = yield from self._past(payment.id)
            facts = with_payment(part, payment, status, past, known)
        return Observation(
            facts,
            version=None,  # neither resource tells when it changed
            reference=_reference_in(raw, self._reference_paths),
            occurred_at=past.came_at if status in KEEPS_MONEY else past.went_at,
            related=(Related(Kind.PAYMENT, payment_id, "payment"),) if payment_id else (),
            attention=_attention(facts),
        )

    def list_page(self, since: datetime, until: datetime, cursor: str | None) -> Exchange[Page]:
        """Read a page of the account's events of a window, newest first.

        Those that do not name a billing request or payment as they must are passed over: they
        lead nowhere, and must not keep a sweep from the others.
        """
        window = {"created_at[gte]": _in_z(since), "created_at[lt]": _in_z(until)}
        found, after = yield from self._events(window, cursor)
        items = tuple(item for raw in found if (item := _listed_in(raw)) is not None)
        return Page(items, after)

    def wait_seconds(self, response: httpx.Response, *, now: datetime) -> float | None:
        """Return the time to the reset once no call is left. Source: section 9."""
        if response.headers.get("ratelimit-remaining") != "0":
            return None
        reset_at = _http_date_in(response.headers.get("ratelimit-reset", ""))
        if reset_at is None:
            return None
        return min(max((reset_at - now).total_seconds(), 0.0), LIMIT_WAIT_SECONDS_MAX)

    def _billing_request(self, provider_id: str) -> Exchange[tuple[object, BillingRequest]]:
        """Read one billing request; return it also as it came. The id's shape is checked."""
        raw = unwrapped(
            parsed((yield self._get(f"/billing_requests/{provider_id}"))), "billing_requests"
        )
        asked = shaped(raw, BillingRequest)
        if asked.id != provider_id:
            raise Unreadable("answer for another billing request")
        return raw, asked

    def _payment(self, payment_id: str, known: Facts | None) -> Exchange[Payment | None]:
        """Read the payment of a billing request, None while it cannot be seen yet.

        One that was seen before can: then its 404 is an error.
        """
        try:
            response = yield self._get(f"/payments/{payment_id}")
        except NotFoundThere:
            if known is not None and known.provider_status not in BILLING_REQUEST_WORDS:
                raise
            return None
        payment = shaped(unwrapped(parsed(response), "payments"), Payment)
        if payment.id != payment_id:
            raise Unreadable("answer for another payment")
        return payment

    def _past(self, payment_id: str) -> Exchange[Past]:
        """Read all events of a payment."""
        events: list[EventItem] = []
        cursor = None
        for _ in range(PAST_PAGES_MAX):
            found, cursor = yield from self._events({"payment": payment_id}, cursor)
            events += [shaped(raw, EventItem) for raw in found]
            if cursor is None:
                return past_of(events, payment_id)
        raise Unreadable("more events of one payment than we read")

    def _events(
        self, chosen: Mapping[str, str], cursor: str | None
    ) -> Exchange[tuple[list[object], str | None]]:
        """Read one page of events and the cursor of the next, which holds older ones."""
        after = {"after": cursor} if cursor else {}
        query = {**chosen, "limit": EVENTS_PER_PAGE, **after}
        page = shaped(parsed((yield self._get("/events", query))), EventPage)
        following = page.meta.cursors.after
        if following is not None and following == cursor:
            raise Unreadable("a page that leads to itself")
        return page.events, following

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> httpx.Request:
        return httpx.Request("GET", f"{self._api_base}{path}", params=query, headers=self._headers)


def _signed(body: bytes, secret: bytes) -> bytes:
    """Return the signature of body: hex, over the raw bytes."""
    return hmac.digest(secret, body, "sha256").hex().encode()


def _listed_in(raw: object) -> Listed | None:
    """Return what an event of the list is about, whatever its action; None where it is nothing."""
    try:
        item = shaped(raw, EventItem)
        subject = item.names if item.resource_type in TELLING else None
    except Unreadable:
        return None
    return subject and Listed(*subject, version=None, event_id=item.id)


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


def _in_z(moment: datetime) -> str:
    """Write a time as this API does. Source: section 1."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _http_date_in(text: str) -> datetime | None:
    """Return the time in "Thu, 03 May 2018 16:00:00 GMT", None for anything else."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC) if _HTTP_DATE.fullmatch(text) else None
    except ValueError:
        return None
