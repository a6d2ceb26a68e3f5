"""A defect as data: the piece of source that it replaces, and the tests that must notice."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parent.parent

# The fourteen that RELIABILITY.md, A.7, names, and those of the rules that money hangs on.
PROMISED = "promised.toml"
HEART = "heart.toml"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A defect: file holds old exactly once, and new stands there instead.

    red names the tests that must fail, each as `path::function`. They fail by an assertion, or
    because something is waited for in vain; fails_by names the exception that the defect raises
    where a test lets none through.
    """

    name: str
    danger: str
    file: str
    old: str
    new: str
    red: tuple[str, ...]
    fails_by: str | None = None

    def planted_in(self, source: str) -> str | None:
        """Return source with the defect, None where the piece is not there exactly once."""
        return source.replace(self.old, self.new) if source.count(self.old) == 1 else None


def mutants(*lists: str) -> list[Mutant]:
    """Return the defects of lists in their order, every one where none is named."""
    tables = [
        table
        for name in lists or (PROMISED, HEART)
        for table in tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))["mutant"]
    ]
    return [Mutant(**table | {"red": tuple(table["red"])}) for table in tables]
