"""Identifiers of our own rows: a prefix that says what it is, and a time-ordered random part."""

import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Literal

from service.domain.trace import traceparent_from

Prefix = Literal["evt", "prq", "ord", "obs", "trn", "ntf", "dlv", "dec", "ivn", "rcv"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # ten bits at a time
_DIGITS = 8 * _ALPHABET.encode()  # what each byte becomes: all digits are equally likely
_TIME = re.compile(rf"[a-z]{{3}}_([{_ALPHABET}]{{10}})[{_ALPHABET}]{{16}}", re.ASCII)
_SHAPE = re.compile(r"[a-z]{3}_[0-9a-z_]{1,64}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(prefix: Prefix) -> str:
    """Return a new identifier such as prq_01m9x0c5n8qk4v7t2w6y3z1a0b: 48 bits of time, 80 random.

    Ids made later sort later (to the millisecond, per clock), which keeps index pages warm.
    """
    random = secrets.token_bytes(16).translate(_DIGITS).decode()
    return f"{prefix}_{_digits_of(time.time_ns() // 1_000_000)}{random}"


def first_id(prefix: Prefix, at: datetime) -> str:
    """Return what no identifier made at a time, or later, sorts before."""
    return f"{prefix}_{_digits_of(max(0, (at - _EPOCH) // timedelta(milliseconds=1)))}{16 * '0'}"


def time_in(identifier: str) -> datetime | None:
    """Return when an identifier was made, to the millisecond; None where it is none of ours."""
    matched = _TIME.fullmatch(identifier)
    if matched is None:
        return None
    milliseconds = 0
    for digit in matched[1]:
        milliseconds = milliseconds << 5 | _ALPHABET.index(digit)
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def is_identifier(text: str) -> bool:
    """Return whether a text has the shape of an identifier of ours."""
    return _SHAPE.fullmatch(text) is not None


def _digits_of(milliseconds: int) -> str:
    """Return the ten digits that a time begins an identifier with."""
    return "".join(_PAIRS[milliseconds >> shift & 1023] for shift in (40, 30, 20, 10, 0))


def new_traceparent() -> str:
    """Return the traceparent of a trace that begins with us."""
    return traceparent_from(secrets.token_bytes(24))
