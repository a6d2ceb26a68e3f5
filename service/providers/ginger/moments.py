"""Ginger's date-times, with or without fraction and offset.

Source: fact sheet ginger, section 16.
"""

import re
from datetime import UTC, datetime, timedelta

from service.errors import Unreadable

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:]{8}(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_of(text: str) -> datetime:
    """Read a date-time; naive is UTC. Raises Unreadable."""
    try:
        moment = datetime.fromisoformat(text) if _MOMENT.fullmatch(text) else None
        if moment is None:
            raise Unreadable("no date-time")
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Unreadable("no date-time") from error


def microseconds_of(text: str) -> int:
    """Return a date-time as microseconds since 1970. Raises Unreadable."""
    return (moment_of(text) - _EPOCH) // timedelta(microseconds=1)


def in_z(moment: datetime) -> str:
    """Write a time with Z: the + of an offset would need escaping in a query."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
