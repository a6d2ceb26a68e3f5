"""Changes to one value of JSON that leave the rest as it is, and words of a target's own.

Bytes that are changed at random hardly ever stay JSON, so that nothing behind the parser is tried.
"""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.fuzz.target import SEPARATOR, Target

CHANGES_MAX = 3
REPEATED_CHARACTERS_MAX = 16_000

# Put in place of a value. A text that begins with RAW becomes the bytes behind it: what json
# does not write, or nobody should read.
RAW = "raw:"
VALUES: Sequence[object] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**31,
        2**63,
        2**64,
        10**18,
        1.5,
        -0.0,
        [],
        {},
        [[]],
        {"": None},
    ),
    *(
        "",
        " ",
        "0",
        "-1",
        "1e9",
        "x" * 300,
        "a\nb",
        "\u0000",
        "\u2028",
        "\u00e9\u046b",
        "../x",
        "%2e",
    ),
    *("12.345", "0.005", "99999999999999.99", "EUR", "XXX", "JPY", "2025-02-30", "9999-12-31"),
    *("2025-03-03T09:04:25.000Z", "2025-03-03T09:04:25+99:99", "0001-01-01T00:00:00+14:00"),
    *(RAW + "NaN", RAW + "1e400000", RAW + "1e-9999999999999999999", RAW + "9" * 5_000),
    *(RAW + '"\\ud800"', RAW + "[" * 2_000, RAW + "-"),
)

Slot = tuple[Any, Any]  # a table or a list, and the name or place of a value in it


def mutated(target: Target, data: bytes, chance: Random) -> bytes | None:
    """Return data with some values or words changed; None where there is nothing to change."""
    if target.words and chance.random() < 0.5:
        return _with_a_word(target.words, data, chance)
    parts = data.split(SEPARATOR)
    whole = [number for number, part in enumerate(parts) if _slots_of(_read(part))]
    if not whole:
        return None
    number = chance.choice(whole)
    value = _read(parts[number])
    for _ in range(chance.randint(1, CHANGES_MAX)):
        if slots := _slots_of(value):
            _change(slots, chance)
    parts[number] = _written(value, is_ascii=chance.random() < 0.5)
    return SEPARATOR.join(parts)


def _with_a_word(words: Sequence[bytes], data: bytes, chance: Random) -> bytes:
    """Return data with a word put in, or in place of some bytes."""
    start = chance.randint(0, len(data))
    end = min(len(data), start + chance.choice([0, 0, 1, 4]))
    return data[:start] + chance.choice(words) + data[end:]


def _read(part: bytes) -> Any:
    try:
        return json.loads(part)
    except (ValueError, RecursionError):
        return None


def _slots_of(value: Any) -> list[Slot]:
    """Return where all values within a value stand."""
    found: list[Slot] = []
    left = [value]
    while left:
        holder = left.pop()
        if isinstance(holder, dict):
            places: list[Any] = list(holder)
        elif isinstance(holder, list):
            places = list(range(len(holder)))
        else:
            continue
        found += [(holder, place) for place in places]
        left += [holder[place] for place in places]
    return found


def _change(slots: Sequence[Slot], chance: Random) -> None:
    """Change the value in one slot, or what stands beside it."""
    holder, place = chance.choice(slots)
    other, its = chance.choice(slots)
    match chance.randrange(6):
        case 0:
            holder[place] = _copied(chance.choice(VALUES))
        case 1:
            holder[place] = _copied(other[its])
        case 2:
            holder[place] = _near(holder[place], chance)
        case 3:
            del holder[place]
        case 4 if isinstance(holder, list):
            holder.insert(place, _copied(other[its]))
        case 4:
            holder[str(its)] = _copied(other[its])
        case _:
            holder[place] = _repeated(holder[place], chance)


def _repeated(value: Any, chance: Random) -> list[Any]:
    """Return a list of a value, as often as stays short enough to be tried."""
    times = chance.choice([1, 2, 30])
    if len(json.dumps(value)) * times > REPEATED_CHARACTERS_MAX:
        times = 1
    return [_copied(value) for _ in range(times)]


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _near(value: Any, chance: Random) -> object:
    """Return a value that differs a little, or is of another type and reads alike."""
    match value:
        case bool() | None:
            return not value
        case int() | float():
            return chance.choice([value + 1, value - 1, -value, value * 1_000, str(value)])
        case str():
            place, piece = (
                chance.randint(0, len(value)),
                chance.choice(["", "0", "/", "\u00e9", " "]),
            )
            return value[:place] + piece + value[place + chance.randint(0, 1) :]
        case _:
            return _copied(list(value))


def _written(value: Any, *, is_ascii: bool) -> bytes:
    """Return JSON, with raw texts as the bytes that they are."""
    text = json.dumps(value, ensure_ascii=is_ascii)
    for raw in (each for each in VALUES if isinstance(each, str) and each.startswith(RAW)):
        text = text.replace(json.dumps(raw), raw.removeprefix(RAW))
    return text.encode("utf-8", "surrogatepass")
