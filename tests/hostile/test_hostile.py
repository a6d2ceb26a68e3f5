"""That the attacks can tell a receiver that holds from one that does not."""

import shutil
from pathlib import Path

import pytest

from service.embedded import Urls
from tests.hostile import addresses
from tests.hostile.provider import Provider
from tests.hostile.site import Site
from tests.hostile.timing import alternated, compare
from tests.hostile.told import Told, percentile, statuses_in


def test_samples_of_the_same_kind_cannot_be_told_apart() -> None:
    ones = [float(number) for number in range(400)]

    found = compare(ones, ones)

    assert found.effect == pytest.approx(0.5)
    assert found.p == pytest.approx(1.0)


def test_a_sample_that_is_slower_by_a_little_every_time_is_told_apart() -> None:
    ones = [number / 1e6 for number in range(1_000, 1_400)]

    found = compare([one + 50e-6 for one in ones], ones)

    assert found.effect > 0.6
    assert found.p < 0.001
    assert found.first_us - found.second_us == pytest.approx(50)


def test_attempts_are_taken_in_an_order_that_is_drawn_and_as_often() -> None:
    taken: list[int] = []

    alternated(taken.append, 1, 2, each=50)

    assert sorted(taken) == [1] * 50 + [2] * 50
    assert taken not in ([1, 2] * 50, sorted(taken))


def test_every_answer_on_a_connection_is_counted_and_none_in_a_body() -> None:
    answers = b'HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n"no HTTP/1.1 here"'

    assert statuses_in(answers) == [204, 400]


def test_a_line_says_whether_the_attack_was_held_off() -> None:
    assert str(Told("a", True, {"calls": 7, "ms": 1.25})) == "holds attack=a calls=7 ms=1.2"
    assert str(Told("a", False, {})).startswith("FAILS ")


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert percentile([], 0.99) == 0.0


def test_no_spelling_of_an_inner_address_is_connected_to() -> None:
    (told,) = addresses.attack()

    assert told.holds, told
    assert told.counts["connects_to_blocked"] == 0


def test_the_logs_of_an_attack_are_kept_when_its_folder_is_gone(tmp_path: Path) -> None:
    (folder := tmp_path / "site").mkdir()
    (folder / "data").mkdir()
    (folder / "web.log").write_text("Traceback")
    (folder / "data" / "postgres.log").write_text("FATAL")
    site = Site(folder, 0, 0, "", Urls("", ""), Provider())

    kept = site.keep_logs("slow", tmp_path)
    shutil.rmtree(folder)

    assert kept.name.startswith("settled-hostile-slow-")
    assert {log.name: log.read_text() for log in kept.iterdir()} == {
        "web.log": "Traceback",
        "postgres.log": "FATAL",
    }
