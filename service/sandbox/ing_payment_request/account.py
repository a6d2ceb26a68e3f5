"""A client's account at the fake ING."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from service.sandbox.accounts import Account, AccountSettings
from service.sandbox.calls import Patience
from service.sandbox.ing_payment_request.happenings import What, end_of
from service.sandbox.ing_payment_request.registrations import Registration, RegistrationStatus
from service.sandbox.ing_payment_request.stories import (
    EXPIRED,
    LIFE,
    SHORT_LIFE,
    STORIES,
    TERMS,
)
from service.sandbox.ing_payment_request.terms import Terms
from service.sandbox.ing_payment_request.truth import truth_of
from service.sandbox.ledger import Entry, PaymentRequest
from service.sandbox.story import Story
from service.sandbox.truth import Truth

# Source: section 5.1: letters and digits only, at most 35.
_UNFIT = re.compile(r"[^A-Za-z0-9]")
PURCHASE_ID_CHARACTERS_MAX = 35
ID_CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz"

TOKEN_SECONDS = 900  # source: section 4.1
SCOPES = (
    "payment-requests:view",
    "payment-requests:create",
    "payment-requests:close",
    "payment-requests:register",
)


class IngSettings(AccountSettings, kw_only=True):
    """With signing_public_key (PEM) every call has to carry an HTTP signature; without it none.

    The client certificate is checked by whoever ends TLS, not here. registration is the state of
    the merchant's registration, null for none: only with Active can requests be created.
    deprecated_transactions: reads of a request repeat its payments.
    """

    provider: Literal["ing_payment_request"] = "ing_payment_request"
    client_id: str
    signing_public_key: str | None = None
    scopes: tuple[str, ...] = SCOPES
    registration: RegistrationStatus | None = "Active"
    deprecated_transactions: bool = False
    token_seconds: float = TOKEN_SECONDS

    @property
    def credentials(self) -> str:
        return self.client_id


@dataclass(frozen=True, slots=True)
class Token:
    """What a token opens, and until when. It serves calls in the style of its own login only.

    Source: section 4.2.
    """

    ends_at: datetime
    scopes: frozenset[str]
    is_signed: bool


class IngAccount(Account[IngSettings]):
    """Payment requests of one client."""

    stories = STORIES

    def __init__(self, settings: IngSettings) -> None:
        super().__init__(settings)
        self.terms: dict[str, Terms] = {}
        self._tokens: dict[str, Token] = {}

    def configure(self, settings: IngSettings) -> None:
        """Use these settings from now on. Raises ValueError for a signing key that is none."""
        self.signing_key = _signing_key(settings.signing_public_key)
        self.registration = settings.registration and Registration(settings.registration)
        super().configure(settings)

    @property
    def patience(self) -> Patience:
        """ING calls nobody. Source: section 1, fact 1."""
        return Patience(0, 0, ())

    def ask(
        self, story: Story, *, reference: str, amount: int, currency: str, at: datetime
    ) -> PaymentRequest:
        life = SHORT_LIFE if EXPIRED in story.opening else LIFE
        purchase_id = _UNFIT.sub("", reference)[:PURCHASE_ID_CHARACTERS_MAX]
        bare = Terms(at + life, purchase_id, f"Invoice {purchase_id}")
        terms = TERMS[story.kind](amount, bare)
        return self.create(terms, amount, currency, reference=reference, at=at)

    def create(
        self, terms: Terms, amount: int, currency: str, *, reference: str, at: datetime
    ) -> PaymentRequest:
        """Make a payment request; nothing but its id leads to it."""
        request = PaymentRequest(
            id="".join(self.ids.choices(ID_CHARACTERS, k=32)),
            kind="payment_request",
            amount=amount,
            currency=currency,
            created_at=at,
            reference=reference,
        )
        self.requests[request.id] = request
        self.terms[request.id] = terms
        return request

    def seen(self, request: PaymentRequest, now: datetime) -> Sequence[Entry]:
        """Return what a read at that moment shows."""
        self.pass_time(request, now)
        return request.entries_until(now - timedelta(milliseconds=request.lag_ms))

    def pass_time(self, request: PaymentRequest, now: datetime) -> None:
        terms = self.terms[request.id]
        if now >= terms.valid_until and end_of(terms, request.entries) is None:
            request.record(What.EXPIRED, at=terms.valid_until)

    def has_money(self, request: PaymentRequest) -> bool:
        return any(entry.what is What.PAID for entry in request.entries)

    def truth(self, request: PaymentRequest) -> Truth:
        return truth_of(request, self.terms[request.id], account=self.settings.name)

    def new_token(self, scopes: Iterable[str], now: datetime) -> str:
        token = f"eyJ{self.ids.getrandbits(160):040x}"
        ends_at = now + timedelta(seconds=self.settings.token_seconds)
        self._tokens[token] = Token(ends_at, frozenset(scopes), self.signing_key is not None)
        return token

    def token(self, token: str, now: datetime) -> Token | None:
        """Return a token that is ours, still lives and was got in the account's style."""
        found = self._tokens.get(token)
        if found is None or found.ends_at <= now:
            return None
        return found if found.is_signed == (self.signing_key is not None) else None


def _signing_key(pem: str | None) -> RSAPublicKey | None:
    if pem is None:
        return None
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, RSAPublicKey):
        raise ValueError("signing_public_key is not an RSA key")
    return key
