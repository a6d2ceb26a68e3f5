"""What the requests of an order add up to, and the questions that its rules ask of the sums.

Source: STATUSES.md, section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.request import Facts
from service.domain.status import Status


@dataclass(frozen=True, slots=True)
class Sums:
    """What the rules look at: amounts added up, and what the requests are at.

    amount is None where nothing was registered, and where it was withdrawn. counted are the
    requests in the order's currency that were read, foreign those in another; paying are those of
    counted that still bring money.
    """

    amount: int | None
    withdrawn: bool
    received: int
    refunded: int
    taken_back: int
    booked: int
    counted: tuple[Facts, ...]
    foreign: tuple[Facts, ...]
    unread: int

    @property
    def net(self) -> int:
        return self.received - self.refunded

    @property
    def paying(self) -> tuple[Facts, ...]:
        return tuple(facts for facts in self.counted if facts.received > facts.refunded)

    @property
    def elsewhere(self) -> bool:
        """Whether a request in another currency has money."""
        return any(any(facts.money) for facts in self.foreign)

    @property
    def is_over(self) -> bool:
        """Whether no request can bring money any more."""
        return self.unread == 0 and all(facts.final for facts in self.counted)

    def is_exact(self) -> bool:
        """Return whether the payee keeps exactly the amount that was registered."""
        return self.amount is not None and self.net == self.amount

    def is_exceeded(self) -> bool:
        """Return whether the payee keeps more than the amount that was registered."""
        return self.amount is not None and self.net > self.amount

    def is_kept_for_nothing(self) -> bool:
        """Return whether the payee keeps money of an order that was withdrawn."""
        return self.withdrawn and self.net > 0

    def is_below(self) -> bool:
        """Return whether the payee keeps something, yet less than the amount registered."""
        return self.amount is not None and 0 < self.net < self.amount

    def was_covered(self) -> bool:
        """Return whether the amount registered had come in, whatever was given back since."""
        return self.amount is not None and self.received >= self.amount

    def is_returned(self) -> bool:
        """Return whether money came and nothing of it was kept."""
        return self.received > 0 and self.net <= 0

    def all_paying_are(self, *statuses: Status) -> bool:
        """Return whether, with no amount to compare with, the paying requests all say so."""
        paying = self.paying
        return (
            self.amount is None
            and bool(paying)
            and all(facts.status in statuses for facts in paying)
        )


def add_up(
    amount: int | None,
    currency: str | None,
    read: Sequence[Facts],
    unread: int,
    *,
    withdrawn: bool,
) -> Sums:
    """Add up what was read; only what is in currency counts. unread is how many were not read."""
    counted = tuple(facts for facts in read if facts.currency == currency)
    return Sums(
        amount=amount,
        withdrawn=withdrawn,
        received=sum(facts.received for facts in counted),
        refunded=sum(facts.refunded for facts in counted),
        taken_back=sum(facts.taken_back for facts in counted),
        booked=sum(facts.booked for facts in counted),
        counted=counted,
        foreign=tuple(facts for facts in read if facts.currency != currency),
        unread=unread,
    )


def currency_of(read: Sequence[Facts]) -> str | None:
    """Return the currency of the requests with money, else of any; the first by alphabet.

    The alphabet only decides where two currencies have money, which is conflicted either way, or
    where none has, which adds up to nothing in each.
    """
    with_money = {facts.currency for facts in read if any(facts.money)}
    return min(with_money or {facts.currency for facts in read}, default=None)
