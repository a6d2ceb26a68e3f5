"""Parameters of a query: each is checked, and a mistake is Malformed and names the parameter."""

import base64
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from starlette.requests import Request

from service.errors import Malformed
from service.storage.views.reading import Position
from service.web.api.fields import is_printable

LIMIT_DEFAULT = 100
LIMIT_MAX = 500
TEXT_CHARACTERS_MAX = 200

_CURSOR = re.compile(r"([0-9]{1,18})\.([!-~]{1,120})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Query:
    """The parameters of a call, of which it takes those with these names.

    Another name is refused: a filter with a typing error would otherwise show everything.
    """

    def __init__(self, request: Request, *names: str) -> None:
        self._values: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            if name not in names:
                known = ", ".join(names) or "none"
                raise Malformed(
                    f"parameter {_shown(name)}: unknown; known here: {known}", code="bad_parameter"
                )
            if name in self._values:
                raise _wrong(name, "one value, not several")
            self._values[name] = value

    def text(self, name: str) -> str | None:
        """Return up to 200 printable characters."""
        value = self._values.get(name)
        if value is None:
            return None
        if not is_printable(value, characters_max=TEXT_CHARACTERS_MAX):
            raise _wrong(name, f"1 to {TEXT_CHARACTERS_MAX} printable characters")
        return value

    def word(self, name: str, words: Iterable[str]) -> str | None:
        """Return one of words."""
        value = self._values.get(name)
        known = [str(word) for word in words]
        if value is not None and value not in known:
            raise _wrong(name, "one of " + ", ".join(known))
        return value

    def time(self, name: str) -> datetime | None:
        """Return a time with its offset from UTC, RFC 3339."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return _in_utc(datetime.fromisoformat(value))
        except (ValueError, OverflowError):
            raise _wrong(name, "a time such as 2026-11-20T14:31:02Z") from None

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """Return a whole number from least to most."""
        value = self._values.get(name, str(default))
        if not re.fullmatch("[0-9]{1,9}", value) or not least <= int(value) <= most:
            raise _wrong(name, f"a whole number from {least} to {most}")
        return int(value)

    def limit(self) -> int:
        return self.whole("limit", LIMIT_DEFAULT, least=1, most=LIMIT_MAX)

    def cursor(self) -> Position | None:
        """Return the position that an earlier answer gave as `next`."""
        value = self._values.get("cursor")
        return None if value is None else _position_of(value)


def cursor_of(position: Position) -> str:
    """Return a position as opaque text, for `next`."""
    microseconds = (position.at - _EPOCH) // timedelta(microseconds=1)
    text = f"{microseconds}.{position.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position_of(cursor: str) -> Position:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
        matched = _CURSOR.fullmatch(text)
        if matched is None:
            raise ValueError("not the text that cursor_of makes")
        return Position(_EPOCH + timedelta(microseconds=int(matched[1])), matched[2])
    except (ValueError, OverflowError):
        raise _wrong("cursor", "what an earlier answer gave as `next`") from None


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("without an offset a time says nothing")
    return at.astimezone(UTC)


def _wrong(name: str, expected: str) -> Malformed:
    return Malformed(f"parameter {name}: expected {expected}", code="bad_parameter")


def _shown(name: str) -> str:
    """Return a stranger's name for a parameter as our answer may repeat it."""
    return ascii(name[:40])
