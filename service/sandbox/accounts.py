"""A merchant's account at a fake provider: what all providers' accounts have in common."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Annotated, ClassVar, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

from service.sandbox.calls import Patience, WebhookCall
from service.sandbox.faults import Draws, Faults, Milliseconds
from service.sandbox.ledger import PaymentRequest
from service.sandbox.story import Story
from service.sandbox.truth import Truth

WEBHOOK_COUNTS = (
    "planned",
    "sent",
    "accepted",
    "refused",
    "dropped",
    "duplicated",
    "reordered",
    "late",
    "given_up",
    "waiting",
)


class Pace(Struct, forbid_unknown_fields=True):
    """How long a pause between two beats of a story takes."""

    min_ms: Milliseconds = 20
    max_ms: Milliseconds = 200

    def pause_seconds(self, random: Random) -> float:
        return random.uniform(self.min_ms, max(self.min_ms, self.max_ms)) / 1000


class AccountSettings(Struct, forbid_unknown_fields=True, kw_only=True):
    """What the control API may set for an account at any provider.

    time_scale shortens the waits between redeliveries (1/60: two minutes become two seconds).
    gather_ms is how long news waits for company in one call, at providers that send several.
    call_limit_factor widens the provider's rate limits.
    """

    name: Annotated[str, Meta(min_length=1)]
    provider: str
    webhook_url: Annotated[str, Meta(pattern="^https?://")] | None = None
    faults: Faults = msgspec.field(default_factory=Faults)
    seed: int = 0
    pace: Pace = msgspec.field(default_factory=Pace)
    time_scale: Annotated[float, Meta(gt=0)] = 1 / 60
    latency_ms: Milliseconds = 0
    gather_ms: Milliseconds = 0
    call_limit_factor: Annotated[float, Meta(gt=0)] = 1

    @property
    def credentials(self) -> str:
        """What a call to this account shows to be let in; one account's only, per provider."""
        raise TypeError("each provider's settings say what its credentials are")


S = TypeVar("S", bound=AccountSettings)


class Account(ABC, Generic[S]):
    """One merchant's account. Requests are kept in the order in which they were made.

    dropped holds the calls that a fault kept from ever being sent.
    """

    stories: ClassVar[Mapping[str, Story]]

    def __init__(self, settings: S) -> None:
        self.requests: dict[str, PaymentRequest] = {}
        self.webhooks: Counter[str] = Counter()
        self.dropped: list[WebhookCall] = []
        self.reads: Counter[str] = Counter()
        self.ids = Random(f"{settings.name}:{settings.seed}:ids")  # noqa: S311 - no secrets
        self.configure(settings)

    def configure(self, settings: S) -> None:
        """Use these settings from now on; the draws of faults start again."""
        self.settings = settings
        self.draws = Draws(f"{settings.name}:{settings.seed}")

    @property
    def handover(self) -> Mapping[str, str]:
        """What whoever opens the account is told of it beside its name."""
        return {}

    @property
    @abstractmethod
    def patience(self) -> Patience:
        """How this provider delivers, time_scale applied to the waits."""

    @abstractmethod
    def ask(
        self, story: Story, *, reference: str, amount: int, currency: str, at: datetime
    ) -> PaymentRequest:
        """Make the request that a story is going to be about; times of making are distinct."""

    def can_play(self, story: Story, request: PaymentRequest) -> bool:
        """Return whether a story is about requests of this sort."""
        return True

    @abstractmethod
    def has_money(self, request: PaymentRequest) -> bool:
        """Return whether money ever arrived or was reserved."""

    @abstractmethod
    def truth(self, request: PaymentRequest) -> Truth | None:
        """Return what an ERP has to know of a request in the end; None when it is none of its."""

    def pass_time(self, request: PaymentRequest, now: datetime) -> None:
        """Write down what has become of a request by itself until now, where that is a thing."""

    def note(self, request: PaymentRequest, *, returns: bool) -> None:
        """Write down what the merchant is to be told of a request since the last time.

        returns: of money that goes back, too. Providers without webhooks write nothing.
        """

    def take_calls(self) -> Sequence[WebhookCall]:
        """Return the calls that tell what was written down, and forget it."""
        return ()

    def answered(self, call: WebhookCall, status_code: int | None) -> None:
        """Note how the merchant answered a call; None for no answer."""

    def given_up(self, call: WebhookCall) -> None:
        """Note that a call was never taken."""
