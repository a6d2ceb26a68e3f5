"""What the rows of an evidence pack tell, and whether they agree with each other."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from service.domain.history import CHAINED_OF_ORDER, CHAINED_OF_REQUEST, chain
from service.domain.strict_json import parse

FORMAT: Final = "settled evidence 1"

Row = Mapping[str, Any]


class Raw(StrEnum):
    """What a pack says of bytes that a provider sent: an event's body or a read's answer."""

    HERE = "here"
    WITHHELD = "withheld"  # kept by us, and left out of this pack
    NOT_KEPT = "not_kept"  # a read that confirmed what we knew: only its hash was kept
    REDACTED = "redacted"  # past its retention: only its hash is left


@dataclass(slots=True)
class _Subject:
    """A request or an order, and what the rows so far tell of it.

    head is the row that says where it stands, sequence and chain are those of its last transition
    so far; untold holds the transitions without a notification so far.
    """

    head: Row
    sequence: int
    chain: str
    untold: dict[int, Row] = field(default_factory=dict)


class Story:
    """What the rows so far add up to. Each method returns what is wrong with a row, or ""."""

    def __init__(self) -> None:
        self.request_id = ""
        self.redacted: list[str] = []
        self.cut: dict[str, int] = {}
        self._subjects: dict[str, _Subject] = {}
        self._answers: dict[str, str] = {}

    def tell(self, row: Row) -> str:
        if (row["row"] == 1) != (row["what"] == "pack"):
            return "a pack begins with what it is about, once"
        match row["what"]:
            case "pack":
                return self._begin(row)
            case "order":
                return self._introduce(row)
            case "event":
                return self._hold_bytes(row, "body")
            case "observation":
                return self._observe(row)
            case "transition":
                return self._move(row)
            case "notification":
                return self._notify(row)
            case "attempt" | "act":
                return ""
            case "end":
                return self._end()
            case _:
                return "no such sort of row is known"

    def _begin(self, row: Row) -> str:
        if row["format"] != FORMAT:
            return f"another form of pack than {FORMAT!r}"
        self.request_id = row["id"]
        return self._introduce(row)

    def _introduce(self, row: Row) -> str:
        """Take up a request or an order, whose history may begin after what was dropped."""
        if row["id"] in self._subjects or (row["what"] == "order" and len(self._subjects) > 1):
            return "another order than the one before"
        before, chained_from = 0, ""
        kept_from = row.get("kept_from")
        if kept_from is not None:
            before, chained_from = kept_from["sequence"] - 1, kept_from["chained_from"]
            self.cut[row["id"]] = kept_from["sequence"]
        self._subjects[row["id"]] = _Subject(row, before, chained_from)
        return ""

    def _observe(self, row: Row) -> str:
        self._answers[row["id"]] = row["answer_sha256"]
        return self._hold_bytes(row, "answer")

    def _hold_bytes(self, row: Row, name: str) -> str:
        """Hold the bytes that a row carries against their hash."""
        state = Raw(row[f"{name}_is"])
        if state is Raw.REDACTED:
            self.redacted.append(row["id"])
        if (state is Raw.HERE) != (name in row):
            return f"says that its {name} is {state}, which is not so"
        if state is not Raw.HERE:
            return ""
        content = base64.b64decode(row[name], validate=True)
        if hashlib.sha256(content).hexdigest() != row[f"{name}_sha256"]:
            return f"its {name} does not have its hash"
        return ""

    def _move(self, row: Row) -> str:
        subject = self._subjects.get(row["subject_id"])
        if subject is None:
            return f"is no transition of {' or '.join(self._subjects)}"
        of_request = row["subject_id"] == self.request_id
        chained = CHAINED_OF_REQUEST if of_request else CHAINED_OF_ORDER
        expected, subject.sequence = subject.sequence + 1, row["sequence"]
        before, subject.chain = subject.chain, row["hash"]
        subject.untold[row["sequence"]] = row
        kept_from = subject.head.get("kept_from")
        if row["sequence"] != expected:
            return f"a gap: sequence {expected} was to follow"
        if row["chained_from"] != before:
            return "not chained to the transition before it"
        if chain(bytes.fromhex(before), {name: row[name] for name in chained}).hex() != row["hash"]:
            return "does not have the hash that it is chained with"
        if of_request and self._answers.get(row["observation_id"]) != row["answer_sha256"]:
            return "the read that it rests on is missing or another"
        if kept_from is not None and row["recorded_at"] < kept_from["dropped_before"]:
            return f"is older than {kept_from['dropped_before']}, before which all was dropped"
        return ""

    def _notify(self, row: Row) -> str:
        """Hold what the ERP was told against what was recorded."""
        body = str.encode(row["body"])
        message = parse(body)
        subject = self._subjects.get(row["subject_id"])
        transition = subject.untold.pop(row["sequence"], None) if subject else None
        if hashlib.sha256(body).hexdigest() != row["body_sha256"]:
            return "its body does not have its hash"
        if transition is None:
            return "tells of no transition in this pack"
        if not isinstance(message, dict) or message["id"] != row["id"]:
            return "its body is another notification's"
        data, after = message["data"], transition["after"]
        named = "request_id" if row["subject_id"] == self.request_id else "order_id"
        told = (message["type"], data[named], data["sequence"], data["status"])
        if told != (transition["type"], row["subject_id"], row["sequence"], after["status"]):
            return "tells something else than its transition"
        return ""

    def _end(self) -> str:
        for name, subject in self._subjects.items():
            stood = (subject.head["sequence"], subject.head["chain"])
            if stood != (subject.sequence, subject.chain):
                return f"{name} stood at sequence {stood[0]}, of which rows are gone"
            if subject.untold:
                return f"no notification of sequence {min(subject.untold)} of {name}"
        return ""
