"""How we speak with the ING Payment Request API."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import httpx

from service.domain.money import Money
from service.domain.request import Answer, Facts, Kind, Observation, Unmapped
from service.domain.status import words_of
from service.errors import Malformed, NotFoundThere, Unauthorised, Unreadable
from service.providers import AccountContext, Exchange, Finding, Session
from service.providers.ing_payment_request.findings import UNREGISTERED, findings_of
from service.providers.ing_payment_request.shapes import (
    Payment,
    PaymentRequest,
    Payments,
    Registration,
    TokenAnswer,
    parsed,
    shaped,
)
from service.providers.ing_payment_request.signing import Signer, private_key_of
from service.providers.ing_payment_request.verdict import (
    LIMIT,
    attention_for,
    facts_of,
    occurred_at,
    total_of,
)
from service.settings import Expected, Secret, Section

WORDS: Final = words_of("ing_payment_request", "payment_request")

# All that reading needs. Source: section 4.1.
SCOPE: Final = "payment-requests:view"
# An id of the right shape that is nobody's.
NOBODYS_ID: Final = "0" * 32
REFERENCE_CHARACTERS_MAX: Final = 200
# Where the ERP's reference stands unless the account says otherwise; letters and digits only.
# Source: section 5.1.
PURCHASE_ID: Final = "purchaseId"
_ID = re.compile(r"[A-Za-z0-9]{1,64}\Z", re.ASCII)
_CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,200}", re.ASCII)


class IngKeys(Section):
    """The account's own keys.

    With signing_key every call carries an HTTP signature; without it the client certificate
    alone shows that it is us. Only a fake ING without https, which nobody can show a certificate
    to, does without one. Source: section 4.2.
    """

    api_base: str
    client_id: Secret
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    signing_key: Secret | None = None

    def __post_init__(self) -> None:
        if not _CLIENT_ID.fullmatch(self.client_id.reveal()):
            raise Expected("letters, digits, -, ., _ and ~", at="client_id")
        if self.is_https:
            for key in ("tls_certificate_file", "tls_key_file"):
                if getattr(self, key) is None:
                    raise Expected("a file: ING wants to see a client certificate", at=key)
        if self.signing_key is None:
            return
        try:
            private_key_of(self.signing_key.reveal())
        except ValueError:
            wanted = Expected("an RSA private key in PEM without a passphrase", at="signing_key")
            raise wanted from None

    @property
    def is_https(self) -> bool:
        return not self.api_base.startswith("http://")

    @property
    def certificate(self) -> tuple[Path, Path] | None:
        """The files of the client certificate and of its key, None where none can be shown."""
        if not self.is_https or self.tls_certificate_file is None or self.tls_key_file is None:
            return None
        return self.tls_certificate_file, self.tls_key_file


class IngPaymentRequest:
    """Implements Provider, NeedsSession, LeavesAmountOpen, LagsBehind and two that check."""

    kinds = frozenset({Kind.PAYMENT_REQUEST})
    body_bytes_max = 0  # nothing calls us
    session_seconds_min = 1.0
    # A payment that was under way still lands. Source: sections 5.6 and 8.
    looks_after_end: tuple[float, ...] = (3600.0, 86_400.0)

    def __init__(
        self,
        keys: IngKeys,
        context: AccountContext,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._requests_url = f"{keys.api_base.rstrip('/')}/payment-requests"
        self._token_url = httpx.URL(f"{keys.api_base.rstrip('/')}/oauth2/token")
        self._client_id = keys.client_id.reveal()
        pem = keys.signing_key.reveal() if keys.signing_key else None
        self._signer = Signer(self._client_id, pem, now) if pem else None
        # Names the style in which a token is asked for and used: they never mix.
        self._style = "signature" if self._signer else "mutual_tls"
        self._now = now
        self._new_id = new_id
        self._words = {**WORDS, **context.words}
        self._reference_from = context.reference_from or PURCHASE_ID
        self.strips_references = self._reference_from == PURCHASE_ID
        self._paid_is_settled = context.paid_is_settled

    def knows(self, kind: Kind, provider_id: str) -> bool:
        return kind is Kind.PAYMENT_REQUEST and _ID.match(provider_id) is not None

    def open_session(self, kept: Mapping[str, str]) -> Exchange[Session]:
        """Fetch a token, whatever was kept of the last one."""
        answer = yield from self._token(SCOPE)
        values = {"token": answer.access_token, "style": self._style}
        return Session(values, float(answer.expires_in))

    def authorise(self, request: httpx.Request, session: Session) -> httpx.Request:
        """Return the request with the token and, in the signature style, signed.

        A token of the other style, kept from before the account's keys changed, is not shown:
        the 401 that follows brings one of this style. A request that brings a token of its own
        keeps it, and one for a token needs none.
        """
        if request.url == self._token_url:
            return request
        headers = request.headers.copy()
        if session.values.get("style") == self._style:
            headers.setdefault("Authorization", f"Bearer {session.values['token']}")
        if self._signer is not None:
            headers.update(self._signer.headers_for(request))
            headers["X-ING-ReqID"] = str(self._new_id())
        return httpx.Request(request.method, request.url, headers=headers, content=request.content)

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        return self._read(kind, provider_id, known, None)

    def read_registered(
        self, kind: Kind, provider_id: str, known: Facts | None, registered: Money
    ) -> Exchange[Answer]:
        return self._read(kind, provider_id, known, registered)

    def _read(
        self, kind: Kind, provider_id: str, known: Facts | None, registered: Money | None
    ) -> Exchange[Answer]:
        """Read a request, then its payments: what lands in between counts as well."""
        if not self.knows(kind, provider_id):
            raise Unreadable("not the id of a payment request")
        raw = parsed((yield self._get(provider_id)))
        request = shaped(raw, PaymentRequest)
        if request.id != provider_id:
            raise Unreadable("answer for another payment request")
        if registered is not None:
            request = request.expecting(registered)
        if request.status not in self._words:
            return Unmapped(request.status)
        said = self._words[request.status]
        payments = yield from self._payments(provider_id)
        received = total_of(payments)
        facts = facts_of(request, said, received, paid_is_settled=self._paid_is_settled)
        return Observation(
            facts,
            version=None,  # no answer tells when it changed
            reference=_reference_in(raw, self._reference_from),
            occurred_at=occurred_at(request, payments, facts),
            attention=attention_for(request, facts, said, known=known, now=self._now()),
            ends_at=request.ends_at,
        )

    def check_order(self, amount: Money, *, requests: int) -> None:
        if amount.currency != LIMIT.currency:
            raise Malformed(f"ING payment requests are in EUR only, not in {amount.currency}")
        if requests and amount.minor > LIMIT.minor * requests:
            raise Malformed(
                f"an ING payment request carries at most {LIMIT.decimal} EUR:"
                f" {amount.decimal} EUR needs more than {requests}"
            )

    def check(self, webhook_url: str | None) -> Exchange[tuple[Finding, ...]]:
        """Read an id that is nobody's, then ask what the app may do and if it is registered.

        The token that shows it is one for all that the app is subscribed to; it is used for one
        call and kept nowhere.
        """
        may_read = yield from self._may_read()
        try:
            token = yield from self._token(scope=None)
        except Unauthorised:
            return findings_of(may_read, None, SCOPE, None)
        registration = yield from self._registration(token)
        return findings_of(may_read, token.scopes, SCOPE, registration)

    def _may_read(self) -> Exchange[bool]:
        try:
            yield self._get(NOBODYS_ID)
        except NotFoundThere:
            return True
        except Unauthorised as error:
            if error.detail != "http_403":
                raise
            return False
        return True

    def _registration(self, token: TokenAnswer) -> Exchange[str | None]:
        """Return what the registration is at, None where the token may not tell."""
        try:
            response = yield self._get("registrations", token=token.access_token)
        except NotFoundThere:
            return UNREGISTERED
        except Unauthorised:
            return None
        return shaped(parsed(response), Registration).status

    def _token(self, scope: str | None) -> Exchange[TokenAnswer]:
        """Ask for a token, without scope for everything. Source: sections 4.1 and 4.2.

        A refusal, which is a 400, is about the account and not about what is to be read: it
        raises Unauthorised.
        """
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        if self._signer is None:
            form["client_id"] = self._client_id
        request = httpx.Request("POST", self._token_url, data=form)
        if self._signer is not None:
            headers = self._signer.headers_for(request)
            request.headers["Authorization"] = f"Signature {headers.pop('Signature')}"
            request.headers.update(headers)
        try:
            response = yield request
        except (NotFoundThere, Unreadable) as error:
            raise Unauthorised(f"token_{error.detail}") from error
        return shaped(parsed(response), TokenAnswer)

    def _payments(self, provider_id: str) -> Exchange[tuple[Payment, ...]]:
        """Read the payments. Where there is none the array is empty, so 404 tells nothing."""
        try:
            response = yield self._get(f"{provider_id}/payments")
        except NotFoundThere as error:
            raise Unreadable("a payment request whose payments are not found") from error
        return shaped(parsed(response), Payments).payments

    def _get(self, below: str, *, token: str | None = None) -> httpx.Request:
        own = {"Authorization": f"Bearer {token}"} if token else {}
        headers = {"Accept": "application/json", **own}
        return httpx.Request("GET", f"{self._requests_url}/{below}", headers=headers)


def _reference_in(raw: object, field: str) -> str | None:
    """Return the text of a field, None unless it is fit to be a reference."""
    text = raw.get(field) if isinstance(raw, dict) else None
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        return None
    return text if len(text) <= REFERENCE_CHARACTERS_MAX else None
