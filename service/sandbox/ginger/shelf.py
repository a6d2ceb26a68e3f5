"""All that has an id at Ginger, in the order in which it was made."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.sandbox.ledger import PaymentRequest


@dataclass(frozen=True, slots=True)
class Listed:
    """A resource with an id of its own: an order, or a counter order of one."""

    order: PaymentRequest
    return_id: str = ""

    @property
    def id(self) -> str:
        return self.return_id or self.order.id


class Shelf:
    """Orders and counter orders, by id and by time."""

    def __init__(self) -> None:
        self.by_id: dict[str, Listed] = {}
        self._listed: list[Listed] = []
        self._created_at: list[datetime] = []

    def add(self, listed: Listed, at: datetime) -> None:
        """Put a resource in its place, if it is not there yet."""
        if listed.id in self.by_id:
            return
        place = bisect_right(self._created_at, at)
        self.by_id[listed.id] = listed
        self._listed.insert(place, listed)
        self._created_at.insert(place, at)

    def next_moment(self, at: datetime) -> datetime:
        """Return at, or the first moment after the newest resource: times are distinct."""
        if not self._created_at:
            return at
        return max(at, self._created_at[-1] + timedelta(microseconds=1))

    def created_between(self, since: datetime, until: datetime) -> Sequence[Listed]:
        """Return what was created from since up to, not including, until; newest first.

        Whether the bounds are inclusive is not documented. Source: fact sheet, section 11.
        """
        first, end = bisect_left(self._created_at, since), bisect_left(self._created_at, until)
        return self._listed[first:end][::-1]
