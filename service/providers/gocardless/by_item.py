"""Lists of which one item is odd: a text with NUL, a number without end, a name twice.

Strict JSON refuses the whole for it, and 250 events would be lost over one; here the item alone
is. Nothing is repaired: what is kept was read strictly, from its own bytes.
"""

import json
import re
from typing import Final

from service.domain.strict_json import NotStrict, parse

_SPACE: Final = re.compile(r"[ \t\n\r]*")
# Tells where a value ends and nothing else, so that numbers may be of any length.
_VALUE: Final = json.JSONDecoder(parse_int=str, parse_float=str)


def parse_by_item(body: bytes, name: str) -> object:
    """Return the one value in body, None for each refused item of its list `name`.

    Raises NotStrict where more than the items of that list is refused.
    """
    try:
        return parse(body)
    except NotStrict:
        return _kept(body, name)


def _kept(body: bytes, name: str) -> dict[str, object]:
    try:
        text = body.decode()
        opening = re.search(rf'"{name}"[ \t\n\r]*:[ \t\n\r]*\[', text)
        if opening is None:
            raise NotStrict(f"no list of {name}")
        items, end = _items_from(text, opening.end())
    except (ValueError, RecursionError) as error:
        raise NotStrict("not JSON") from error
    envelope = parse((text[: opening.end()] + text[end:]).encode())
    if not isinstance(envelope, dict) or envelope.get(name) != []:
        raise NotStrict(f"{name} stands elsewhere")
    return {**envelope, name: items}


def _items_from(text: str, start: int) -> tuple[list[object], int]:
    """Return the items of the list that was opened before start, and where the last one ends."""
    items: list[object] = []
    end = start - 1
    while end < start or text.startswith(",", end):
        begin = _behind_space(text, end + 1)
        _, end = _VALUE.raw_decode(text, begin)
        items.append(_strictly(text[begin:end]))
        end = _behind_space(text, end)
    return items, end


def _behind_space(text: str, start: int) -> int:
    space = _SPACE.match(text, start)
    return space.end() if space else start


def _strictly(text: str) -> object:
    try:
        return parse(text.encode())
    except NotStrict:
        return None
