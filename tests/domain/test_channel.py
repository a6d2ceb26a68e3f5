"""When a channel counts as silent: told by changes alone, never by time."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.channel import (
    Channel,
    Silence,
    calls_for_a_webhook,
    silence_of,
    untold_since,
)
from service.domain.request import Facts
from service.domain.status import Status
from tests.builders import facts

ADDED = datetime(2026, 11, 20, 12, tzinfo=UTC)
LIMIT = 3


def at(minute: int) -> datetime:
    return ADDED + timedelta(minutes=minute)


def channel(*untold: int, heard: int | None = None) -> Channel:
    """A channel by the minutes of its untold changes and of its last webhook."""
    return Channel(ADDED, None if heard is None else at(heard), [at(minute) for minute in untold])


@dataclass
class Account:
    """An account as a story: what happened there, and how it is judged after each step."""

    heard_at: datetime | None = None
    untold: list[datetime] = field(default_factory=list)
    in_a_row: int = 0

    def judged(self) -> Silence | None:
        return silence_of(Channel(ADDED, self.heard_at, self.untold), silent_changes=LIMIT)


@pytest.mark.parametrize(
    ("known", "silence"),
    [
        (channel(), None),
        (channel(heard=1), None),
        (channel(1, 2), None),
        (channel(1, 2, 3), Silence.NEVER_HEARD),
        (channel(2, 3, heard=1), None),
        (channel(2, 3, 4, heard=1), Silence.STOPPED),
        (channel(4, 2, 3, heard=1), Silence.STOPPED),
        (channel(2, 3, 4, heard=4), None),
        (channel(2, 3, 4, 5, 6, heard=4), None),
        (channel(-3, -2, -1, 0), None),
    ],
)
def test_only_changes_after_the_last_webhook_count(known: Channel, silence: Silence | None) -> None:
    assert silence_of(known, silent_changes=LIMIT) == silence


@pytest.mark.parametrize(
    ("before", "after", "announced"),
    [
        (None, facts(Status.OPEN), True),
        (None, facts(Status.PAID, refunded=1000), True),
        (facts(Status.OPEN), facts(Status.PAID), True),
        (facts(Status.OPEN), facts(Status.EXPIRED), True),
        (facts(Status.PART_PAID), facts(Status.PAID, refunded=1000), True),
        (facts(Status.PAID), facts(Status.PAID, refunded=1000), False),
        (facts(Status.PAID), facts(Status.REVERSED, taken_back=4000), False),
        (facts(Status.PAID), facts(Status.SETTLED), False),
    ],
)
def test_money_that_goes_back_or_is_booked_need_not_be_announced(
    before: Facts | None, after: Facts, announced: bool
) -> None:
    assert calls_for_a_webhook(before, after) == announced


@given(st.lists(st.sampled_from(["webhook", "missed", "time"]), max_size=60))
def test_any_story_alarms_after_so_many_missed_in_a_row_and_recovers(steps: list[str]) -> None:
    """The reference counts in a row; the rule knows only when things happened."""
    account = Account()
    for minute, step in enumerate(steps, start=1):
        before = account.judged()
        match step:
            case "webhook":
                account.heard_at, account.in_a_row = at(minute), 0
            case "missed":
                account.untold.append(at(minute))
                account.in_a_row += 1
            case _:
                assert account.judged() == before

        assert (account.judged() is not None) == (account.in_a_row >= LIMIT)
        if account.judged() is not None:
            stopped = "webhook" in steps[:minute]
            assert account.judged() == (Silence.STOPPED if stopped else Silence.NEVER_HEARD)


@given(
    found=st.permutations(range(1, 13)),
    heard=st.integers(min_value=0, max_value=12),
    limit=st.integers(min_value=1, max_value=12),
)
def test_the_order_in_which_changes_are_found_does_not_matter(
    found: list[int], heard: int, limit: int
) -> None:
    known = channel(*found, heard=heard)

    assert untold_since(known) == 12 - heard
    assert (silence_of(known, silent_changes=limit) is None) == (12 - heard < limit)
