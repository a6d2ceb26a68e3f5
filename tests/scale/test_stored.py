import hashlib

import pytest

from tests.scale.front import Accepted
from tests.scale.play import victims_of
from tests.scale.stored import Stored, unstored

GINGER = Accepted("ginger", b'{"order_id":"1"}')
GOCARDLESS = Accepted("gocardless", b'{"events":[{"id":"EV1"},{"id":"EV2"}]}')


def stored(rows: int, *event_ids: str) -> Stored:
    key = ("ginger", hashlib.sha256(GINGER.body).digest())
    return Stored({key: rows}, frozenset(("gocardless", each) for each in event_ids))


@pytest.mark.parametrize(("rows", "missing"), [(0, 2), (1, 1), (2, 0), (3, 0)])
def test_the_same_bytes_answered_twice_are_two_rows(rows: int, missing: int) -> None:
    assert unstored([GINGER, GINGER], stored(rows)) == missing


@pytest.mark.parametrize(("event_ids", "missing"), [((), 2), (("EV1",), 2), (("EV1", "EV2"), 0)])
def test_numbered_events_are_there_once_however_often_they_came(
    event_ids: tuple[str, ...], missing: int
) -> None:
    assert unstored([GOCARDLESS, GOCARDLESS], stored(0, *event_ids)) == missing


def test_everybody_is_killed_once_before_anybody_is_killed_again() -> None:
    victims = victims_of(["web-0", "worker-0", "beat-0"], 5, seed=3)

    assert sorted(victims[:3]) == ["beat-0", "web-0", "worker-0"]
    assert len(victims) == 5
