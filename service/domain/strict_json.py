"""JSON as strangers send it: read strictly or refused, never repaired.

Two parsers that read the same bytes differently are how a check is walked around, so whatever
JSON leaves open is refused here. Source of the limits: RELIABILITY.md, threat T14.
"""

import json
import re
from decimal import Decimal
from itertools import accumulate
from typing import NoReturn

DEPTH_MAX = 32
DIGITS_MAX = 18  # every such integer fits a signed 64-bit column

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_A_BRACKET = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class NotStrict(ValueError):
    """The bytes are not JSON, or JSON that two readers may take differently."""


def parse(body: bytes, *, depth_max: int = DEPTH_MAX) -> object:
    """Return the one value in body. Raises NotStrict.

    Refused: anything but UTF-8 without a byte order mark, more than depth_max nested arrays and
    objects, a name twice in one object, NaN and Infinity, integers of more than 18 digits,
    other numbers beyond 18.18 digits or a two-digit exponent (they become Decimal), and
    strings with NUL or half a surrogate pair, which PostgreSQL cannot store.
    """
    _check_depth(body, depth_max)
    try:
        value: object = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NotStrict("not UTF-8") from error
    except json.JSONDecodeError as error:
        raise NotStrict("not JSON") from error
    if b"\\u" in body:  # raw NUL and raw surrogates fell to the decoders; only escapes are left
        _check_strings(value)
    return value


def _check_depth(body: bytes, depth_max: int) -> None:
    """Bound the nesting before the parser, which recurses, sees it."""
    if body.count(b"[") + body.count(b"{") <= depth_max:
        return
    brackets = _STRINGS.sub(b"", body).translate(None, _NOT_A_BRACKET)
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > depth_max:
        raise NotStrict("nested too deeply")


def _check_strings(value: object) -> None:
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise NotStrict("NUL or half a surrogate pair in a string")
    elif isinstance(value, list):
        for item in value:
            _check_strings(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_strings(name)
            _check_strings(item)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise NotStrict("a name stands twice in one object")
    return names


def _integer(text: str) -> int:
    if len(text) > DIGITS_MAX and len(text.lstrip("-")) > DIGITS_MAX:
        raise NotStrict(f"an integer of more than {DIGITS_MAX} digits")
    return int(text)


def _decimal(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise NotStrict("a number out of bounds")
    return Decimal(text)


def _refuse_constant(text: str) -> NoReturn:
    raise NotStrict(f"{text} is not JSON")


# The C scanner of the standard library stays in use: it takes these hooks.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_decimal,
    parse_constant=_refuse_constant,
)
