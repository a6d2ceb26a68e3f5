"""What a demo plays: orders with their requests, stories and introductions; faults and defects."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

WEBHOOK_FAULTS = {
    "drop": "never sent",
    "duplicate": "sent twice",
    "reorder": "overtaken by the next one",
    "late": "sent 3 s late",
}
FAULTS_DEFAULT = ",".join(f"{name}=0.1" for name in WEBHOOK_FAULTS)

READ_FAULTS = {
    "error": "500",
    "too_many": "429",
    "html": "a gateway's page",
    "not_found": "404",
    "slow": "answered after 2 s",
    "stale": "as it was 2 s ago",
    "wrong_resource": "of something else",
    "unknown_word": "with a status that is in no table",
}

BREAKS = {
    "drop-notification": "the ERP answers 204 to a notification and forgets it",
    "double-notification": "the ERP records a notification again under another id",
    "wrong-ledger": "the ledger has money that the provider never shows",
    "skip-sweep": "every webhook is lost and nothing looks for what it told",
    "refuse-webhooks": "the provider calls an address that we do not have",
}

# Lost webhooks are found by looking. With many orders we look at each less often: two cores have
# this many reads a second to spare beside everything else.
POLL_SECONDS_MIN = 1.5
POLLS_PER_SECOND = 75
POLL_SECONDS_NEVER = 3600.0

# A 429 that names no time pauses its account for a minute, and so does the fourth error in a row.
PAUSE_SECONDS = 70.0

# In minor units. No less than a euro, so that a part of it is an amount too.
AMOUNT_MIN = 100
AMOUNT_MAX = 500_00


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A request at a provider, and the story that is played on it."""

    provider: str
    story: str


class Introduction(StrEnum):
    """How the product comes to know what a payer is asked."""

    WITH_REQUEST = "with_request"  # the ERP registers an order with the requests that it has made
    BEFORE_REQUEST = "before_request"  # the ERP registers an order; its request comes later
    DISCOVERY = "discovery"  # nobody registers it; the request's reference names the order
    TRACKED = "tracked"  # the ERP has a request watched that belongs to no order


# Where nobody but the ERP can tell of a request: nothing calls and nothing can be listed.
REGISTERED_ONLY = (Introduction.WITH_REQUEST,)
ANYHOW = (Introduction.WITH_REQUEST, Introduction.BEFORE_REQUEST, Introduction.DISCOVERY)
# Outgoing money counts for no order of a customer.
OUTGOING = (Introduction.TRACKED, Introduction.DISCOVERY)

INTRODUCTIONS = {
    "ginger": ANYHOW,
    "gocardless": ANYHOW,
    "bunq": ANYHOW,
    "ing_payment_request": REGISTERED_ONLY,
    "payment_requests_v2": OUTGOING,
}

# What looks like a request and asks nobody for money: nobody registers it.
NO_REQUESTS = frozenset(
    {
        PlannedRequest("gocardless", "mandate_only"),
        PlannedRequest("ginger", "foreign_project"),
    }
)

# A link that nobody has opened is in no list and no call is about it.
UNTOLD = frozenset({PlannedRequest("ginger", "link_created")})

