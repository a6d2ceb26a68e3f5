"""The model can fail: each planted defect is found within a few steps, and nothing without it."""

import asyncio

import pytest

from tests.model.defects import DEFECTS, Defect
from tests.model.explorer import explore
from tests.model.world import Model


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_planted_defect_is_found(
    alone: Model, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch, defect: Defect
) -> None:
    with monkeypatch.context() as patch:
        defect.plant(patch)
        explored = runner.run(explore(alone, depth=defect.depth, start=defect.start))

    [violation] = explored.violations
    assert defect.promise in violation
