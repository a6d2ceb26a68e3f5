"""How we speak with the payment requests API, version 2."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import httpx

from service.domain.request import (
    Answer,
    Direction,
    Facts,
    Kind,
    Listing,
    NotOurs,
    Observation,
    Unmapped,
)
from service.domain.status import Status, words_of
from service.errors import NotFoundThere, Rejected, Unauthorised, Unavailable, Unreadable
from service.providers import AccountContext, Exchange, Finding, Listed, Page, Session
from service.providers.payment_requests_v2.findings import findings_of
from service.providers.payment_requests_v2.shapes import (
    ClientAccounts,
    Entry,
    ListAnswer,
    PaymentRequest,
    folded,
    moment_of,
    parsed,
    shaped,
    unwrapped,
)
from service.providers.payment_requests_v2.verdict import (
    attention_for,
    currency_of,
    facts_of,
    judge,
    mark_of,
)
from service.settings import Expected, Secret, Section

WORDS: Final = words_of("payment_requests_v2", "payment_request")

# So that the evidence of a read says between which accounts. Lists do without: with them fifty
# requests of many transfers would be too long an answer.
RELATIONS: Final = "transfers.debtor.bank_account,transfers.creditor.bank_account"
TOKEN_SECONDS: Final = 86_400.0  # source: section 1
# The most is not documented; sibling pages give 50 without being asked. Source: section 5.
PER_PAGE: Final = 50
_ID = re.compile(r"[1-9][0-9]{0,17}\Z", re.ASCII)
_CURSOR = re.compile(r"([1-9][0-9]{0,8})(?:-([0-9a-f]{16}))?", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")


class PaymentRequestsV2Keys(Section):
    """The account's own keys. A token that stands in a file is read again when it is refused."""

    api_base: str
    api_token: Secret
    client_account_id: int

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.api_token.reveal()):
            raise Expected("a token of visible ASCII characters", at="api_token")
        if self.client_account_id < 1:
            raise Expected("a number from 1 up", at="client_account_id")


