"""How we speak with bunq: calls in, reads, lists, sessions."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import httpx
import msgspec

from service.domain.event import Call, Event
from service.domain.request import Answer, Facts, Kind, Listing, Observation, Unmapped
from service.domain.status import words_of
from service.errors import (
    BadSignature,
    NotFoundThere,
    Rejected,
    TooManyCalls,
    Unavailable,
    Unreadable,
)
from service.providers import AccountContext, Exchange, Finding, Listed, Page, Session
from service.providers.bunq import handshake
from service.providers.bunq.check import findings
from service.providers.bunq.handshake import Handshake
from service.providers.bunq.keys import BunqKeys, read_public_keys
from service.providers.bunq.shapes import (
    Body,
    Entry,
    Failure,
    Inquiry,
    Payment,
    body_of,
    entry_of,
    microseconds_of,
    moment_of,
    query_in,
)
from service.providers.bunq.signature import (
    CLIENT_HEADER,
    SERVER_HEADER,
    is_signed,
    public_key_of,
    sign,
)
from service.providers.bunq.verdict import (
    Refunds,
    attention_in,
    facts_of,
    mark_of,
    received_of,
    refunds_among,
)
from service.providers.bunq.webhook import event_in

WORDS: Final = words_of("bunq", "request_inquiry")
MAINTENANCE: Final = 491  # bunq's own status. Source: section 8
NEWEST: Final = "count=200"  # the most there are on a page. Source: section 6
FAILURES: Final = "count=100"  # the most that are sent again at once. Source: section 4
FAILURES_MAX: Final = 100
GIVEN_UP: Final = "given-up?"  # begins the cursor of a page of calls that were given up
PAYMENT_PAGES_MAX: Final = 3  # a call each, of one a second. Source: section 9
# The money of a request comes a moment before its answer is noted. Source: samples.
PAID_BEFORE: Final = timedelta(minutes=1)
REFERENCE_CHARACTERS_MAX: Final = 200
UNREADABLE: Final = "unreadable"  # the mark of an entry that only a read can tell of
_ID: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


class Bunq:
    """Implements Provider, SendsWebhooks, NeedsSession, ReadsStatus and ChecksAccount.

    Of lists HasList and ShowsStatuses.
    """

    kinds = frozenset({Kind.REQUEST_INQUIRY})
    body_bytes_max = 65_536
    window_max: timedelta | None = None  # the list knows no times
    entries_per_page = 200  # source: section 6
    session_seconds_min = 30.0  # source: section 9

    def __init__(
        self,
        keys: BunqKeys,
        context: AccountContext,
        *,
        new_request_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._keys = keys
        self._context = context
        self._words = {**WORDS, **context.words}
        self._server_keys = read_public_keys(keys.server_public_key_files)
        self._new_request_id = new_request_id
        self._handshake = Handshake(keys, self._headers, self._read_body)

    def knows(self, kind: Kind, provider_id: str) -> bool:
        return kind is Kind.REQUEST_INQUIRY and _ID.fullmatch(provider_id) is not None

    def verify(self, call: Call) -> Sequence[Event]:
        """Return the one event in a call. Without a signature a call is let through: see keys."""
        signature = call.headers.get(SERVER_HEADER.lower())
        matters = signature is not None or self._keys.require_signed_calls
        can_tell = bool(self._server_keys)
        if matters and can_tell and not is_signed(call.body, signature, self._server_keys):
            raise BadSignature
        return [event_in(call.body, self._keys.monetary_account_id)]

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        """Read one request inquiry, and once it is accepted the payments since: a call more.

        Refunds are found by the merchant reference alone; without one they cannot be seen.
        """
        if not self.knows(kind, provider_id):
            raise Unreadable("not the id of a request inquiry")
        body = yield from self._get(f"{self._keys.account_url}/request-inquiry/{provider_id}")
        inquiry = body.only("RequestInquiry", Inquiry)
        ours = (int(provider_id), self._keys.monetary_account_id)
        if (inquiry.id, inquiry.monetary_account_id) != ours:
            raise Unreadable("answer for another request")
        status = self._words.get(inquiry.status)
        if status is None:
            return Unmapped(inquiry.status)
        refunds = Refunds()
        can_be_given_back = bool(received_of(inquiry, status) and inquiry.merchant_reference)
        if can_be_given_back:
            refunds = yield from self._refunds(inquiry, known)
        facts = facts_of(inquiry, status, refunds)
        return Observation(
            facts,
            version=microseconds_of(moment_of(inquiry.updated)),
            reference=self._reference_in(body.only("RequestInquiry", dict)),
            occurred_at=max(inquiry.changed_at, refunds.last_at or inquiry.changed_at),
            attention=attention_in(inquiry, facts, refunds),
            ends_at=moment_of(inquiry.time_expiry) if inquiry.time_expiry else None,
            listing=None if can_be_given_back else Listing(provider_id, mark_of(inquiry, status)),
        )

    def list_page(self, since: datetime, until: datetime, cursor: str | None) -> Exchange[Page]:
        """Read one page of the account's list, newest first; cursor is the query of the page.

        The list is by creation, and what is old may have changed since: the walk ends with a
        page on which everything was made and changed before since. A window begins with having
        the callbacks sent again that bunq gave up during it; a page on which there were some
        ends with that, so that they are not sent twice when reading the list fails.
        """
        if cursor is None or cursor.startswith(GIVEN_UP):
            query = FAILURES if cursor is None else cursor.removeprefix(GIVEN_UP)
            following = yield from self._resend(since, query)
            if following is not None:
                return Page((), following)
            cursor = None
        entries, older = yield from self._entries(cursor or NEWEST)
        news = [one for one in entries if one.is_made_since(since) or one.is_changed_since(since)]
        return Page(tuple(map(self._listed, news)), older if news else None)

    def look_through(self, since: datetime, cursor: str | None) -> Exchange[Page]:
        """Read one page of the account's list, newest first; cursor is the query of the page.

        Every entry has a mark. One that cannot be read, or has a word that is not mapped, has a
        mark that no read comes to: what is the matter with it is for a read to say.
        """
        entries, older = yield from self._entries(cursor or NEWEST)
        made = [one for one in entries if one.is_made_since(since)]
        return Page(tuple(map(self._listed, made)), older if made else None)

    def check(self, webhook_url: str | None) -> Exchange[tuple[Finding, ...]]:
        """Read one request and the notification filters: two calls, or three."""
        return findings(self._keys, self._server_keys, self._read_answer, webhook_url)

    def open_session(self, kept: Mapping[str, str]) -> Exchange[Session]:
        """Make the next step towards a session, or open it when all others are made."""
        return self._handshake.next_step(kept)

    def authorise(self, request: httpx.Request, session: Session) -> httpx.Request:
        """Return the request with the session's token, a fresh id and its body's signature.

        A session that was opened with another API key, or elsewhere, is shown to nobody: the
        refusal has it renewed. The installation's key goes along to check the answer with.
        """
        values = session.values
        headers = request.headers.copy()
        headers.update(self._headers())
        if values[handshake.MADE_FOR] == self._keys.fingerprint:
            headers[handshake.TOKEN_HEADER] = values[handshake.SESSION]
        content = request.read()
        if content:
            headers[CLIENT_HEADER] = sign(content, values[handshake.PRIVATE_KEY])
        return httpx.Request(
            request.method,
            request.url,
            headers=headers,
            content=content,
            extensions={handshake.SERVER_KEY: values[handshake.SERVER_KEY]},
        )

    def error_for(self, response: httpx.Response) -> Unavailable | None:
        if response.status_code == MAINTENANCE:
            return Unavailable(f"http_{MAINTENANCE}")
        return None

    def _headers(self) -> dict[str, str]:
        return {
            "Cache-Control": "no-cache",
            "Content-Type": "application/json",
            "X-Bunq-Client-Request-Id": self._new_request_id(),
        }

    def _get(self, url: str) -> Exchange[Body]:
        return self._read_answer((yield httpx.Request("GET", url)))

    def _entries(self, query: str) -> Exchange[tuple[list[Entry], str | None]]:
        """Read a page of the account's requests; return it and the query of the older one."""
        body, older = yield from self._page(f"{self._keys.account_url}/request-inquiry", query)
        return [entry_of(raw) for raw in body.all("RequestInquiry", dict)], older

    def _listed(self, entry: Entry) -> Listed:
        updated_at = entry.updated_at
        return Listed(
            Kind.REQUEST_INQUIRY,
            str(entry.id),
            version=None if updated_at is None else microseconds_of(updated_at),
            mark=self._mark_of(entry),
        )

    def _mark_of(self, entry: Entry) -> str:
        inquiry = entry.inquiry
        if inquiry is None or inquiry.monetary_account_id != self._keys.monetary_account_id:
            return UNREADABLE
        try:
            return mark_of(inquiry, self._words[inquiry.status])
        except (KeyError, Unreadable):
            return UNREADABLE

    def _page(self, url: str, query: str) -> Exchange[tuple[Body, str | None]]:
        """Read a page of a list; return it and the query of the older one."""
        body = yield from self._get(f"{url}?{query}")
        if body.older_url is None:
            return body, None
        # Links begin with the version, wherever the API is mounted.
        path = httpx.URL(url).path
        own = frozenset({path, "/v1" + path.removeprefix(httpx.URL(self._keys.url).path)})
        older = query_in(body.older_url, own)
        if older == query:
            raise Unreadable("a page that is older than itself")
        return body, older

    def _read_answer(self, response: httpx.Response) -> Body:
        return self._read_body(response, response.request.extensions.get(handshake.SERVER_KEY))

    def _read_body(self, response: httpx.Response, installation_key: str | None) -> Body:
        """Check an answer's signature, with any of the keys that may have made it, and read it."""
        signature = response.headers.get(SERVER_HEADER)
        if signature is None and not self._keys.require_signed_answers:
            return body_of(response)
        keys = list(self._server_keys)
        if installation_key is not None:
            keys.append(public_key_of(installation_key.encode()))
        if not is_signed(response.content, signature, keys):
            raise Unreadable("bad_signature")
        return body_of(response)

    def _refunds(self, inquiry: Inquiry, known: Facts | None) -> Exchange[Refunds]:
        """Read payments, newest first, back to when the inquiry was paid."""
        back_to = inquiry.paid_after - PAID_BEFORE
        payments: dict[int, Payment] = {}
        query = NEWEST
        complete = False
        for _ in range(PAYMENT_PAGES_MAX):
            try:
                body, older = yield from self._page(f"{self._keys.account_url}/payment", query)
            except NotFoundThere:
                break
            page = body.all("Payment", Payment)
            payments |= {payment.id: payment for payment in page}
            if older is None or any(one.created_at < back_to for one in page):
                complete = True
                break
            query = older
        return refunds_among(payments.values(), inquiry, known, complete=complete)

    def _resend(self, since: datetime, query: str) -> Exchange[str | None]:
        """Have a page of the callbacks sent again that were given up since then.

        Return the cursor to go on with, None where there was nothing to send. Reading the list
        does not hang on it: whatever fails here, the walk still finds.
        """
        url = f"{self._keys.user_url}/notification-filter-failure"
        try:
            body, older = yield from self._page(url, query)
            ids = ids_to_resend(body.all("NotificationFilterFailure", Failure), since)
            if not ids:
                return None
            content = msgspec.json.encode({"notification_filter_failed_ids": ",".join(ids)})
            yield httpx.Request("POST", url, content=content)
        except TooManyCalls:
            raise
        except (Rejected, Unavailable):
            return None
        return NEWEST if older is None else GIVEN_UP + older

    def _reference_in(self, raw: object) -> str | None:
        """Return the text at a path such as "counterparty_alias.display_name", if it is fit."""
        for name in (self._context.reference_from or "merchant_reference").split("."):
            raw = raw.get(name) if isinstance(raw, dict) else None
        if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
            return None
        return raw if len(raw) <= REFERENCE_CHARACTERS_MAX else None


def ids_to_resend(failures: Iterable[Failure], since: datetime) -> list[str]:
    """Return the ids of given-up callbacks about requests that are not older than since.

    Older ones were sent again by an earlier window: that they leave the list is not documented,
    and each costs a read. One without a time may be new. At most 100, however many are shown.
    """
    ids = [
        str(failure.id)
        for failure in failures
        if failure.category == "REQUEST"
        and failure.id is not None
        and (failure.created is None or moment_of(failure.created) >= since)
    ]
    return ids[:FAILURES_MAX]
