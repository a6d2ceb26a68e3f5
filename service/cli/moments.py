"""Times as options name them: so long ago, or an RFC 3339 time."""

from datetime import UTC, datetime, timedelta

import click

from service.settings import Expected, parse_duration


def moment_in(text: str, *, option: str, now: datetime) -> tuple[datetime, str]:
    """Return the time that an option names, and its name. Raises BadParameter.

    The same length of time has the same name, whenever it is given.
    """
    try:
        length = parse_duration(text)
    except Expected:
        pass
    else:
        return now - length, f"{length / timedelta(seconds=1):g} s ago"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        wanted = "expected a duration such as 7d or PT15M, or a time such as 2026-11-20T14:30:00Z"
        raise click.BadParameter(wanted, param_hint=option)
    return moment, moment.astimezone(UTC).isoformat()
