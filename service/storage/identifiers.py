"""Identifiers of our own rows: a prefix that says what it is, and a time-ordered random part."""

import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Literal

from service.domain.trace import traceparent_from

Prefix = Literal["evt", "prq", "ord", "obs", "trn", "ntf", "dlv", "dec", "ivn", "rcv"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_DIGIT_OF_BYTE = (_ALPHABET * 8).encode()  # each digit stands for 8 of the 256, so none is rarer
_RANDOM_DIGITS = 16
_TIME = re.compile(rf"[a-z]{{3}}_([{_ALPHABET}]{{10}})[{_ALPHABET}]{{{_RANDOM_DIGITS}}}", re.ASCII)
_SHAPE = re.compile(r"[a-z]{3}_[0-9a-z_]{1,64}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(prefix: Prefix) -> str:
    """Return a new identifier such as prq_01m9x0c5n8qk4v7t2w6y3z1a0b: 48 bits of time, 80 random.

    Ids made later sort later (to the millisecond, per clock), which keeps index pages warm.
    """
    return new_ids(prefix, 1)[0]


def new_ids(prefix: Prefix, count: int) -> list[str]:
    """Return so many new identifiers, asking the clock and the system's randomness once for all."""
    head = _head(prefix, time.time_ns() // 1_000_000)
    digits = secrets.token_bytes(_RANDOM_DIGITS * count).translate(_DIGIT_OF_BYTE).decode("ascii")
    starts = range(0, len(digits), _RANDOM_DIGITS)
    return [head + digits[start : start + _RANDOM_DIGITS] for start in starts]


def first_id(prefix: Prefix, at: datetime) -> str:
    """Return what no identifier made at a time, or later, sorts before."""
    head = _head(prefix, max(0, (at - _EPOCH) // timedelta(milliseconds=1)))
    return head + _ALPHABET[0] * _RANDOM_DIGITS


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


def _head(prefix: Prefix, milliseconds: int) -> str:
    digits = "".join(_ALPHABET[milliseconds >> shift & 31] for shift in range(45, -1, -5))
    return f"{prefix}_{digits}"


def new_traceparent() -> str:
    """Return the traceparent of a trace that begins with us."""
    return traceparent_from(secrets.token_bytes(24))
