"""A list as GoCardless pages it: cursors, newest first. Source: fact sheet, section 8."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stretch:
    """What part of a list is asked for.

    after: what is older than this id; before: what is newer. since is inclusive, until is not.
    """

    limit: int = 50
    after: str | None = None
    before: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Newest first. The cursors are None at the ends of the list."""

    items: Sequence[T]
    before: str | None
    after: str | None


class Shelf(Generic[T]):
    """Keeps things in the order in which they were made."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._ids: list[str] = []
        self._times: list[datetime] = []
        self._places: dict[str, int] = {}
        self._places_of_key: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._places

    def add(self, item_id: str, item: T, at: datetime, keys: Iterable[str] = ()) -> None:
        """Add the newest item; keys are what lists can be narrowed down to cheaply."""
        place = len(self._items)
        self._times.append(self.time_for(at))
        self._items.append(item)
        self._ids.append(item_id)
        self._places[item_id] = place
        for key in keys:
            self._places_of_key.setdefault(key, []).append(place)

    def time_for(self, at: datetime) -> datetime:
        """Return the time under which what is made now is listed.

        Times count as they are shown, in whole milliseconds, and never run backwards.
        """
        shown_at = whole_milliseconds(at)
        return max(shown_at, self._times[-1]) if self._times else shown_at

    def find(self, item_id: str) -> T | None:
        place = self._places.get(item_id)
        return None if place is None else self._items[place]

    def page(
        self, stretch: Stretch, matches: Callable[[T], bool], key: str | None = None
    ) -> Page[T]:
        """Return a page of what matches. Raises KeyError for a cursor that is not on the shelf."""
        places = self._places_between(stretch, key)
        lowest, beyond = 0, len(places)
        if stretch.before is not None:
            lowest = bisect_right(places, self._places[stretch.before])
        if stretch.after is not None:
            beyond = bisect_left(places, self._places[stretch.after])

        def fitting(walk: Iterable[int]) -> Iterator[int]:
            return (place for place in walk if matches(self._items[place]))

        asked = range(lowest, beyond)
        if stretch.before is None:
            shown = list(islice(fitting(places[n] for n in reversed(asked)), stretch.limit))
        else:
            shown = list(islice(fitting(places[n] for n in asked), stretch.limit))[::-1]
        if not shown:
            return Page([], None, None)
        older = fitting(places[n] for n in reversed(range(bisect_left(places, shown[-1]))))
        newer = fitting(places[n] for n in range(bisect_right(places, shown[0]), len(places)))
        return Page(
            [self._items[place] for place in shown],
            before=self._ids[shown[0]] if next(newer, None) is not None else None,
            after=self._ids[shown[-1]] if next(older, None) is not None else None,
        )

    def _places_between(self, stretch: Stretch, key: str | None) -> Sequence[int]:
        """Return the places made in the stretch of time, ascending."""
        first, end = 0, len(self._items)
        if stretch.since is not None:
            first = bisect_left(self._times, stretch.since)
        if stretch.until is not None:
            end = bisect_left(self._times, stretch.until)
        if key is None:
            return range(first, max(first, end))
        places = self._places_of_key.get(key, [])
        return places[bisect_left(places, first) : bisect_left(places, end)]


def whole_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
