"""Every interleaving of a few steps; `python -m tests.model` takes six."""

import asyncio

from tests.model.explorer import explore
from tests.model.world import Model

# A change was told, read and answered, and the lease ran out before the answer came home.
OVERTAKEN = ("change", "webhook", "worker-1", "worker-1", "leases run out", "beat")


def test_no_interleaving_of_two_steps_breaks_a_promise(
    alone: Model, runner: asyncio.Runner
) -> None:
    explored = runner.run(explore(alone, depth=2))

    assert explored.violations == []
    assert (explored.states, explored.interleavings, explored.crashes) == (15, 30, 9)


def test_no_step_after_a_lease_ran_out_breaks_a_promise(
    alone: Model, runner: asyncio.Runner
) -> None:
    explored = runner.run(explore(alone, depth=1, start=(*OVERTAKEN, "worker-2")))

    assert explored.violations == []
    assert explored.crashes > 0
