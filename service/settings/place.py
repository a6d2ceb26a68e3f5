"""Where in the configuration we are, so that a mistake can be named by file and key."""

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from service.errors import Misconfigured

GOT_CHARACTERS_MAX = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file we read, and what values may refer to.

    Relative paths start at folder.
    """

    source: str = "settings"
    folder: Path = Path()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    path: str = ""

    def key(self, name: str) -> "Place":
        return replace(self, path=f"{self.path}.{name}".strip("."))

    def item(self, index: int) -> "Place":
        return replace(self, path=f"{self.path}[{index}]")

    def wrong(self, expected: str, *got: object) -> Misconfigured:
        """Return the error to raise; got is the value found, left out where it may be secret."""
        shown = f", got {_shown(got[0])}" if got else ""
        return Misconfigured(f"{self._prefix}: expected {expected}{shown}")

    def unknown(self, known: Collection[str]) -> Misconfigured:
        """Return the error for a key that nobody knows."""
        name = self.path.rpartition(".")[2]
        near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
        hint = f'did you mean "{near[0]}"?' if near else "known here: " + ", ".join(sorted(known))
        return Misconfigured(f"{self._prefix}: unknown key, {hint}")

    @property
    def _prefix(self) -> str:
        return f"{self.source}: {self.path}" if self.path else self.source


def _shown(value: object) -> str:
    """Return value for a message: as written, and not longer than a line."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= GOT_CHARACTERS_MAX else f"{text[:GOT_CHARACTERS_MAX]}..."
