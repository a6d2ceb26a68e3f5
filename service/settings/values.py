"""The values a configuration is written in: durations, rates, secrets, addresses.

Each function takes text and returns the value, or raises Expected with what it wanted.
"""

import hmac
import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from service.domain.signature import key_of
from service.ed25519 import seal_of
from service.errors import Unavailable

SHORT_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
SHORT = re.compile(r"(\d{1,9})(ms|s|m|h|d|w)", re.ASCII)
ISO_8601 = re.compile(
    r"P(?=[\dT])(?:(?P<years>\d{1,9})Y)?(?:(?P<months>\d{1,9})M)?"
    r"(?:(?P<weeks>\d{1,9})W)?(?:(?P<days>\d{1,9})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?"
    r"(?:(?P<seconds>\d{1,9}(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)
RATE = re.compile(r"(?P<count>\d{1,9})/(?P<every>\d{0,9})(?P<unit>ms|s|m|h|d)", re.ASCII)
DAYS_OF_A_YEAR = 365
DAYS_OF_A_MONTH = 30

# What tomllib raises over a text that is no TOML: its own error is a ValueError, an integer of
# more digits than Python converts another, and endless nesting ends in the last.
NOT_TOML = (ValueError, RecursionError)


class Expected(ValueError):
    """A value is not what it must be; reads on after "expected".

    at is the key below the section where it stands, empty for the section or value itself.
    """

    def __init__(self, what: str, *, at: str = "") -> None:
        super().__init__(what)
        self.at = at


class Secret:
    """Text that shows itself only when asked by name.

    file is where it was read from, None where it was written or came from the environment.
    """

    __slots__ = ("_text", "file")

    def __init__(self, text: str, *, file: Path | None = None) -> None:
        if not text:
            raise Expected("a secret that is not empty")
        self._text = text
        self.file = file

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what stands in file, without the end of its last line.

        Raises OSError, UnicodeDecodeError, or Expected where it is empty.
        """
        return cls(file.read_text(encoding="utf-8").rstrip("\r\n"), file=file)

    def reread(self) -> Self:
        """Return the secret that stands in the file now; itself where it came from none.

        Raises Unavailable while there is none: a file that is being replaced may be away or
        empty for a moment.
        """
        if self.file is None:
            return self
        try:
            return self.read(self.file)
        except (OSError, ValueError) as error:
            raise Unavailable("secret_file_unreadable") from error

    def reveal(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Rate:
    """At most count calls in any stretch of this many seconds."""

    count: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


def parse_duration(text: str, *, calendar: bool = False, zero: bool = False) -> timedelta:
    """Return the length of time that text names: ISO 8601 ("PT15M") or short ("15m", "500ms").

    A year is 365 days and a month 30, and both are understood only with calendar: elsewhere
    "P1M" is more likely a mistyped "PT1M". Nothing but zero allows no time at all.
    """
    wanted = Expected('a duration such as "PT15M", "P60D" or "15m"')
    try:
        found = _short(text) or _iso_8601(text)
    except OverflowError:
        raise wanted from None
    if found is None:
        raise wanted
    length, has_calendar = found
    if has_calendar and not calendar:
        raise Expected('a duration in days or less, such as "P60D" or "PT1M" (one minute)')
    if not length and not zero:
        raise Expected("a duration longer than zero")
    return length


def _short(text: str) -> tuple[timedelta, bool] | None:
    match = SHORT.fullmatch(text)
    return (int(match[1]) * SHORT_UNITS[match[2]], False) if match else None


def _iso_8601(text: str) -> tuple[timedelta, bool] | None:
    match = ISO_8601.fullmatch(text)
    if match is None:
        return None
    part = {unit: float(number) for unit, number in match.groupdict("0").items()}
    years, months = part.pop("years"), part.pop("months")
    part["days"] += years * DAYS_OF_A_YEAR + months * DAYS_OF_A_MONTH
    return timedelta(**part), bool(years or months)


def path_of(text: str) -> Path:
    """Return the path that text names; none holds a NUL, which no system call takes."""
    if "\0" in text:
        raise Expected("a path without NUL")
    return Path(text)


def parse_rate(text: str) -> Rate:
    """Return the rate that text names: "5/s", "3/3s", "600/m", "1000/h"."""
    match = RATE.fullmatch(text)
    if match is None or not int(match["count"]) or not int(match["every"] or 1):
        raise Expected('a rate such as "5/s"')
    every = int(match["every"] or 1) * SHORT_UNITS[match["unit"]]
    return Rate(int(match["count"]), every.total_seconds())


def check_network(text: str) -> None:
    """Raise Expected unless text is an IP network or a single address."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise Expected('a network such as "185.40.108.0/22" or an address') from None


def check_url(text: str) -> None:
    """Raise Expected unless text is an http or https URL with a host and no credentials."""
    wanted = Expected('a URL such as "https://erp.example.com/hooks/payments"')
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        raise wanted from None
    if url.scheme not in ("http", "https") or not url.hostname or not text.isprintable():
        raise wanted
    if "@" in url.netloc or url.fragment or " " in text:
        raise wanted


def check_webhook_secret(secret: Secret) -> None:
    """Raise Expected unless notifications can be signed with secret."""
    try:
        key_of(secret.reveal())
    except ValueError:
        raise Expected('a secret of the form "whsec_" + base64 of 24 to 64 bytes') from None


def check_signing_key(key: Secret) -> None:
    """Raise Expected unless notifications can be sealed with key."""
    try:
        seal_of(key.reveal())
    except ValueError:
        wanted = (
            'an ed25519 key: "whsk_" + base64 of its 32-byte seed, alone or with its public key'
        )
        raise Expected(wanted) from None
