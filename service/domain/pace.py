"""What looking costs at a provider, and the cheapest way to do it.

Each look at a request costs its calls. Where one page of a list shows many requests with their
statuses, a walk through the list stands for all looks that find nothing. Pure: groups of requests
come in, a plan comes out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

# A walk comes round a little sooner than the turns that it stands for: they lie at 0.9 intervals
# at the soonest, and a walk takes its time.
WALK_EVERY: Final = 0.8

# A walk must save at least this part of the calls: an estimate is no reason to change over.
_SAVING_MIN: Final = 0.1

# Of what a share carries, intervals are stretched to use this part: whatever queues is late.
_LOAD_MAX: Final = 0.9


@dataclass(frozen=True, slots=True)
class Alike:
    """Requests of an account that are looked at alike.

    calls is what one look at each of them costs together; every_seconds None: nobody looks.
    listed: the list shows all that a look does. since_seconds is how long we know the oldest.
    """

    count: int
    calls: int
    every_seconds: float | None
    listed: bool
    since_seconds: float

    @property
    def calls_a_second(self) -> float:
        return self.calls / self.every_seconds if self.every_seconds else 0.0


@dataclass(frozen=True, slots=True)
class Believed:
    """How the last walk went, against what its plan hoped for: pages cost more, fewer the same."""

    pages: float = 1.0
    same: float = 1.0


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk that is worth it: how often, how far back, and what it is to cost and to spare."""

    every_seconds: float
    since_seconds: float
    pages: int
    same: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls a second that looking costs, one by one where no walk is worth it."""

    calls_a_second: float
    walk: Walk | None = None


def plan_looks(
    groups: Iterable[Alike], *, entries_per_page: int | None, believed: Believed
) -> Plan:
    """Return the cheapest plan. entries_per_page is None where no list shows statuses."""
    listed = sorted(groups, key=lambda group: group.since_seconds)
    alone = Plan(sum(group.calls_a_second for group in listed))
    if entries_per_page is None:
        return alone
    depths = sorted({group.since_seconds for group in listed if group.listed})
    paces = sorted({g.every_seconds for g in listed if g.listed and g.every_seconds})
    plans = [
        _with_walk(listed, every, depth, entries_per_page, believed)
        for depth in depths
        for every in paces
    ]
    best = min(plans, key=lambda plan: plan.calls_a_second, default=alone)
    worth_it = best.calls_a_second <= alone.calls_a_second * (1 - _SAVING_MIN)
    return best if worth_it else alone


def _with_walk(
    groups: Sequence[Alike], every: float, depth: float, entries_per_page: int, believed: Believed
) -> Plan:
    """Return the plan with a walk as far as depth that stands for looks at this pace or slower."""
    within = [group for group in groups if group.since_seconds <= depth]
    covered = [g for g in within if g.listed and g.every_seconds and g.every_seconds >= every]
    pages = max(1, ceil(sum(group.count for group in within) / entries_per_page))
    spared = believed.same * sum(group.calls_a_second for group in covered)
    walk = Walk(every * WALK_EVERY, depth, pages, sum(group.count for group in covered))
    calls = sum(group.calls_a_second for group in groups) - spared
    return Plan(calls + believed.pages * pages / walk.every_seconds, walk)


def stretch_for(planned: float, *, possible: float) -> float:
    """Return by how much intervals stretch so that what is planned fits; both in calls a second."""
    return planned / (possible * _LOAD_MAX) if planned > possible else 1.0
