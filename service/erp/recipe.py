"""A recipe: the steps by which one kind of ERP is told, as a data file that is checked when read.

Built-in ones lie in `recipes/`; anybody may write another. `recipes/tryton-8.toml` explains every
key by its use.
"""

import importlib.resources
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal

from msgspec import field

from service.domain.order import OrderStatus
from service.domain.status import Status
from service.erp.placeholder import PLACEHOLDER, parts_in, paths_in
from service.errors import Misconfigured
from service.settings import NOT_TOML, Endpoint, Expected, Section
from service.settings.place import Place
from service.settings.section import read_section

STEPS_MAX: Final = 4
STATUSES: Final = frozenset({*Status, *OrderStatus})
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}", re.ASCII)
CODE = re.compile(r"[a-z][a-z0-9_]{0,40}", re.ASCII)
HEADER = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)

# What a placeholder may begin with besides `parameters`, `wanted` and the names of earlier steps.
OF_MESSAGE: Final = frozenset({"id", "type", "timestamp", "data"})
SECRETS: Final = frozenset({"password", "token"})
ROOTS: Final = OF_MESSAGE | SECRETS | {"parameters", "wanted", "user"}


class Condition(Section):
    """What must hold of a value: exactly one of equals, among, numbers (one of them), exists.

    statuses restricts it to notifications with one of them. Where it does not hold the attempt
    ends as otherwise says, under code.
    """

    value: str
    equals: object | None = None
    among: tuple[object, ...] | None = None
    numbers: tuple[object, ...] | None = None
    exists: bool | None = None
    statuses: tuple[str, ...] | None = None
    otherwise: Literal["retry", "dead"] = "retry"
    code: str = "answer_unexpected"

    def __post_init__(self) -> None:
        if not PLACEHOLDER.fullmatch(self.value):
            raise Expected('a placeholder such as "{find.result.0.state}"', at="value")
        tests = (self.equals, self.among, self.numbers, self.exists)
        if sum(test is not None for test in tests) != 1:
            raise Expected("exactly one of equals, among, numbers, exists")
        if not CODE.fullmatch(self.code):
            raise Expected("a code of small letters, digits and _", at="code")
        _check_statuses(self.statuses or ())


class Step(Section):
    """One HTTP call and what its JSON answer must look like.

    Where all of done_if holds the ERP has what it should: the rest is left out.
    """

    name: str
    path: str
    method: Literal["GET", "POST", "PUT", "PATCH"] = "POST"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object | None = None
    expect: tuple[Condition, ...] = ()
    done_if: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name in ROOTS:
            raise Expected("a name of small letters that is no word of ours", at="name")
        if not re.fullmatch(r"/[^?#\s]*", self.path) or not self.path.isprintable():
            raise Expected('a path such as "/api/{parameters.database}"', at="path")
        for name, text in self.headers.items():
            if not HEADER.fullmatch(name) or not fits_header(text):
                raise Expected("names and values of header fields", at="headers")

    def shown(self) -> Iterator[str]:
        """Yield the placeholders that end up in a URL. Raises ValueError for other braces."""
        yield from parts_in(self.path)
        yield from paths_in(dict(self.query))

    def hidden(self) -> Iterator[str]:
        """Yield those of headers and body. Raises ValueError for other braces."""
        yield from paths_in([dict(self.headers), self.body])

    def tested(self) -> Iterator[str]:
        """Yield those of conditions. Raises ValueError for other braces."""
        for each in self.expect + self.done_if:
            yield from paths_in([each.value, each.equals, each.numbers, each.among])


class Wanted(Section):
    """What the ERP should come to where the status is one of these; values are {wanted.NAME}.

    book_at restricts it to endpoints that book at this point.
    """

    statuses: tuple[str, ...]
    book_at: Literal["paid", "settled"] | None = None
    values: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_statuses(self.statuses)