class PaymentRequestsV2:
    """Implements Provider, NeedsSession, HasList, ShowsStatuses and ChecksAccount."""

    kinds = frozenset({Kind.PAYMENT_REQUEST})
    body_bytes_max = 0  # nothing calls us
    window_max: timedelta | None = None  # the list knows no times
    session_seconds_min = 1.0
    entries_per_page: int = PER_PAGE

    def __init__(self, keys: PaymentRequestsV2Keys, context: AccountContext) -> None:
        self._api_base = keys.api_base.rstrip("/")
        self._token = keys.api_token
        self._client_account_id = str(keys.client_account_id)
        own_words = {folded(word): status for word, status in context.words.items()}
        self._words = {**WORDS, **own_words}

    def knows(self, kind: Kind, provider_id: str) -> bool:
        return kind is Kind.PAYMENT_REQUEST and _ID.match(provider_id) is not None

    def open_session(self, kept: Mapping[str, str]) -> Exchange[Session]:
        """Take the token as it stands in its file now: there is no call that makes one.

        So a refused token is replaced once from the file, and one that is refused again pauses
        the account. Raises Unavailable while the file holds none.
        """
        yield from ()
        token = self._token.reread().reveal()
        if not _TOKEN.fullmatch(token):
            raise Unavailable("token_malformed")
        return Session({"token": token, "api_base": self._api_base}, TOKEN_SECONDS)

    def authorise(self, request: httpx.Request, session: Session) -> httpx.Request:
        """Return the request with the token.

        One kept from before the account's address changed is not shown to whoever is there now:
        the 401 that follows brings the right one.
        """
        headers = request.headers.copy()
        if session.values.get("api_base") == self._api_base:
            headers["Authorization"] = f"Bearer {session.values['token']}"
        return httpx.Request(request.method, request.url, headers=headers, content=request.content)

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        if not self.knows(kind, provider_id):
            raise Unreadable("not the id of a payment request")
        response = yield self._ask(f"payment-requests/{provider_id}", {"with": RELATIONS})
        request = shaped(unwrapped(parsed(response)), PaymentRequest)
        if str(request.id) != provider_id:
            raise Unreadable("answer for another payment request")
        if str(request.client_account_id) != self._client_account_id:
            return NotOurs("foreign_client_account")
        unmapped = next((word for word in request.words if folded(word) not in self._words), None)
        if unmapped is not None:
            return Unmapped(str(unmapped))
        transfers = request.in_order
        currency = currency_of(transfers, known)
        said = [self._words[folded(transfer.payment_status)] for transfer in transfers]
        judged = judge(transfers, said)
        facts = facts_of(judged, currency, provider_status=str(request.payment_status))
        return Observation(
            facts,
            version=None,  # no answer tells when it changed
            reference=None,  # and none names a document of ours
            occurred_at=moment_of(request.created_at) if facts.status is Status.CREATED else None,
            direction=Direction.OUT,
            attention=attention_for(judged, facts, self._words[folded(request.payment_status)]),
            listing=Listing(provider_id, mark_of(request, self._words)),
        )

    def list_page(self, since: datetime, until: datetime, cursor: str | None) -> Exchange[Page]:
        """Read one page of the list: there is none of a window alone."""
        return (yield from self.look_through(since, cursor))

    def look_through(self, since: datetime, cursor: str | None) -> Exchange[Page]:
        """Read one page of the whole list; cursor is its number and how the one before looked.

        Of a page only what was created since then is told. Pages shift while we walk, so the list
        may grow or shrink meanwhile, and one that is shown again is the last. But a page that was
        not asked for means that our numbers are not understood. Source: section 5.
        """
        page, before = _place_of(cursor)
        query = {"page": str(page), "per_page": str(PER_PAGE)}
        try:
            response = yield self._ask("payment-requests", query)
        except NotFoundThere:
            if page == 1:
                raise
            return Page((), None)  # the list has shrunk, and what is beyond its end is not there
        answer = shaped(parsed(response), ListAnswer)
        if answer.meta.page != page and page <= answer.meta.pages:
            raise Unreadable("another page than the one asked for")
        entries = [(shaped(raw, Entry), raw) for raw in answer.data]
        looks = _fingerprint(entry for entry, _ in entries)
        is_last = page >= answer.meta.pages or looks == before
        items: dict[int, Listed] = {}
        for entry, raw in entries:
            if moment_of(entry.created_at) >= since:
                listed = self._listed(entry, raw)
                twin = items.setdefault(int(listed.provider_id), listed)
                if twin != listed:
                    items[int(listed.provider_id)] = replace(listed, mark=None)
        found = tuple(items[number] for number in sorted(items))
        return Page(found, None if is_last else f"{page + 1}-{looks}")

    def _listed(self, entry: Entry, raw: object) -> Listed:
        """Return an entry with its mark, None where only a read can tell what it comes to."""
        provider_id = str(entry.id)
        if not self.knows(Kind.PAYMENT_REQUEST, provider_id):
            raise Unreadable("not the id of a payment request")
        try:
            request = shaped(raw, PaymentRequest)
            is_ours = str(request.client_account_id) == self._client_account_id
            mark = mark_of(request, self._words) if is_ours else None
        except Unreadable:
            mark = None
        return Listed(Kind.PAYMENT_REQUEST, provider_id, None, mark=mark)

    def check(self, webhook_url: str | None) -> Exchange[tuple[Finding, ...]]:
        """List one payment request; where that is forbidden, ask which client accounts are not."""
        token_is_in_file = self._token.file is not None
        try:
            response = yield self._ask("payment-requests", {"page": "1", "per_page": "1"})
        except Unauthorised as error:
            if error.detail != "http_403":
                raise
            is_visible = yield from self._is_visible()
            return findings_of(False, is_visible, token_is_in_file=token_is_in_file)
        shaped(parsed(response), ListAnswer)
        return findings_of(True, True, token_is_in_file=token_is_in_file)

    def _is_visible(self) -> Exchange[bool | None]:
        """Return whether the token's user may see the client account, None where it is hidden."""
        try:
            response = yield self._get("client-accounts")
            seen = shaped(parsed(response), ClientAccounts).data
        except Rejected:
            return None
        return self._client_account_id in {str(one.id) for one in seen}

    def _ask(self, path: str, query: Mapping[str, str]) -> httpx.Request:
        """Ask for payment requests of the client account: every such call must name it."""
        return self._get(path, {"client_account_id": self._client_account_id, **query})

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> httpx.Request:
        headers = {"Accept": "application/json"}
        return httpx.Request("GET", f"{self._api_base}/{path}", params=query, headers=headers)


def _place_of(cursor: str | None) -> tuple[int, str | None]:
    """Return the number of a page and the fingerprint of the one before."""
    if cursor is None:
        return 1, None
    matched = _CURSOR.fullmatch(cursor)
    if matched is None:
        raise Unreadable("not a place in the list")
    return int(matched[1]), matched[2]


def _fingerprint(entries: Iterable[Entry]) -> str:
    """Return what a page that is shown again has in common: its ids."""
    ids = ",".join(sorted(str(entry.id) for entry in entries))
    return hashlib.sha256(ids.encode()).hexdigest()[:16]
