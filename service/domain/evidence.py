"""An evidence pack: the history of one request and its order, as lines that anyone can check.

A line is one JSON object in the form of `history.canonical`. It holds its number in `row`, the
hash of the line before it in `previous` and its own in `sha256`, over all the rest of it, so that
no byte changes without its row being known. The first row says what the pack is about, the last
one ends it; its hash stands for the whole pack and is called the seal.

Hashes show that nothing was changed by itself. Whoever writes the whole pack anew computes them
anew as well: against that stands the seal, written down elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from service.domain.evidence_story import Row, Story
from service.domain.history import canonical, chain
from service.domain.strict_json import NotStrict, parse


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a row; about names what the row says it is, where that can be read."""

    row: int
    about: str
    what: str

    def __str__(self) -> str:
        return f"row {self.row}{self.about and f' ({self.about})'}: {self.what}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check came to: a good pack has no problems.

    counts tells how many rows of each sort there are, redacted the reads and events of which only
    the hash is left. cut says, by subject, at which sequence what is kept of its history begins,
    where that is not the first. seal is the hash of the last row in hex, empty where that cannot
    be read.
    """

    problems: tuple[Problem, ...]
    request_id: str
    counts: Mapping[str, int]
    redacted: tuple[str, ...]
    cut: Mapping[str, int]
    seal: str


def write_pack(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield the lines of a pack of rows, and the row that ends it."""
    previous = ""
    for number, content in enumerate((*rows, {"what": "end"}), start=1):
        line, previous = _line({**content, "row": number, "previous": previous})
        yield line


def check_pack(pack: bytes) -> Checked:
    """Check a pack: that each row is as it was written, and that the rows agree with each other.

    Every row that was changed is named. Only where none was, the history in them is checked:
    sequence without gaps, each transition chained to the one before, answers and bodies against
    their hashes, and each notification against its transition. Rows may be missing from the
    beginning of a history alone, and only where the pack says since when they are dropped.
    """
    rows, problems = _read(pack)
    story = Story()
    if not problems:
        problems = [*_told(story, rows)]
    counts: dict[str, int] = {}
    for row in rows:
        what = str(row.get("what"))
        counts[what] = counts.get(what, 0) + 1
    seal = str(rows[-1].get("sha256", "")) if rows else ""
    return Checked(
        tuple(problems), story.request_id, counts, tuple(story.redacted), story.cut, seal
    )


def _line(content: Row) -> tuple[bytes, str]:
    sha256 = chain(b"", content).hex()
    return canonical({**content, "sha256": sha256}) + b"\n", sha256


def _read(pack: bytes) -> tuple[list[Row], list[Problem]]:
    """Return the rows that can be read, and what is wrong with any as it stands in the file."""
    *lines, rest = pack.split(b"\n")
    rows: list[Row] = []
    problems: list[Problem] = []
    previous: object = ""
    for number, line in enumerate(lines, start=1):
        row = _row_in(line)
        problem = _problem_of(row, line, number, previous)
        if problem:
            problems.append(Problem(number, _about(row), problem))
        previous = row.get("sha256")
        rows.append(row)
    if rest:
        problems.append(Problem(len(lines) + 1, "", "its line does not end"))
    elif not rows or rows[-1].get("what") != "end":
        problems.append(Problem(len(lines) + 1, "", "missing: this pack does not end"))
    return rows, problems


def _row_in(line: bytes) -> Row:
    """Return the row in a line, an empty one where there is none."""
    try:
        row = parse(line)
    except NotStrict:
        return {}
    return row if isinstance(row, dict) else {}


def _problem_of(row: Row, line: bytes, number: int, previous: object) -> str:
    """Return what is wrong with a row by itself, "" when nothing is."""
    content = {name: value for name, value in row.items() if name != "sha256"}
    try:
        written, sha256 = _line(content)
    except TypeError:  # a number with decimals: no row has one
        written, sha256 = b"", ""
    if written != line + b"\n" or row.get("sha256") != sha256:
        return "changed since it was written"
    if row.get("row") != number:
        return f"is row {row.get('row')} of what was written"
    if previous is not None and row.get("previous") != previous:
        return "does not follow the row before it"
    return ""


def _about(row: Row) -> str:
    """Return what a row says it is, as far as it may be shown: it may be anybody's text."""
    words = [row.get("what"), row.get("sequence"), row.get("id")]
    shown = " ".join(str(word) for word in words if isinstance(word, str | int))[:80]
    return shown if shown.isprintable() else ""


def _told(story: Story, rows: Iterable[Row]) -> Iterator[Problem]:
    for row in rows:
        try:
            wrong = story.tell(row)
        except (KeyError, TypeError, ValueError):
            wrong = "lacks what such a row holds"
        if wrong:
            yield Problem(int(row["row"]), _about(row), wrong)
