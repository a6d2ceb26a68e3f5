"""Reads TOML tables into frozen sections, by the types of their fields.

Every mistake ends as Misconfigured with the file, the path of the key and what was expected,
and never shows a value that was meant to be secret.
"""

import json
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
)

import msgspec

from service.errors import Misconfigured
from service.settings.place import Place
from service.settings.values import (
    Expected,
    Rate,
    Secret,
    parse_duration,
    parse_rate,
    path_of,
)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One TOML table; fields without a default come first, and every field is named.

    A rule between fields goes into __post_init__ and raises Expected. The decorator tells type
    checkers what subclasses inherit from this line.
    """


@dataclass(frozen=True, slots=True)
class Duration:
    """Annotates a timedelta: what `parse_duration` allows besides a positive length."""

    calendar: bool = False
    zero: bool = False


S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class Unparsed:
    """The keys of a table that its own section does not name; another section will.

    known are the names that the first section took, for the hint after a typing error.
    """

    table: Mapping[str, object] = field(default_factory=dict, repr=False)
    place: Place = field(default_factory=Place)
    known: frozenset[str] = field(default=frozenset(), repr=False)

    def read_as(self, section: type[S]) -> S:
        """Read all of these keys as section. Raises Misconfigured."""
        return read_section(section, self.table, self.place, also_known=self.known)


def read_section(
    section: type[S],
    table: Mapping[str, object],
    place: Place,
    *,
    also_known: Collection[str] = (),
    given: Mapping[str, object] | None = None,
) -> S:
    """Read table as section, keys and rules. Raises Misconfigured at the first mistake.

    given are fields that come from elsewhere and are no keys of the table. A field of type
    Unparsed collects the keys that no other field names.
    """
    given = given or {}
    fields = [one for one in msgspec.structs.fields(section) if one.name not in given]
    known = {key for one in fields for key in _keys_of(one)}
    unknown = {key: value for key, value in table.items() if key not in known}
    if unknown and not any(one.type is Unparsed for one in fields):
        raise place.key(min(unknown)).unknown(known.union(also_known))
    values = dict(given)
    for one in fields:
        if one.type is Unparsed:
            values[one.name] = Unparsed(unknown, place, frozenset(known))
        elif one.required or not table.keys().isdisjoint(_keys_of(one)):
            values[one.name] = _read_field(one, table, place)
        elif isinstance(one.default, Path):
            values[one.name] = place.folder / one.default
        elif isinstance(one.type, type) and issubclass(one.type, Section):
            # An absent table is an empty one: its paths start at the folder too.
            values[one.name] = read_section(one.type, {}, place.key(one.encode_name))
    try:
        return section(**values)
    except Expected as error:
        raise place.key(error.at).wrong(str(error)) from None


def _keys_of(one: msgspec.structs.FieldInfo) -> tuple[str, ...]:
    """Return the keys that may give a field: a secret has three."""
    name = one.encode_name
    if one.type is Unparsed:
        return ()
    return (name, f"{name}_env", f"{name}_file") if _secrecy(one.type) else (name,)


def _secrecy(kind: Any) -> Literal["single", "several", None]:
    """Return whether a type is a secret, a list of secrets, or neither."""
    choices = _choices(kind)
    if Secret in choices:
        return "single"
    return "several" if any(get_args(choice)[:1] == (Secret,) for choice in choices) else None


def _read_field(
    one: msgspec.structs.FieldInfo, table: Mapping[str, object], place: Place
) -> object:
    secrecy = _secrecy(one.type)
    present = [key for key in _keys_of(one) if key in table]
    if len(present) != 1:
        expected = "one of " + ", ".join(_keys_of(one)) if secrecy else _wanted(one.type)
        got = " and ".join(present) or "nothing"
        raise place.key(one.encode_name).wrong(f"{expected}, got {got}")
    key = present[0]
    if secrecy == "single":
        return _read_secret(one.encode_name, key, table[key], place.key(key))
    if secrecy == "several":
        items = _items(table[key], place.key(key))
        return tuple(_read_secret(one.encode_name, key, item, at) for item, at in items)
    return read_value(one.type, table[key], place.key(key))


def _read_secret(name: str, key: str, value: object, place: Place) -> Secret:
    """Return the secret that key gives: itself, through the environment or through a file."""
    if not isinstance(value, str) or not value:
        raise place.wrong("text that is not empty")
    if key == f"{name}_env":
        if not (text := place.environ.get(value)):
            raise place.wrong(f"the environment variable {value} to be set")
        return Secret(text)
    if key == f"{name}_file":
        return read_secret_file(read_value(Path, value, place), place)
    return Secret(value)


def read_secret_file(file: Path, place: Place) -> Secret:
    """Return what stands in file, without the end of its last line. Raises Misconfigured."""
    try:
        return Secret.read(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise place.wrong(f"a readable file at {file} ({reason})") from error
    except Expected as error:
        raise place.wrong(f"a secret in {file}, which is empty") from error


def read_value(kind: Any, value: object, place: Place) -> Any:
    """Return value as kind: a type that a field of a section may have. Raises Misconfigured."""
    choices = _choices(kind)
    for choice in choices[:-1]:
        try:
            return _read_one(choice, value, place)
        except Misconfigured:
            continue
    return _read_one(choices[-1], value, place)


def _choices(kind: Any) -> list[Any]:
    """Return what a union may be; TOML has no null, so None is left to the default."""
    if get_origin(kind) in (Union, types.UnionType):
        return [choice for choice in get_args(kind) if choice is not types.NoneType]
    return [kind]


def _read_one(kind: Any, value: object, place: Place) -> object:
    if kind is object:
        return value
    origin = get_origin(kind)
    if origin is tuple:
        element = get_args(kind)[0]
        return tuple(read_value(element, item, at) for item, at in _items(value, place))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        element = get_args(kind)[1]
        items = _table(value, place).items()
        return {key: read_value(element, item, place.key(key)) for key, item in items}
    if isinstance(kind, type) and issubclass(kind, Section):
        return read_section(kind, _table(value, place), place)
    try:
        parsed = _parse(kind, value)
    except Expected as error:
        raise place.wrong(str(error), value) from None
    return place.folder / parsed if isinstance(parsed, Path) else parsed


def _items(value: object, place: Place) -> list[tuple[object, Place]]:
    """Return the items of a list, each with its place."""
    if not isinstance(value, list):
        raise place.wrong(f"a list, got {_type_word(value)}")
    return [(item, place.item(index)) for index, item in enumerate(value)]


def _table(value: object, place: Place) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise place.wrong(f"a table, got {_type_word(value)}")
    return value


def _parse(kind: Any, value: object) -> object:
    """Return value as a kind that holds no other values. Raises Expected."""
    if get_origin(kind) is Literal and value in get_args(kind):
        return value
    if kind is bool and isinstance(value, bool):
        return value
    if kind in (int, float) and isinstance(value, int | kind) and not isinstance(value, bool):
        return kind(value)
    if isinstance(value, str) and (read := _reader_of(kind)):
        return read(value)
    raise Expected(_wanted(kind))


def _reader_of(kind: Any) -> Callable[[str], object] | None:
    """Return what reads text as kind, None where kind is never written as text."""
    if get_origin(kind) is Annotated:
        _, allowed = get_args(kind)
        return partial(parse_duration, calendar=allowed.calendar, zero=allowed.zero)
    return READERS.get(kind)


READERS: Mapping[Any, Callable[[str], object]] = {
    str: str,
    Path: path_of,
    Rate: parse_rate,
    timedelta: parse_duration,
}


def _wanted(kind: Any) -> str:
    """Return in words what a kind is."""
    kind = _choices(kind)[-1]
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(json.dumps(word) for word in get_args(kind))
    if get_origin(kind) is Annotated:
        return WORDS[timedelta]
    return WORDS.get(get_origin(kind) or kind, "a table")


WORDS: Mapping[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "a list",
    Path: "a path",
    Rate: 'a rate such as "5/s"',
    timedelta: 'a duration such as "PT15M"',
}


def _type_word(value: object) -> str:
    """Return what TOML calls a value, for messages that must not show it."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return "a table"
    return "a list" if isinstance(value, list) else "a single value"
