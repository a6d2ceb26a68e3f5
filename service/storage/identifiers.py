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
_TIME = re.compile(rf"[a-z]{{3}}_([{_ALPHABET}]{{10}})[{_ALPHABET}]{{16}}", re.ASCII)
_SHAPE = re.compile(r"[a-z]{3}_[0-9a-z_]{1,64}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(prefix: Prefix) -> str:
    """Return a new identifier such as prq_01m9x0c5n8qk4v7t2w6y3z1a0b: 48 bits of time, 80 random.

    Ids made later sort later (to the millisecond, per clock), which keeps index pages warm.
    """
    return _text(prefix, time.time_ns() // 1_000_000, secrets.randbits(80))


def first_id(prefix: Prefix, at: datetime) -> str:
    """Return what no identifier made at a time, or later, sorts before."""
    return _text(prefix, max(0, (at - _EPOCH) // timedelta(milliseconds=1)), 0)


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


def _text(prefix: Prefix, milliseconds: int, random: int) -> str:
    number = milliseconds << 80 | random
    pairs = [_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)]
    return f"{prefix}_{''.join(pairs)}"


def new_traceparent() -> str:
    """Return the traceparent of a trace that begins with us."""
    return traceparent_from(secrets.token_bytes(24))
