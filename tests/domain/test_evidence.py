"""A pack checks itself: each byte of it, and what its rows say of each other."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.domain.evidence import check_pack, write_pack
from service.domain.evidence_story import FORMAT
from service.domain.history import CHAINED_OF_REQUEST, canonical, chain

Rows = list[dict[str, Any]]

ANSWER = b'{"customer": {"last_name": "J\xc3\xb8rgensen"}}'


def transition(sequence: int, status: str, previous: str = "") -> dict[str, Any]:
    """The transition of prq_1 to a status, chained to the hash of the one before it."""
    row: dict[str, Any] = {
        "what": "transition",
        "id": f"trn_{sequence}",
        "subject_id": "prq_1",
        "sequence": sequence,
        "type": f"payment_request.{status}",
        "before": None,
        "after": {"status": status, "reason": "geweigerd: één keer"},
        "correction": False,
        "observed_by": "webhook",
        "observation_id": f"obs_{sequence}",
        "answer_sha256": hashlib.sha256(ANSWER).hexdigest(),
        "lease_no": sequence,
        "version": 1_795_000_000_000_000,
        "occurred_at": None,
        "recorded_at": "2026-11-20T14:31:02.418Z",
        "chained_from": previous,
    }
    content = {name: row[name] for name in CHAINED_OF_REQUEST}
    return row | {"hash": chain(bytes.fromhex(previous), content).hex()}


def observation(sequence: int, **changed: object) -> dict[str, Any]:
    row = {
        "what": "observation",
        "id": f"obs_{sequence}",
        "answer_sha256": hashlib.sha256(ANSWER).hexdigest(),
        "answer_is": "here",
        "answer": base64.b64encode(ANSWER).decode(),
    }
    return {name: value for name, value in (row | changed).items() if value is not None}


def notification(sequence: int, status: str, **changed: object) -> dict[str, Any]:
    data = {"request_id": "prq_1", "sequence": sequence, "status": status}
    message = {"type": f"payment_request.{status}", "id": f"ntf_{sequence}", "data": data}
    body = json.dumps(message)
    row = {
        "what": "notification",
        "id": f"ntf_{sequence}",
        "subject_id": "prq_1",
        "sequence": sequence,
        "body": body,
        "body_sha256": hashlib.sha256(body.encode()).hexdigest(),
    }
    return row | changed


def story() -> Rows:
    """The rows of a request that was opened and paid."""
    opened = transition(1, "open")
    paid = transition(2, "paid", opened["hash"])
    about = {"format": FORMAT, "id": "prq_1", "sequence": 2, "chain": paid["hash"]}
    return [
        {"what": "pack", **about},
        {
            "what": "event",
            "id": "evt_1",
            "body_sha256": hashlib.sha256(b"{}").hexdigest(),
            "body_is": "here",
            "body": "e30=",
        },
        observation(1),
        observation(2, answer=None, answer_is="withheld"),
        opened,
        paid,
        notification(1, "open"),
        notification(2, "paid"),
        {"what": "attempt", "notification_id": "ntf_1", "outcome": "delivered"},
    ]


def packed(rows: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(write_pack(rows))


PACK = packed(story())


def row_at(position: int) -> int:
    """Return the number of the row that the byte at a position of PACK belongs to."""
    return PACK.count(b"\n", 0, position) + 1


def flipped(position: int, mask: int) -> bytes:
    return PACK[:position] + bytes([PACK[position] ^ mask]) + PACK[position + 1 :]


def test_a_pack_is_good_as_it_was_written() -> None:
    checked = check_pack(PACK)

    assert checked.problems == ()
    assert (checked.request_id, checked.redacted) == ("prq_1", ())
    assert checked.counts["transition"] == 2
    assert checked.seal == json.loads(PACK.splitlines()[-1])["sha256"]


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_one_bit_of_each_byte_flipped_is_found_in_its_row(mask: int) -> None:
    for position in range(len(PACK)):
        problems = check_pack(flipped(position, mask)).problems

        assert problems, position
        assert problems[0].row == row_at(position), position


@settings(max_examples=2000)
@given(position=st.integers(0, len(PACK) - 1), mask=st.integers(1, 255))
@example(position=PACK.index(b"\n"), mask=ord("\n") ^ ord(" "))
@example(position=len(PACK) - 1, mask=0xFF)
def test_any_byte_changed_in_any_way_is_found_in_its_row(position: int, mask: int) -> None:
    problems = check_pack(flipped(position, mask)).problems

    assert [problem.row for problem in problems][:1] == [row_at(position)]


def test_a_pack_that_was_cut_off_anywhere_is_found_where_it_was() -> None:
    for cut in range(len(PACK)):
        assert check_pack(PACK[:cut]).problems[-1].row == row_at(cut), cut


@pytest.mark.parametrize("more", [b" ", b"\n", b"{}\n", PACK])
def test_what_stands_behind_the_end_is_found(more: bytes) -> None:
    assert check_pack(PACK + more).problems[0].row == len(PACK.splitlines()) + 1


@pytest.mark.parametrize(("old", "new"), [(b'"row":2', b'"row": 2'), ("é".encode(), b"\\u00e9")])
def test_a_row_that_says_the_same_in_other_bytes_is_found(old: bytes, new: bytes) -> None:
    (problem,) = check_pack(PACK.replace(old, new, 1)).problems

    assert problem.row == row_at(PACK.index(old))


def test_every_changed_row_is_named_and_no_other() -> None:
    lines = PACK.splitlines(keepends=True)
    for index in (3, 5):
        lines[index] = lines[index].replace(b"obs_", b"obs-")

    problems = check_pack(b"".join(lines)).problems

    assert [problem.row for problem in problems] == [4, 6]
    assert str(problems[1]) == "row 6 (transition 2 trn_2): changed since it was written"


@given(st.binary(max_size=200))
def test_what_is_no_pack_is_told_so(content: bytes) -> None:
    assert check_pack(content).problems


def test_a_row_taken_out_or_moved_is_found_where_it_was() -> None:
    lines = PACK.splitlines(keepends=True)

    without = check_pack(b"".join(lines[:3] + lines[4:])).problems
    swapped = check_pack(b"".join([*lines[:3], lines[4], lines[3], *lines[5:]])).problems

    assert str(without[0]) == "row 4 (transition 1 trn_1): is row 5 of what was written"
    assert [problem.row for problem in swapped] == [4, 5, 6]


def without(index: int) -> Callable[[Rows], None]:
    return lambda rows: rows.__delitem__(index)


def replaced(index: int, **changed: object) -> Callable[[Rows], None]:
    return lambda rows: rows[index].update(changed)


def rechained(rows: Rows) -> None:
    """Change what the first transition says and give it a hash that fits."""
    opened = transition(1, "open") | {"correction": True}
    content = {name: opened[name] for name in CHAINED_OF_REQUEST}
    rows[4] = opened | {"hash": chain(b"", content).hex()}


OTHER = base64.b64encode(b"other").decode()


@pytest.mark.parametrize(
    ("forge", "row", "words"),
    [
        (replaced(0, format="other"), 1, "another form of pack"),
        (without(0), 1, "begins with"),
        (replaced(1, body=OTHER), 2, "its body does not have its hash"),
        (replaced(1, body_is="redacted"), 2, "says that its body is redacted"),
        (replaced(1, body_is="lost"), 2, "lacks what such a row holds"),
        (replaced(1, body="not base64"), 2, "lacks what such a row holds"),
        (replaced(2, answer=OTHER), 3, "its answer does not have its hash"),
        (replaced(3, answer_is="here"), 4, "says that its answer is here"),
        (replaced(3, what="guess"), 4, "no such sort"),
        (replaced(3, answer_sha256="00" * 32), 6, "the read that it rests on"),
        (without(3), 5, "the read that it rests on"),
        (replaced(4, after={"status": "paid"}), 5, "does not have the hash"),
        (replaced(4, recorded_at="2026-11-20T14:31:02.419Z"), 5, "does not have the hash"),
        (replaced(4, subject_id="prq_2"), 5, "is no transition of prq_1"),
        (replaced(4, hash=1), 5, "does not have the hash"),
        (rechained, 6, "not chained to the transition before it"),
        (without(4), 5, "a gap: sequence 1 was to follow"),
        (replaced(6, body="{}"), 7, "its body does not have its hash"),
        (replaced(6, **notification(1, "paid")), 7, "tells something else than its transition"),
        (replaced(6, id="ntf_3"), 7, "another notification's"),
        (replaced(7, sequence=3), 8, "tells of no transition"),
        (without(7), 9, "no notification of sequence 2 of prq_1"),
        (replaced(0, sequence=3), 10, "prq_1 stood at sequence 3"),
        (replaced(0, chain="00" * 32), 10, "of which rows are gone"),
    ],
)
def test_a_forged_pack_with_fitting_row_hashes_is_named_by_its_row(
    forge: Callable[[Rows], None], row: int, words: str
) -> None:
    rows = story()
    forge(rows)

    problem = check_pack(packed(rows)).problems[0]

    assert problem.row == row
    assert words in problem.what


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18) + 1, 10**18 - 1) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


@given(data=st.data(), value=ANY_JSON)
def test_whatever_a_forged_row_holds_ends_in_an_answer(data: st.DataObject, value: object) -> None:
    rows = story()
    row = data.draw(st.sampled_from(rows))
    name = data.draw(st.sampled_from(sorted(row)))
    row[name] = value

    checked = check_pack(packed(rows))

    assert all(str(problem).startswith("row ") for problem in checked.problems)


def test_reads_past_their_retention_are_listed_and_the_chain_still_holds() -> None:
    rows = story()
    rows[2:4] = [observation(number, answer=None, answer_is="redacted") for number in (1, 2)]

    checked = check_pack(packed(rows))

    assert (checked.problems, checked.redacted) == ((), ("obs_1", "obs_2"))


DROPPED_BEFORE = "2026-10-01T00:00:00.000Z"


def cut_after(rows: Rows, dropped: int, **changed: object) -> Rows:
    """Return the rows as they are once the first transitions are past their retention."""
    kept = [row for row in rows if row.get("sequence", 9) > dropped or row["what"] == "pack"]
    (last,) = [r for r in rows if r["what"] == "transition" and r["sequence"] == dropped]
    kept_from = {
        "sequence": dropped + 1,
        "chained_from": last["hash"],
        "dropped_before": DROPPED_BEFORE,
    }
    kept[0] = kept[0] | {"kept_from": kept_from | changed}
    return kept


@pytest.mark.parametrize("dropped", [1, 2])
def test_a_history_may_begin_where_the_pack_says_that_what_came_before_is_dropped(
    dropped: int,
) -> None:
    checked = check_pack(packed(cut_after(story(), dropped)))

    assert (checked.problems, checked.cut) == ((), {"prq_1": dropped + 1})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sequence": 1}, "a gap: sequence 1 was to follow"),
        ({"sequence": 3}, "a gap: sequence 3 was to follow"),
        ({"chained_from": "00" * 32}, "not chained to the transition before it"),
        ({"dropped_before": "2026-11-21T00:00:00.000Z"}, "before which all was dropped"),
    ],
)
def test_a_beginning_that_is_not_where_retention_put_it_is_named(
    changed: dict[str, object], words: str
) -> None:
    problem = check_pack(packed(cut_after(story(), 1, **changed))).problems[0]

    assert problem.about.startswith("transition 2")
    assert words in problem.what


def order_story() -> Rows:
    """The same with the order of the request, which was paid with it."""
    content = {
        "subject_id": "ord_1",
        "sequence": 1,
        "type": "order.paid",
        "before": None,
        "after": {"status": "paid"},
        "observed_by": "webhook",
        "recorded_at": "2026-11-20T14:31:02.418Z",
    }
    paid: dict[str, Any] = {
        "what": "transition",
        "id": "trn_o",
        "chained_from": "",
        "observation_id": None,
    }
    paid |= content | {"hash": chain(b"", content).hex()}
    body = json.dumps(
        {
            "type": "order.paid",
            "id": "ntf_o",
            "data": {"order_id": "ord_1", "sequence": 1, "status": "paid"},
        }
    )
    told = notification(1, "paid", id="ntf_o", subject_id="ord_1", body=body)
    told["body_sha256"] = hashlib.sha256(body.encode()).hexdigest()
    about = {"what": "order", "id": "ord_1", "sequence": 1, "chain": paid["hash"]}
    rows = story()
    return [rows[0], about, *rows[1:], paid, told]


def test_the_order_of_a_request_is_checked_with_it() -> None:
    checked = check_pack(packed(order_story()))

    assert checked.problems == ()
    assert (checked.counts["transition"], checked.counts["order"]) == (3, 1)


@pytest.mark.parametrize(
    ("forge", "row", "words"),
    [
        (replaced(10, after={"status": "part_paid"}), 11, "does not have the hash"),
        (replaced(10, sequence=2), 11, "a gap: sequence 1 was to follow"),
        (replaced(11, subject_id="prq_1"), 12, "tells of no transition"),
        (without(11), 12, "no notification of sequence 1 of ord_1"),
        (replaced(1, sequence=2), 13, "ord_1 stood at sequence 2"),
        (without(1), 10, "is no transition of prq_1"),
        (replaced(1, id="prq_1"), 2, "another order than the one before"),
    ],
)
def test_a_forged_order_is_named_by_its_row(
    forge: Callable[[Rows], None], row: int, words: str
) -> None:
    rows = order_story()
    forge(rows)

    problem = check_pack(packed(rows)).problems[0]

    assert (problem.row, words in problem.what) == (row, True)


def test_a_row_is_in_the_form_that_jq_writes() -> None:
    """So that anyone can compute a row's hash: jq -cS 'del(.sha256)', without the line's end."""
    for line in PACK.splitlines():
        row = json.loads(line)
        sha256 = row.pop("sha256")

        assert hashlib.sha256(canonical(row)).hexdigest() == sha256
