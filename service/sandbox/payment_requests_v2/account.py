"""A client account at the fake payment_requests_v2."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from service.sandbox.accounts import Account, AccountSettings
from service.sandbox.calls import Patience
from service.sandbox.ledger import PaymentRequest
from service.sandbox.limits import CallLimit
from service.sandbox.payment_requests_v2.happenings import What
from service.sandbox.payment_requests_v2.orders import PaymentOrder, Transfer
from service.sandbox.payment_requests_v2.stories import STORIES, TWO, UNDATED
from service.sandbox.payment_requests_v2.truth import truth_of
from service.sandbox.payment_requests_v2.words import Style
from service.sandbox.story import Story, part, rest, whole
from service.sandbox.truth import Truth

# Assumed in section 6: one call per second, here over a minute.
CALLS_PER_MINUTE = 60

# Those of every sample in the fact sheet.
USER_ID = 5
DEBTOR, CREDITOR = 456, 789

FIRST_ID_MAX = 100
ID_GAP_MAX = 9


class PaymentRequestsSettings(AccountSettings, kw_only=True):
    """words is the vocabulary of statuses; wrapped puts a single object into `data`.

    token_expired: the token has had its 24 hours, and every call is refused.
    """

    provider: Literal["payment_requests_v2"] = "payment_requests_v2"
    api_token: Annotated[str, Meta(min_length=1)]
    client_account_id: Annotated[int, Meta(ge=1)]
    words: Style = "words"
    wrapped: bool = True
    token_expired: bool = False

    @property
    def credentials(self) -> str:
        return self.api_token


class PaymentRequestsAccount(Account[PaymentRequestsSettings]):
    """Payment orders of one client account. Ids only ever grow, with gaps."""

    stories = STORIES

    def __init__(self, settings: PaymentRequestsSettings) -> None:
        super().__init__(settings)
        self._order_id = self.ids.randint(1, FIRST_ID_MAX)
        self._transfer_id = self.ids.randint(1, FIRST_ID_MAX)

    def configure(self, settings: PaymentRequestsSettings) -> None:
        super().configure(settings)
        calls = max(1, round(CALLS_PER_MINUTE * settings.call_limit_factor))
        self.limit = CallLimit(calls, 60)

    @property
    def patience(self) -> Patience:
        """No webhook is documented. Source: section 4."""
        return Patience(0, 0, ())

    def ask(
        self, story: Story, *, reference: str, amount: int, currency: str, at: datetime
    ) -> PaymentRequest:
        """Make an order; the reference is lost, because no field of this API holds one."""
        if not (len(currency) == 3 and currency.isascii() and currency.isupper()):
            raise ValueError(f"a currency code has three capital letters, unlike {currency!r}")
        shares = (part, rest) if story.kind == TWO else (whole,)
        amounts = [share(amount) for share in shares]
        if not all(amounts):
            raise ValueError(f"{amount} is too little for {len(shares)} transfers")
        requested_on = None if story.kind == UNDATED else at.date()
        transfers = [
            Transfer(DEBTOR, CREDITOR + number, each, currency, requested_on)
            for number, each in enumerate(amounts)
        ]
        kind_of_payment = "local" if currency == "NOK" else "international"
        return self.create(transfers, kind_of_payment, "credit_transfer", at=at)

    def create(
        self, transfers: Sequence[Transfer], payment_type: str, payment_means: str, *, at: datetime
    ) -> PaymentOrder:
        """Make an order. Nothing tells two equal ones apart but their ids."""
        self._order_id += self.ids.randint(1, ID_GAP_MAX)
        currency = transfers[0].currency
        order = PaymentOrder(
            id=str(self._order_id),
            kind="payment_request",
            amount=sum(each.amount for each in transfers if each.currency == currency),
            currency=currency,
            created_at=at,
            as_created={"created_by_id": USER_ID},
            transfers={self._next_transfer_id(): each for each in transfers},
            payment_type=payment_type,
            payment_means=payment_means,
        )
        self.requests[order.id] = order
        return order

    def has_money(self, request: PaymentRequest) -> bool:
        return any(entry.what is What.SENT for entry in request.entries)

    def truth(self, request: PaymentRequest) -> Truth:
        assert isinstance(request, PaymentOrder)
        return truth_of(request, account=self.settings.name)

    def _next_transfer_id(self) -> str:
        self._transfer_id += self.ids.randint(1, ID_GAP_MAX)
        return str(self._transfer_id)
