"""Anything may happen, in any order: some lives of the protocol, the same ones in every run."""

import asyncio

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.actors import passed
from tests.model.machine import Protocol
from tests.model.world import Model

LIVES = 12
STEPS = 40


def test_whatever_happens_the_record_comes_to_agree_with_the_provider(
    pair: Model, runner: asyncio.Runner
) -> None:
    class Lent(Protocol):
        model = pair

    Lent.runner = runner
    overtaken = passed["worker: overtaken"]
    run_state_machine_as_test(
        Lent,
        settings=settings(
            max_examples=LIVES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )

    # Lives in which nobody was ever overtaken would prove little.
    assert passed["worker: overtaken"] > overtaken
