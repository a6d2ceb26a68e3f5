"""Identifiers tell when they were made, and sort by it."""

from datetime import UTC, datetime, timedelta

import pytest

from service.storage.identifiers import first_id, is_identifier, new_id, new_ids, time_in

AT = datetime(2026, 11, 20, 14, 31, 2, 418_000, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def test_an_identifier_tells_when_it_was_made() -> None:
    before = datetime.now(UTC)
    made_at = time_in(new_id("evt"))

    assert made_at is not None
    assert before - MILLISECOND < made_at <= datetime.now(UTC)


def test_identifiers_made_at_once_differ_in_their_random_part_alone() -> None:
    made = new_ids("evt", 1_000)

    assert len(set(made)) == 1_000
    assert len({time_in(each) for each in made}) == 1
    assert all(is_identifier(each) for each in made)
    assert set("".join(each[14:] for each in made)) == set("0123456789abcdefghjkmnpqrstvwxyz")


def test_the_first_of_a_time_sorts_between_those_before_and_those_after() -> None:
    ids = [first_id("dlv", AT + number * MILLISECOND) for number in (-1, 0, 1)]

    assert ids == sorted(ids)
    assert [time_in(each) for each in ids] == [AT - MILLISECOND, AT, AT + MILLISECOND]
    assert first_id("dlv", datetime(1960, 1, 1, tzinfo=UTC)) < ids[0] < new_id("dlv")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "evt_1",
        "evt_" + "u" * 26,
        "evt_" + "1" * 27,
        "EVT_" + "1" * 26,
        "evt_" + "z" * 26,
        "\x00",
    ],
)
def test_what_is_no_identifier_of_ours_tells_nothing(text: str) -> None:
    assert time_in(text) is None
