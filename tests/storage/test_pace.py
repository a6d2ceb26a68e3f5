"""What a call has to expect follows from the last batch and the one in hand."""

from service.storage.pace import Pace


def test_nothing_is_expected_to_take_long_before_anything_did() -> None:
    assert Pace().expected_seconds(5, now=1_000.0) == 0.0


def test_batches_are_expected_to_take_as_long_as_the_last_one() -> None:
    pace = Pace()
    pace.begin(10.0)
    pace.end(10.5, is_stored=True)

    assert pace.expected_seconds(4, now=99.0) == 2.0


def test_what_is_left_of_the_one_in_hand_comes_first() -> None:
    pace = Pace()
    pace.begin(10.0)
    pace.end(10.5, is_stored=True)
    pace.begin(20.0)

    assert pace.expected_seconds(2, now=20.0) == 1.5
    assert pace.expected_seconds(2, now=20.25) == 1.25
    assert pace.expected_seconds(2, now=20.5) == 1.0


def test_one_in_hand_that_takes_longer_than_the_last_one_takes_as_long_again() -> None:
    pace = Pace()
    pace.begin(10.0)
    pace.end(10.5, is_stored=True)
    pace.begin(20.0)

    assert pace.expected_seconds(2, now=21.0) == 2.0


def test_only_a_batch_that_is_stored_makes_a_slow_one_forgotten() -> None:
    pace = Pace()
    pace.begin(10.0)
    pace.end(13.0, is_stored=False)
    pace.begin(13.0)
    pace.end(13.25, is_stored=False)
    assert pace.expected_seconds(1, now=14.0) == 3.0

    pace.begin(14.0)
    pace.end(14.25, is_stored=True)
    assert pace.expected_seconds(1, now=15.0) == 0.25
