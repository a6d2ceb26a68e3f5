"""Placeholders such as {data.reference}: dots lead from a root into values, and that is all.

There is no template engine: nothing is evaluated, called or formatted. In a body, a query or a
header a placeholder is a whole text; in a body it becomes the JSON value that it leads to. In a
path it may be part of a segment and becomes percent-encoded text. Pure.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from urllib.parse import quote

PLACEHOLDER = re.compile(r"\{([a-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)\}", re.ASCII)

# A number of an ERP or of ours: no exponent, so that nobody has us write a billion digits.
NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)


class Missing(ValueError):
    """A placeholder leads nowhere; root is its first word."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.root = path.partition(".")[0]


class Unfit(ValueError):
    """What a placeholder leads to cannot stand in a path, a query or a header."""


def paths_in(template: object) -> Iterator[str]:
    """Yield the path of every placeholder of a body. Raises ValueError for any other brace."""
    match template:
        case str() if whole := PLACEHOLDER.fullmatch(template):
            yield whole[1]
        case str():
            if "{" in template or "}" in template:
                raise ValueError(template)
        case list() | tuple():
            for item in template:
                yield from paths_in(item)
        case dict():
            for item in template.values():
                yield from paths_in(item)
        case _:  # A number or a boolean.
            return


def parts_in(template: str) -> Iterator[str]:
    """Yield the path of every placeholder of a path. Raises ValueError for any other brace."""
    if re.search(r"[{}]", PLACEHOLDER.sub("", template)):
        raise ValueError(template)
    yield from PLACEHOLDER.findall(template)


def value_at(path: str, values: Mapping[str, object]) -> object:
    """Return what path leads to: keys of tables, numbers of lists. Raises Missing."""
    found: object = values
    for word in path.split("."):
        if isinstance(found, Mapping) and word in found:
            found = found[word]
        elif isinstance(found, list) and word.isdecimal() and int(word) < len(found):
            found = found[int(word)]
        else:
            raise Missing(path)
    return found


def filled(template: object, values: Mapping[str, object]) -> object:
    """Return a body with its placeholders replaced by the values themselves. Raises Missing."""
    match template:
        case str() if whole := PLACEHOLDER.fullmatch(template):
            return value_at(whole[1], values)
        case list():
            return [filled(item, values) for item in template]
        case dict():
            return {key: filled(item, values) for key, item in template.items()}
        case _:
            return template


def filled_path(template: str, values: Mapping[str, object]) -> str:
    """Return a path with its placeholders percent-encoded. Raises Missing or Unfit.

    No value can begin another segment, a query or a fragment, or lead a level up.
    """
    path = PLACEHOLDER.sub(lambda found: quote(text_at(found[1], values), safe=""), template)
    if any(segment in (".", "..") for segment in path.split("/")):
        raise Unfit(template)
    return path


def filled_texts(templates: Mapping[str, str], values: Mapping[str, object]) -> dict[str, str]:
    """Return a query or headers with their placeholders as text. Raises Missing or Unfit."""
    whole = {name: PLACEHOLDER.fullmatch(template) for name, template in templates.items()}
    return {
        name: text_at(found[1], values) if found else templates[name]
        for name, found in whole.items()
    }


def text_at(path: str, values: Mapping[str, object]) -> str:
    """Return what path leads to as one line that is not empty. Raises Missing or Unfit."""
    value = value_at(path, values)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unfit(path)
    text = str(value)
    if not text or not text.isprintable():
        raise Unfit(path)
    return text


def number_in(value: object) -> Decimal | None:
    """Return a number, or text that is one, exactly; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    try:
        return Decimal(value) if NUMBER.fullmatch(str(value)) else None
    except InvalidOperation:
        return None
