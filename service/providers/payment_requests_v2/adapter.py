"""How we speak with the payment requests API, version 2."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import httpx

from service.domain.request import (
    Answer,
    Direction,
    Facts,
    Kind,
    NotOurs,
    Observation,
    Unmapped,
)
from service.domain.status import Status, words_of
from service.errors import Unavailable, Unreadable
from service.providers import AccountContext, Exchange, Listed, Page, Session
from service.providers.payment_requests_v2.shapes import (
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
)
from service.settings import Expected, Secret, Section

WORDS: Final = words_of("payment_requests_v2", "payment_request")

# So that the evidence of a read says between which accounts. Lists do without: with them a
# hundred requests of many transfers would be too long an answer.
RELATIONS: Final = "transfers.debtor.bank_account,transfers.creditor.bank_account"
TOKEN_SECONDS: Final = 86_400.0  # source: section 1
PER_PAGE: Final = 100
_ID = re.compile(r"[1-9][0-9]{0,17}\Z", re.ASCII)
_PAGE = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
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
    """Implements Provider, NeedsSession and HasList."""

    kinds = frozenset({Kind.PAYMENT_REQUEST})
    body_bytes_max = 0  # nothing calls us
    session_seconds_min = 1.0

    def __init__(self, keys: PaymentRequestsV2Keys, context: AccountContext) -> None:
        self._url = f"{keys.api_base.rstrip('/')}/payment-requests"
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
        return Session({"token": token}, TOKEN_SECONDS)

    def authorise(self, request: httpx.Request, session: Session) -> httpx.Request:
        headers = request.headers.copy()
        headers["Authorization"] = f"Bearer {session.values['token']}"
        return httpx.Request(request.method, request.url, headers=headers, content=request.content)

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        if not self.knows(kind, provider_id):
            raise Unreadable("not the id of a payment request")
        response = yield self._get(f"/{provider_id}", {"with": RELATIONS})
        request = shaped(unwrapped(parsed(response)), PaymentRequest)
        if str(request.id) != provider_id:
            raise Unreadable("answer for another payment request")
        if str(request.client_account_id) != self._client_account_id:
            return NotOurs("foreign_client_account")
        unmapped = next((word for word in request.words if folded(word) not in self._words), None)
        if unmapped is not None:
            return Unmapped(str(unmapped))
        currency = currency_of(request.transfers, known)
        said = [self._words[folded(transfer.payment_status)] for transfer in request.transfers]
        judged = judge(request.transfers, said, currency, known)
        facts = facts_of(judged, currency, provider_status=str(request.payment_status))
        return Observation(
            facts,
            version=None,  # no answer tells when it changed
            reference=None,  # and none names a document of ours
            occurred_at=moment_of(request.created_at) if facts.status is Status.CREATED else None,
            direction=Direction.OUT,
            attention=attention_for(judged, facts, self._words[folded(request.payment_status)]),
        )

    def list_page(self, since: datetime, until: datetime, cursor: str | None) -> Exchange[Page]:
        """Read one page of the whole list; cursor is its number.

        Of a page only what was created since then is told: nobody asked for older orders, and
        those that we know are polled. Pages shift while we walk, so the list may grow or shrink
        meanwhile, but a page that was not asked for means that our numbers are not understood.
        """
        page = _page_of(cursor)
        request = self._get("", {"page": str(page), "per_page": str(PER_PAGE)})
        answer = shaped(parsed((yield request)), ListAnswer)
        if answer.meta.page != page and page <= answer.meta.pages:
            raise Unreadable("another page than the one asked for")
        new = {str(entry.id) for entry in answer.data if moment_of(entry.created_at) >= since}
        if not all(self.knows(Kind.PAYMENT_REQUEST, provider_id) for provider_id in new):
            raise Unreadable("not the id of a payment request")
        items = tuple(Listed(Kind.PAYMENT_REQUEST, one, None) for one in sorted(new, key=int))
        is_last = page >= answer.meta.pages or not answer.data
        return Page(items, None if is_last else str(page + 1))

    def _get(self, below: str, query: Mapping[str, str]) -> httpx.Request:
        return httpx.Request(
            "GET",
            self._url + below,
            params={"client_account_id": self._client_account_id, **query},
            headers={"Accept": "application/json"},
        )


def _page_of(cursor: str | None) -> int:
    if cursor is None:
        return 1
    if not _PAGE.fullmatch(cursor):
        raise Unreadable("not the number of a page")
    return int(cursor)
