"""Fields of a JSON body: each is checked, and a mistake is Malformed and names the field."""

from collections.abc import Container, Mapping
from typing import TypeGuard

import msgspec

from service.domain.strict_json import NotStrict, parse
from service.errors import Malformed


def body_fields(body: bytes) -> "Fields":
    """Return the fields of a body. Raises Malformed unless it is one strict JSON object."""
    try:
        return Fields(parse(body), "")
    except NotStrict as error:
        raise Malformed(f"body: expected JSON, got: {error}", code="bad_json") from None


class Fields:
    """One JSON object of a body; path says where in it, "" for the body itself.

    Each method takes a field out. `end` refuses what nobody took: a field with a typing error
    would otherwise be lost in silence.
    """

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(f"{path or 'body'}: expected a JSON object", code="bad_field")
        self._left: dict[str, object] = dict(value)
        self._path = path

    def text(self, name: str, *, characters_max: int) -> str:
        """Take a text of 1 to characters_max printable characters."""
        value = self._left.pop(name, None)
        if not is_printable(value, characters_max=characters_max):
            raise self.wrong(name, f"1 to {characters_max} printable characters")
        return value

    def optional_text(self, name: str, *, characters_max: int) -> str | None:
        """Take a text as `text` does; null is as good as none."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.text(name, characters_max=characters_max)

    def word(self, name: str, words: Container[str], *, expected: str) -> str:
        """Take one of words; expected describes them."""
        value = self._left.pop(name, None)
        if not isinstance(value, str) or value not in words:
            raise self.wrong(name, expected)
        return value

    def whole(self, name: str, *, least: int, most: int) -> int:
        """Take a whole number from least to most."""
        value = self._left.pop(name, None)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(name, f"a whole number from {least} to {most}")
        return value

    def flag(self, name: str) -> bool:
        """Take true or false; none is as good as false."""
        value = self._left.pop(name, False)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def has(self, name: str) -> bool:
        """Return whether a field is there and was not taken."""
        return name in self._left

    def inner(self, name: str) -> "Fields":
        """Take an object."""
        return Fields(self._left.pop(name, None), self._at(name))

    def items(self, name: str, *, items_max: int) -> list["Fields"]:
        """Take an array of up to items_max objects; none is as good as an empty one."""
        value = self._left.pop(name, [])
        if not isinstance(value, list) or len(value) > items_max:
            raise self.wrong(name, f"an array of at most {items_max} objects")
        return [Fields(item, f"{self._at(name)}[{index}]") for index, item in enumerate(value)]

    def free(self, name: str, *, bytes_max: int) -> Mapping[str, object]:
        """Take an object with any content, of at most bytes_max as compact JSON; {} when none.

        Numbers with decimals become floats here: nobody computes with them.
        """
        value = self._left.pop(name, {})
        expected = f"an object of at most {bytes_max} bytes"
        if not isinstance(value, dict):
            raise self.wrong(name, expected)
        encoded = _ENCODER.encode(value)
        if len(encoded) > bytes_max:
            raise self.wrong(name, expected)
        return msgspec.json.decode(encoded, type=dict[str, object])

    def end(self) -> None:
        """Refuse what is left."""
        for name in self._left:
            raise Malformed(f"{self._at(ascii(name[:40]))}: unknown field", code="bad_field")

    def wrong(self, name: str, expected: str) -> Malformed:
        """Return the error to raise about a field."""
        return Malformed(f"{self._at(name)}: expected {expected}", code="bad_field")

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def is_printable(value: object, *, characters_max: int) -> TypeGuard[str]:
    """Return whether value is a text of 1 to characters_max printable characters."""
    return isinstance(value, str) and 1 <= len(value) <= characters_max and value.isprintable()


_ENCODER = msgspec.json.Encoder(decimal_format="number")