class Recipe(Section):
    """Steps for one kind of ERP. Types and statuses that stand nowhere are nothing to it.

    authenticate says what goes into the header `authorization`, or "header" into the one that
    header names: user and password, or token, which are the endpoint's.
    """

    about: str
    types: tuple[str, ...]
    wanted: tuple[Wanted, ...]
    steps: tuple[Step, ...] = field(name="step")
    authenticate: Literal["basic", "bearer", "header", "nothing"] = "nothing"
    header: str | None = None
    parameters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.steps) <= STEPS_MAX:
            raise Expected(f"1 to {STEPS_MAX} steps", at="step")
        if (self.authenticate == "header") != (self.header is not None):
            raise Expected('header, with authenticate = "header" and only there', at="header")
        if self.header is not None and not HEADER.fullmatch(self.header):
            raise Expected("the name of a header field", at="header")
        for index, wanted in enumerate(self.wanted):
            self._check(paths_in(dict(wanted.values)), OF_MESSAGE, at=f"wanted[{index}].values")
        known = ROOTS
        for index, step in enumerate(self.steps):
            if step.name in known:
                raise Expected("a name that is used once", at=f"step[{index}].name")
            at = f"step[{index}]"
            self._check(step.hidden(), known, at=at)
            self._check(step.shown(), known - SECRETS, at=at)
            known = known | {step.name}
            self._check(step.tested(), known - SECRETS, at=at)

    def wanted_at(self, status: object, book_at: str | None) -> Wanted | None:
        """Return what a status asks for, the first that fits."""
        for wanted in self.wanted:
            if status in wanted.statuses and wanted.book_at in (None, book_at):
                return wanted
        return None

    def concerns(self, type: str) -> bool:  # noqa: A002 - the field's name
        return any(fnmatchcase(type, pattern) for pattern in self.types)

    def _check(self, found: Iterator[str], known: frozenset[str], *, at: str) -> None:
        """Raise Expected unless every placeholder begins with a known word and can be filled."""
        try:
            paths = list(found)
        except ValueError as error:
            raise Expected(
                f"braces around a placeholder and nowhere else, got {error}", at=at
            ) from None
        named = {"parameters": set(self.parameters), "wanted": self._wanted_names()}
        for path in paths:
            root, _, name = path.partition(".")
            if root not in known:
                raise Expected(f"placeholders of {', '.join(sorted(known))}, got {root}", at=at)
            if root in named and name not in named[root]:
                raise Expected(f"one of its own {root}, got {path}", at=at)

    def _wanted_names(self) -> set[str]:
        """Return the names that every wanted has."""
        names = [set(each.values) for each in self.wanted]
        return set.intersection(*names) if names else set()


def load_recipe(endpoint: Endpoint, *, folder: Path, place: Place) -> Recipe:
    """Read the recipe of an endpoint and check that the endpoint gives what it asks for.

    folder is where a path in the configuration starts, place the endpoint's there. Raises
    Misconfigured, which names the file at fault.
    """
    recipe = _read(endpoint.recipe or "", folder, place.key("recipe"))
    if "?" in (endpoint.url or ""):
        raise place.key("url").wrong("a URL without a query, since paths are put behind it")
    for name in recipe.parameters:
        if name not in endpoint.parameters:
            raise place.key("parameters").wrong(f"{name}, which the recipe asks for")
    for name in endpoint.parameters:
        if name not in recipe.parameters:
            raise place.key("parameters").key(name).unknown(recipe.parameters)
    asked = {"basic": ("user", "password"), "nothing": ()}.get(recipe.authenticate, ("token",))
    used = {path for step in recipe.steps for path in step.hidden()}
    for key in ("user", "password", "token"):
        if (key in asked or key in used) and not getattr(endpoint, key):
            raise place.key(key).wrong(f"{key}, which the recipe asks for")
    if endpoint.token is not None and not fits_header(endpoint.token.reveal()):
        raise place.key("token").wrong("printable ASCII, since it goes into a header")
    if endpoint.book_at is None and any(wanted.book_at for wanted in recipe.wanted):
        raise place.key("book_at").wrong('"paid" or "settled", which the recipe asks for')
    return recipe


def _check_statuses(statuses: Sequence[str]) -> None:
    for status in statuses:
        if status not in STATUSES:
            raise Expected(f"one of {', '.join(sorted(STATUSES))}, got {status}", at="statuses")


def fits_header(text: str) -> bool:
    """Return whether text is one line that any server understands."""
    return text.isascii() and text.isprintable()


def _read(name: str, folder: Path, place: Place) -> Recipe:
    built_in = importlib.resources.files("service.erp") / "recipes"
    known = sorted(each.name.removesuffix(".toml") for each in built_in.iterdir())
    if name in known:
        file, source = built_in / f"{name}.toml", f"recipe {name}"
    elif name.endswith(".toml"):
        file, source = folder / name, str(folder / name)
    else:
        expected = f'one of {", ".join(known)}, or the path of a recipe such as "erp.toml"'
        raise place.wrong(expected, name)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise place.wrong("a readable recipe in UTF-8", name) from error
    except NOT_TOML as error:
        raise Misconfigured(f"{source}: expected TOML, got: {error}") from error
    return read_section(Recipe, table, Place(source, folder))
