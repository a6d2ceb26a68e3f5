"""Windows of time in a person's words, alike on the command line and in the API."""

from datetime import UTC, datetime, timedelta

from service.settings import Expected, parse_duration


def moment_in(text: str, *, now: datetime) -> tuple[datetime, str]:
    """Return the time that a text means, and by which name that is found again.

    Either so long ago, which has the same name whenever it is said, or an RFC 3339 time. Raises
    Expected, which says what may stand there.
    """
    try:
        length = parse_duration(text)
        return now - length, f"{length / timedelta(seconds=1):g} s ago"
    except (Expected, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment, moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        pass
    raise Expected("a duration such as 7d or PT15M, or a time such as 2026-11-20T14:30:00Z")
