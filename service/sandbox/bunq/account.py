"""A user's monetary account at the fake bunq."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Annotated, Literal

from msgspec import Meta

from service.sandbox.accounts import Account, AccountSettings
from service.sandbox.bunq.callbacks import (
    REQUEST,
    Callback,
    Failure,
    Filter,
    Notice,
    Registered,
    callback_of,
    notice_of_creation,
    notices_of,
)
from service.sandbox.bunq.happenings import MOVEMENTS, What
from service.sandbox.bunq.keys import server_public_pem
from service.sandbox.bunq.parties import (
    PAYER_IBAN,
    PAYER_NAME,
    Payee,
    bunq_user,
    bunqme_url,
    outsider,
)
from service.sandbox.bunq.rates import Rates
from service.sandbox.bunq.stories import STORIES
from service.sandbox.bunq.truth import truth_of
from service.sandbox.bunq.words import Payment
from service.sandbox.calls import Patience, WebhookCall
from service.sandbox.ledger import Entry, Json, PaymentRequest
from service.sandbox.story import Story
from service.sandbox.truth import Truth

# The company of every sample in the fact sheet.
COMPANY_NAME = "Example Trading B.V."
COMPANY_IBAN = "NL32BUNQ2025103506"
OPENING_BALANCE = 100_000
OPENED_AT = datetime(2025, 1, 1, tzinfo=UTC)

# Source: fact sheet bunq, section 4, delivery rules; the time-out is assumed there.
RETRY_SECONDS = 60
RETRIES_MAX = 5
TIMEOUT_SECONDS = 5

Identifier = Annotated[int, Meta(ge=1)]


class BunqSettings(AccountSettings, kw_only=True):
    """session_timeout is in seconds. sign_callbacks: also sign those, which is not documented."""

    provider: Literal["bunq"] = "bunq"
    api_key: Annotated[str, Meta(min_length=1)]
    user_id: Identifier
    monetary_account_id: Identifier
    user_type: Literal["UserCompany", "UserPerson"] = "UserCompany"
    session_timeout: Annotated[int, Meta(ge=1)] = 604_800
    sign_callbacks: bool = False

    @property
    def credentials(self) -> str:
        """The secret that devices and sessions are registered with."""
        return self.api_key


class BunqAccount(Account[BunqSettings]):
    """Request inquiries and payments, in the order of their ids. Ids are separate per type."""

    stories = STORIES

    def __init__(self, settings: BunqSettings) -> None:
        super().__init__(settings)
        self.inquiries: list[PaymentRequest] = []
        self.payments: list[Payment] = []
        self.failures: dict[int, Failure] = {}
        self.request_ids: set[str] = set()
        self._inquiry_ids, self._payment_ids, self._filter_ids, self._failure_ids = (
            count(self.ids.randrange(1_000_000, 1_000_000_000)) for _ in range(4)
        )
        self._first_filter_id = next(self._filter_ids)
        self._filters: dict[int | None, list[Registered]] = {}
        self._references: set[str] = set()
        self._told: dict[str, int] = {}
        self._calls: list[Callback] = []
        self._call_numbers = count(1)
        self._answers: dict[int, int | None] = {}

    def configure(self, settings: BunqSettings) -> None:
        super().configure(settings)
        self.rates = Rates(settings.call_limit_factor)

    @property
    def handover(self) -> Mapping[str, str]:
        return {"server_public_key": server_public_pem()}

    @property
    def payee(self) -> Payee:
        return Payee(COMPANY_NAME, COMPANY_IBAN, self.settings.monetary_account_id)

    @property
    def patience(self) -> Patience:
        waits = (RETRY_SECONDS * self.settings.time_scale,) * RETRIES_MAX
        return Patience(TIMEOUT_SECONDS, TIMEOUT_SECONDS, waits)

    def ask(
        self, story: Story, *, reference: str, amount: int, currency: str, at: datetime
    ) -> PaymentRequest:
        """Make a request to somebody with bunq, or with a bunq.me link where the story says so.

        Raises ValueError when the reference is taken.
        """
        as_created: Json = {
            "description": f"Order {reference}",
            "merchant_reference": reference,
            "counterparty_alias": bunq_user(PAYER_NAME, PAYER_IBAN),
        }
        if story.kind == "bunqme":
            as_created["counterparty_alias"] = outsider("payer@example.test")
        return self.create(amount, currency, as_created, at=at)

    def create(
        self, amount: int, currency: str, as_created: Json, *, at: datetime
    ) -> PaymentRequest:
        """Make a request; one to somebody without an IBAN gets a bunq.me link.

        Times of making are distinct. Raises ValueError when the merchant reference is taken: it
        is unique per account. Source: fact sheet bunq, section 2.
        """
        reference = as_created.get("merchant_reference")
        if reference in self._references:
            raise ValueError("merchant_reference has been used before.")
        if self.inquiries:
            at = max(at, self.inquiries[-1].created_at + timedelta(microseconds=1))
        request = PaymentRequest(
            id=str(next(self._inquiry_ids)),
            kind="request_inquiry",
            amount=amount,
            currency=currency,
            created_at=at,
            as_created=as_created,
        )
        if isinstance(reference, str):
            request.reference = reference
            self._references.add(reference)
        match as_created:
            case {"counterparty_alias": {"iban": None}}:
                as_created["bunqme_share_url"] = bunqme_url(request.id)
            case _:
                pass
        self.requests[request.id] = request
        self.inquiries.append(request)
        return request

    def has_money(self, request: PaymentRequest) -> bool:
        return any(entry.what is What.RECEIVED for entry in request.entries)

    def truth(self, request: PaymentRequest) -> Truth:
        return truth_of(request, account=self.settings.name)

    def payment(self, identifier: int) -> Payment | None:
        """Return the payment with this id."""
        place = bisect_left(self.payments, identifier, key=lambda payment: payment.id)
        found = self.payments[place : place + 1]
        return found[0] if found and found[0].id == identifier else None

    def register(self, scope: int | None, wishes: Iterable[Filter], *, at: datetime) -> None:
        """Put these filters in the place of all that the user, or an account, had before."""
        self._filters[scope] = [Registered(next(self._filter_ids), at, wish) for wish in wishes]

    def registered(self, scope: int | None) -> Sequence[Registered]:
        """Return the filters of the user (None) or of an account.

        Until the user registers any, webhook_url stands for one for REQUEST.
        """
        url = self.settings.webhook_url
        if scope is None and scope not in self._filters and url is not None:
            return (Registered(self._first_filter_id, OPENED_AT, Filter(REQUEST, url)),)
        return self._filters.get(scope, ())

    def note(self, request: PaymentRequest, *, returns: bool) -> None:
        """Book what moved since the last time, and note a callback for all that happened."""
        if request.id not in self._told:
            self._told[request.id] = 0
            self._tell(notice_of_creation(request, self.payee))
        for number in range(self._told[request.id], len(request.entries)):
            entry = request.entries[number]
            payment = self._book(request, entry) if entry.what in MOVEMENTS else None
            self._told[request.id] = number + 1
            if returns or entry.what not in (What.REFUNDED, What.UNMARKED):
                seen = request.entries[: number + 1]
                for notice in notices_of(request, seen, payment, self.payee):
                    self._tell(notice)

    def take_calls(self) -> Sequence[WebhookCall]:
        calls, self._calls = self._calls, []
        return calls

    def answered(self, call: WebhookCall, status_code: int | None) -> None:
        """Keep the newest answer of a call that may be given up."""
        assert isinstance(call, Callback)
        self._answers[call.number] = status_code
        if status_code is not None and 200 <= status_code <= 299:
            del self._answers[call.number]

    def given_up(self, call: WebhookCall) -> None:
        """Store a callback in the failure list. Source: fact sheet bunq, section 4."""
        assert isinstance(call, Callback)
        identifier = next(self._failure_ids)
        failed_at = call.notice.at + timedelta(seconds=sum(self.patience.waits))
        answer = self._answers.pop(call.number)
        self.failures[identifier] = Failure(identifier, failed_at, call, answer)

    def _book(self, request: PaymentRequest, entry: Entry) -> Payment:
        balance = self.payments[-1].balance if self.payments else OPENING_BALANCE
        balance += entry.amount if entry.what is What.RECEIVED else -entry.amount
        payment = Payment(next(self._payment_ids), request, entry, balance)
        self.payments.append(payment)
        return payment

    def _tell(self, notice: Notice) -> None:
        own = self.settings.monetary_account_id
        filters = (*self.registered(None), *self.registered(own))
        urls = dict.fromkeys(
            each.wish.notification_target
            for each in filters
            if each.wish.category == notice.category
        )
        for url in urls:
            number, signed = next(self._call_numbers), self.settings.sign_callbacks
            self._calls.append(callback_of(notice, url, number, signed=signed))
