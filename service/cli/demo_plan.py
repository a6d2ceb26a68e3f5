"""What a demo plays: its orders, their stories and introductions, the faults, what is broken."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

FAULTS = {
    "drop": "never sent",
    "duplicate": "sent twice",
    "reorder": "overtaken by the next one",
    "late": "sent 3 s late",
}
FAULTS_DEFAULT = ",".join(f"{name}=0.1" for name in FAULTS)

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

# In minor units. No less than a euro, so that a part of it is an amount too.
AMOUNT_MIN = 100
AMOUNT_MAX = 500_00


class Introduction(StrEnum):
    """How the product comes to know an order."""

    WITH_REQUEST = "with_request"  # the ERP registers it with the request that it has made
    BEFORE_REQUEST = "before_request"  # the ERP registers it; its request comes later
    DISCOVERY = "discovery"  # nobody registers it; the request's reference names it


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One order to play; amount is in cents."""

    reference: str
    amount: int
    story: str
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
    def webhook_faults(self) -> Mapping[str, float]:
        """The faults to set at the provider; what nobody looks for has to be lost first."""
        return {"drop": 1.0} if self.broken == "skip-sweep" else self.faults

    @property
    def patience_seconds(self) -> float:
        """After how long without any news there will be none."""
        looks = 0.0 if self.broken == "skip-sweep" else 2 * self.poll_seconds
        return 6.0 + looks

    @property
    def seconds_max(self) -> float:
        """After how long we stop waiting, news or not."""
        return 60.0 + self.orders / 2

    def deal(self, stories: Sequence[str]) -> list[PlannedOrder]:
        """Return the orders: every story once before any comes again, in an order of the seed."""
        draw = random.Random(self.seed)  # noqa: S311 - a pack of cards, not a secret
        dealt: list[str] = []
        while len(dealt) < self.orders:
            dealt += draw.sample(stories, len(stories))
        introductions = list(Introduction)
        return [
            PlannedOrder(
                reference=f"INV-{number:05d}",
                amount=draw.randint(AMOUNT_MIN, AMOUNT_MAX),
                story=story,
                introduction=introductions[number % len(introductions)],
            )
            for number, story in enumerate(dealt[: self.orders], start=1)
        ]


def parse_faults(text: str) -> dict[str, float]:
    """Return the rates in a text such as "drop=0.1,late=0.2"; what is not named is off.

    Raises ValueError with what was expected.
    """
    faults: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, rate = part.partition("=")
        if name not in FAULTS or name in faults:
            raise ValueError(f"expected each of {', '.join(FAULTS)} at most once, got {part!r}")
        faults[name] = _parse_rate(rate)
    if sum(faults.values()) > 1:
        raise ValueError("expected rates of 1 or less in all: a webhook suffers one fault at most")
    return faults


def _parse_rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise ValueError(f"expected a rate from 0 to 1 such as drop=0.1, got {text!r}")
    return rate
