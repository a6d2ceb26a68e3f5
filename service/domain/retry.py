"""When a delivery goes, where that is only every so often, and when it is tried again."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

_MINUTE: Final = 60.0
_HOUR: Final = 60 * _MINUTE

# The wait before each attempt, the first included: 13 attempts over 6.1 days.
# Source: CONTRACT.md, section 5.
DELIVERY_WAITS: Final = (
    0.0,
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
    24 * _HOUR,
    24 * _HOUR,
    24 * _HOUR,
)
JITTER_SHARE: Final = 0.2
HTTP_DATE_LENGTH_MAX: Final = 40


def next_attempt_seconds(
    attempts_made: int,
    *,
    waits: Sequence[float] = DELIVERY_WAITS,
    retry_after_seconds: float | None = None,
    jitter: float,
) -> float | None:
    """Return the wait in seconds before the next attempt, None when the schedule has ended.

    jitter runs from 0 to 1 and moves the step by up to 20 % either way, 0.5 leaves it as it is.
    What the ERP asked for in Retry-After counts between that step and twice the step, or an hour
    where that is longer. Source: CONTRACT.md, section 5; RELIABILITY.md, section 4.6.
    """
    if attempts_made >= len(waits):
        return None
    step = waits[attempts_made]
    wait = step * (1 - JITTER_SHARE + 2 * JITTER_SHARE * jitter)
    if retry_after_seconds is None:
        return wait
    return max(wait, min(retry_after_seconds, max(2 * step, _HOUR)))


def next_turn(every: timedelta, at: datetime) -> datetime:
    """Return the first turn after at; turns are counted from 1970 in UTC, so days begin at 0:00."""
    since = at - datetime.fromtimestamp(0, UTC)
    return at + every - since % every


def parse_retry_after(value: str, *, now: datetime) -> float | None:
    """Return the seconds from now that a Retry-After asks for, None where it is unreadable.

    Takes both forms of RFC 9110, section 10.2.3: seconds, or a date; a date that has passed
    gives 0. Raises nothing, whatever it is given.
    """
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    at = http_date_in(value)
    return None if at is None else max(0.0, (at - now).total_seconds())


def http_date_in(value: str) -> datetime | None:
    """Return the time that a header field names, such as Date; None where it is unreadable.

    Raises nothing, whatever it is given.
    """
    if len(value) > HTTP_DATE_LENGTH_MAX or not value.isascii():
        return None
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
