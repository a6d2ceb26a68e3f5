"""An evidence pack that somebody wrote anew: every row holds its hash, whatever it tells."""

import base64
import hashlib
import json
from typing import Any

from service.domain.evidence import check_pack, write_pack
from service.domain.evidence_story import FORMAT
from service.domain.history import CHAINED_OF_REQUEST, chain
from service.domain.strict_json import NotStrict, parse
from tests.fuzz.target import Target, joined, parts_of

REQUEST = "prq_1"
ANSWER = b'{"status": "completed"}'
Row = dict[str, Any]


def targets() -> dict[str, Target]:
    rows = _rows()
    return {"evidence": Target(_evidence, [_seed(rows), _seed(rows[:1]), _seed(rows[:3])])}


def _evidence(data: bytes) -> None:
    """Rows of any content, in a pack of the right form: each is judged, and none raises."""
    rows = []
    for part in parts_of(data):
        try:
            row = parse(part)
        except NotStrict:
            continue
        if isinstance(row, dict):
            rows.append(row)
    try:
        pack = b"".join(write_pack(rows))
    except TypeError:  # a number with decimals: no row has one
        return
    checked = check_pack(pack)
    assert all(problem.about.isprintable() for problem in checked.problems)
    assert check_pack(pack[:-1]).problems


def _seed(rows: list[Row]) -> bytes:
    """Return rows as the parts of one input; they are numbered and hashed when it is run."""
    return joined(*(json.dumps(row).encode() for row in rows))


def _rows() -> list[Row]:
    """The rows of a request that was read once and found paid."""
    answer_sha256 = hashlib.sha256(ANSWER).hexdigest()
    moved: Row = {
        "subject_id": REQUEST,
        "sequence": 1,
        "type": "payment_request.paid",
        "before": None,
        "after": {"status": "paid"},
        "correction": False,
        "observed_by": "webhook",
        "answer_sha256": answer_sha256,
        "lease_no": 1,
        "version": None,
        "occurred_at": None,
        "recorded_at": "2026-11-20T14:31:02.000Z",
    }
    moved_hash = chain(b"", {name: moved[name] for name in CHAINED_OF_REQUEST}).hex()
    data = {"request_id": REQUEST, "sequence": 1, "status": "paid"}
    body = json.dumps({"id": "ntf_1", "type": moved["type"], "data": data})
    return [
        {"what": "pack", "format": FORMAT, "id": REQUEST, "sequence": 1, "chain": moved_hash},
        {
            "what": "observation",
            "id": "obs_1",
            "answer_is": "here",
            "answer": base64.b64encode(ANSWER).decode(),
            "answer_sha256": answer_sha256,
        },
        {
            "what": "transition",
            **moved,
            "observation_id": "obs_1",
            "chained_from": "",
            "hash": moved_hash,
        },
        {
            "what": "notification",
            "id": "ntf_1",
            "subject_id": REQUEST,
            "sequence": 1,
            "body": body,
            "body_sha256": hashlib.sha256(body.encode()).hexdigest(),
        },
    ]
