"""The stretches of time that partitions hold: days and quarters of the year, in UTC."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """From the day it begins to the one it ends before; suffix is the end of a partition's name."""

    begins: date
    ends: date
    suffix: str

    def name_in(self, table: str) -> str:
        """Return the name of the partition of a table that holds this period."""
        return f"{table}_{self.suffix}"


@dataclass(frozen=True, slots=True)
class Periods:
    """One way of parting time.

    of returns the period of a day, named the one with a suffix. back and ahead are how far before
    and after today there have to be periods.
    """

    of: Callable[[date], Period]
    named: Callable[[str], Period]
    back: timedelta
    ahead: timedelta

    def around(self, today: date) -> Iterator[Period]:
        """Yield the periods that have to be there, oldest first."""
        period = self.of(today - self.back)
        while period.begins <= today + self.ahead:
            yield period
            period = self.of(period.ends)


def _day(day: date) -> Period:
    return Period(day, day + timedelta(days=1), f"{day:%Y%m%d}")


def _day_named(suffix: str) -> Period:
    return _day(datetime.strptime(suffix, "%Y%m%d").date())  # noqa: DTZ007 - a day has no zone


def _quarter(day: date) -> Period:
    number = (day.month - 1) // 3
    begins = date(day.year, 3 * number + 1, 1)
    ends = date(day.year + number // 3, 3 * ((number + 1) % 4) + 1, 1)
    return Period(begins, ends, f"{day.year}q{number + 1}")


def _quarter_named(suffix: str) -> Period:
    year, number = suffix.split("q")
    return _quarter(date(int(year), 3 * int(number), 1))


DAYS: Final = Periods(_day, _day_named, back=timedelta(days=1), ahead=timedelta(days=14))

# Back: an event may be of the quarter before it came in, by 35 days at most.
QUARTERS: Final = Periods(
    _quarter, _quarter_named, back=timedelta(days=36), ahead=timedelta(days=100)
)
