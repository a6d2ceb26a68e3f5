"""An evidence pack: the history of one request, as lines that anyone can check without us.

A line is one JSON object in the form of `history.canonical`. It holds its number in `row`, the
hash of the line before it in `previous` and its own in `sha256`, over all the rest of it, so that
no byte changes without its row being known. The first row says what the pack is about, the last
one ends it; its hash stands for the whole pack and is called the seal.

Hashes show that nothing was changed by itself. Whoever writes the whole pack anew computes them
anew as well: against that stands the seal, written down elsewhere.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from service.domain.history import CHAINED_OF_REQUEST, canonical, chain
from service.domain.strict_json import NotStrict, parse

FORMAT: Final = "settled evidence 1"

Row = Mapping[str, Any]


class Raw(StrEnum):
    """What a pack says of bytes that a provider sent: an event's body or a read's answer."""

    HERE = "here"
    WITHHELD = "withheld"  # kept by us, and left out of this pack
    NOT_KEPT = "not_kept"  # a read that confirmed what we knew: only its hash was kept
    GONE = "gone"  # past its retention: only its hash is left


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

    counts tells how many rows of each sort there are, gone the reads and events of which
    only the hash is left. seal is the hash of the last row in hex, empty where that cannot be read.
    """

    problems: tuple[Problem, ...]
    request_id: str
    counts: Mapping[str, int]
    gone: tuple[str, ...]
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
    their hashes, and each notification against its transition.
    """
    rows, problems = _read(pack)
    story = _Story()
    if not problems:
        problems = [*_told(story, rows)]
    counts: dict[str, int] = {}
    for row in rows:
        what = str(row.get("what"))
        counts[what] = counts.get(what, 0) + 1
    seal = str(rows[-1].get("sha256", "")) if rows else ""
    return Checked(tuple(problems), story.request_id, counts, tuple(story.gone), seal)


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


def _told(story: "_Story", rows: Iterable[Row]) -> Iterator[Problem]:
    for row in rows:
        try:
            wrong = story.tell(row)
        except (KeyError, TypeError, ValueError):
            wrong = "lacks what such a row holds"
        if wrong:
            yield Problem(int(row["row"]), _about(row), wrong)


class _Story:
    """What the rows so far add up to. Each method returns what is wrong with a row, or ""."""

    def __init__(self) -> None:
        self.request_id = ""
        self.gone: list[str] = []
        self._head: Row = {}
        self._sequence = 0
        self._chain = ""
        self._answers: dict[str, str] = {}
        self._untold: dict[int, Row] = {}

    def tell(self, row: Row) -> str:
        if (row["row"] == 1) != (row["what"] == "pack"):
            return "a pack begins with what it is about, once"
        match row["what"]:
            case "pack":
                return self._begin(row)
            case "event":
                return self._hold_bytes(row, "body")
            case "observation":
                return self._observe(row)
            case "transition":
                return self._move(row)
            case "notification":
                return self._notify(row)
            case "attempt":
                return ""
            case "end":
                return self._end()
            case _:
                return "no such sort of row is known"

    def _begin(self, row: Row) -> str:
        if row["format"] != FORMAT:
            return f"another form of pack than {FORMAT!r}"
        self._head = row
        self.request_id = row["id"]
        return ""

    def _observe(self, row: Row) -> str:
        self._answers[row["id"]] = row["answer_sha256"]
        return self._hold_bytes(row, "answer")

    def _hold_bytes(self, row: Row, name: str) -> str:
        """Hold the bytes that a row carries against their hash."""
        state = Raw(row[f"{name}_is"])
        if state is Raw.GONE:
            self.gone.append(row["id"])
        if (state is Raw.HERE) != (name in row):
            return f"says that its {name} is {state}, which is not so"
        if state is not Raw.HERE:
            return ""
        content = base64.b64decode(row[name], validate=True)
        if hashlib.sha256(content).hexdigest() != row[f"{name}_sha256"]:
            return f"its {name} does not have its hash"
        return ""

    def _move(self, row: Row) -> str:
        expected, self._sequence = self._sequence + 1, row["sequence"]
        before, self._chain = self._chain, row["hash"]
        self._untold[row["sequence"]] = row
        content = {name: row[name] for name in CHAINED_OF_REQUEST}
        if row["subject_id"] != self.request_id:
            return f"is no transition of {self.request_id}"
        if row["sequence"] != expected:
            return f"a gap: sequence {expected} was to follow"
        if row["chained_from"] != before:
            return "not chained to the transition before it"
        if chain(bytes.fromhex(before), content).hex() != row["hash"]:
            return "does not have the hash that it is chained with"
        if self._answers.get(row["observation_id"]) != row["answer_sha256"]:
            return "the read that it rests on is missing or another"
        return ""

    def _notify(self, row: Row) -> str:
        """Hold what the ERP was told against what was recorded."""
        body = str.encode(row["body"])
        message = parse(body)
        transition = self._untold.pop(row["sequence"], None)
        if hashlib.sha256(body).hexdigest() != row["body_sha256"]:
            return "its body does not have its hash"
        if transition is None:
            return "tells of no transition in this pack"
        if not isinstance(message, dict) or message["id"] != row["id"]:
            return "its body is another notification's"
        data, after = message["data"], transition["after"]
        told = (message["type"], data["request_id"], data["sequence"], data["status"])
        if told != (transition["type"], self.request_id, row["sequence"], after["status"]):
            return "tells something else than its transition"
        return ""

    def _end(self) -> str:
        if (self._head["sequence"], self._head["chain"]) != (self._sequence, self._chain):
            return f"the request stood at sequence {self._head['sequence']}, of which rows are gone"
        if self._untold:
            return f"no notification of sequence {min(self._untold)}"
        return ""
