"""Processes killed at each named point: what is left behind, and that nothing is lost for good."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.model.actors import died
from tests.model.promises import check_at_rest
from tests.model.world import Model

# Leads to the point and dies there.
Way = Callable[[str, Model], Awaitable[None]]

# Whether a read was asked for, the payment recorded, the ERP told, when the process was gone.
Left = tuple[bool, bool, bool]


async def receive(point: str, model: Model) -> None:
    answered = await model.webhook(dies_at=point)
    assert answered is (point == "after status line")


async def ring(point: str, model: Model) -> None:
    await model.webhook()
    model.stage.doorbell.reset()
    await model.beat(dies_at=point)
    assert model.stage.doorbell.messages == (point == "after publish")
    assert model.stage.doorbell.has_token


async def read(point: str, model: Model) -> None:
    """Die before the call; the claim is all that is left."""
    await model.webhook()
    await model.work("worker-1", dies_at=point)


async def record(point: str, model: Model) -> None:
    """Die with the answer at home."""
    await model.webhook()
    await model.work("worker-1")
    [call] = model.calls("worker-1")
    await model.take(call)
    await model.bring(call, dies_at=point)


async def _have_recorded(model: Model) -> None:
    await model.webhook()
    await model.work("worker-1", free=True)


async def claim_to_tell(point: str, model: Model) -> None:
    await _have_recorded(model)
    await model.deliver("deliverer-1", dies_at=point)


async def send(point: str, model: Model) -> None:
    """Die while the ERP answers."""
    await _have_recorded(model)
    await model.deliver("deliverer-1")
    await model.take(model.calls("deliverer-1")[0])
    await model.kill("deliverer-1")


async def close(point: str, model: Model) -> None:
    await _have_recorded(model)
    await model.deliver("deliverer-1")
    call = model.calls("deliverer-1")[0]
    await model.take(call)
    await model.bring(call, dies_at=point)


async def sweep(point: str, model: Model) -> None:
    await model.poll()
    [call] = model.calls("poller")
    await model.take(call)
    await model.bring(call, dies_at=point)


# Source of the points: RELIABILITY.md, A.2. What A.2 calls the dispatcher is whoever rings: the
# mark is the token, the publish the message. A cursor is saved with what its page made due.
POINTS: dict[str, tuple[Way, Left]] = {
    "receiver: after insert": (receive, (False, False, False)),
    "receiver: after commit": (receive, (True, False, False)),
    "receiver: after status line": (receive, (True, False, False)),
    "dispatcher: after mark": (ring, (True, False, False)),
    "dispatcher: after publish": (ring, (True, False, False)),
    "worker: after claim": (read, (True, False, False)),
    "worker: before call": (read, (True, False, False)),
    "worker: after answer": (record, (True, False, False)),
    "worker: inside transaction": (record, (True, False, False)),
    "worker: after commit": (record, (True, True, False)),
    "deliverer: after claim": (claim_to_tell, (True, True, False)),
    "deliverer: after send": (send, (True, True, True)),
    "deliverer: after answer": (close, (True, True, True)),
    "deliverer: after mark": (close, (True, True, True)),
    "poller: after page": (sweep, (False, False, False)),
    "poller: before cursor save": (sweep, (False, False, False)),
}


@pytest.mark.parametrize("name", POINTS)
def test_a_process_killed_at_a_named_point_loses_nothing(
    alone: Model, runner: asyncio.Runner, name: str
) -> None:
    runner.run(_die_at(name, alone))


async def _die_at(name: str, model: Model) -> None:
    way, left = POINTS[name]
    await model.reset()
    wanted, heard, deaths = model.due(model.order)["wanted"], len(model.far.inbox), died[name]
    model.order.move("pay")

    await way(name.partition(": ")[2], model)

    assert died[name] == deaths + 1
    await model.look()
    is_asked = model.due(model.order)["wanted"] > wanted
    is_recorded = model.request(model.order)["status"] == "paid"
    assert (is_asked, is_recorded, len(model.far.inbox) > heard) == left
    await check_at_rest(model)
