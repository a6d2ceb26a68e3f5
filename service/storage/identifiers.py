"""Identifiers of our own rows: a prefix that says what it is, and a time-ordered random part."""

import secrets
import time
from typing import Literal

Prefix = Literal["evt", "prq", "ord", "obs", "trn", "ntf", "dlv", "dec"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # ten bits at a time


def new_id(prefix: Prefix) -> str:
    """Return a new identifier such as prq_01m9x0c5n8qk4v7t2w6y3z1a0b: 48 bits of time, 80 random.

    Ids made later sort later (to the millisecond, per clock), which keeps index pages warm.
    """
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    pairs = [_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)]
    return f"{prefix}_{''.join(pairs)}"
