"""A story: what payers, banks and merchants do to a request, beat by beat.

A beat acts on the ledger and nothing else. What the provider then says, and whether it calls,
follows from the ledger. Each twin tells its own stories.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.sandbox.ledger import PaymentRequest

# What a beat does to a request at a moment.
Act = Callable[[PaymentRequest, datetime], None]
# Picks an amount out of the request's amount, in minor units.
Share = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Beat:
    """One step of a story; pauses is how many pauses pass before it."""

    act: Act
    pauses: int = 1


@dataclass(frozen=True, slots=True)
class Story:
    """opening is left out where a story goes on with a request that has money already.

    kind says what the request is to be like, where a provider has several sorts. tells_returns:
    the provider calls when money goes back. stale_ms: reads show the picture of that long ago.
    """

    opening: tuple[Beat, ...]
    ending: tuple[Beat, ...] = ()
    kind: str = ""
    tells_returns: bool = True
    stale_ms: int = 0

    def beats(self, *, has_money: bool) -> tuple[Beat, ...]:
        """Return the beats to play on a request with or without money."""
        return self.ending if has_money and self.ending else self.opening + self.ending


def whole(amount: int) -> int:
    return amount


def part(amount: int) -> int:
    """Return five sevenths, some of an amount of two and more."""
    return max(1, amount * 5 // 7)


def rest(amount: int) -> int:
    return amount - part(amount)