# One order in so many has a second request, at another provider.
SECOND_REQUEST_EVERY = 6


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One order to play; amount is in cents."""

    reference: str
    amount: int
    requests: tuple[PlannedRequest, ...]
    introduction: Introduction


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for. faults are the rates of each webhook fault, broken is one of BREAKS."""

    orders: int
    seed: int
    faults: Mapping[str, float]
    broken: str | None = None

    @property
    def poll_seconds(self) -> float:
        """How often the product looks at an order, and through the list, without being told."""
        if self.broken == "skip-sweep":
            return POLL_SECONDS_NEVER
        return max(POLL_SECONDS_MIN, self.orders / POLLS_PER_SECOND)

    @property
    def retry(self) -> Sequence[str]:
        """The waits before each attempt at the ERP.

        Short, so that a demo on a busy machine does not wait five minutes for the third.
        """
        return ("0s", "1s", "2s", "5s", "10s", "30s")

    @property
    def provider_faults(self) -> Mapping[str, float]:
        """The faults to set at the providers; what nobody looks for has to be lost first."""
        return {"drop": 1.0} if self.broken == "skip-sweep" else self.faults

    @property
    def patience_seconds(self) -> float:
        """After how long without any news there will be none."""
        looks = 0.0 if self.broken == "skip-sweep" else 2 * self.poll_seconds
        return 6.0 + looks + self.pause_seconds

    @property
    def seconds_max(self) -> float:
        """After how long we stop waiting, news or not."""
        return 60.0 + self.orders / 2 + 4 * self.pause_seconds

    @property
    def pause_seconds(self) -> float:
        """How long everything of an account may stand still where reads go wrong."""
        return PAUSE_SECONDS if any(self.faults.get(name) for name in READ_FAULTS) else 0.0

    def deal(self, stories: Mapping[str, Sequence[str]]) -> list[PlannedOrder]:
        """Return the orders: every story once before any comes again, in an order of the seed.

        stories are the names by provider.
        """
        draw = random.Random(self.seed)  # noqa: S311 - a pack of cards, not a secret
        pack = [
            PlannedRequest(provider, story) for provider in stories for story in stories[provider]
        ]
        dealt: list[PlannedRequest] = []
        orders: list[PlannedOrder] = []
        while len(orders) < self.orders:
            if len(dealt) < 2:
                dealt += draw.sample(pack, len(pack))
            orders.append(_order(len(orders) + 1, dealt, draw))
        return orders


def _order(number: int, dealt: list[PlannedRequest], draw: random.Random) -> PlannedOrder:
    """Take the next request from dealt, now and then with a second one; introduce them."""
    requests: tuple[PlannedRequest, ...] = (dealt.pop(0),)
    if number % SECOND_REQUEST_EVERY == 0 and _may_share(requests[0], dealt[0]):
        requests = (*requests, dealt.pop(0))
    ways = INTRODUCTIONS[requests[0].provider]
    if len(requests) > 1 or requests[0] in UNTOLD:
        ways = REGISTERED_ONLY
    elif requests[0] in NO_REQUESTS:
        ways = (Introduction.DISCOVERY,)
    return PlannedOrder(
        reference=f"INV-{number:05d}",
        amount=draw.randint(AMOUNT_MIN, AMOUNT_MAX),
        requests=requests,
        introduction=ways[number % len(ways)],
    )


def _may_share(one: PlannedRequest, other: PlannedRequest) -> bool:
    """Return whether two requests may stand under one order.

    At one provider its reference would not be unique.
    """
    return one.provider != other.provider and not any(
        request in NO_REQUESTS or INTRODUCTIONS[request.provider] is OUTGOING
        for request in (one, other)
    )


def parse_faults(text: str) -> dict[str, float]:
    """Return the rates in a text such as "drop=0.1,late=0.2"; what is not named is off.

    Raises ValueError with what was expected.
    """
    faults: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, rate = part.partition("=")
        if name in faults or name not in (*WEBHOOK_FAULTS, *READ_FAULTS):
            known = ", ".join((*WEBHOOK_FAULTS, *READ_FAULTS))
            raise ValueError(f"expected each of {known} at most once, got {part!r}")
        faults[name] = _parse_rate(rate)
    for what, names in (("webhook", WEBHOOK_FAULTS), ("read", READ_FAULTS)):
        if sum(faults.get(name, 0) for name in names) > 1:
            raise ValueError(f"expected rates of 1 or less in all: a {what} suffers one at most")
    return faults


def _parse_rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise ValueError(f"expected a rate from 0 to 1 such as drop=0.1, got {text!r}")
    return rate
