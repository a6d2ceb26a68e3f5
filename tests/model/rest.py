"""The end of every story: nothing fails any more, and everything comes to rest."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.embedded import Urls
from tests.model.actors import ModelWire
from tests.model.far_ends import FarEnds, ledgers_of
from tests.model.ledger import Ledger
from tests.model.stage import DELIVERERS, SLOTS, WORKERS, stage_on
from tests.model.world import Model

# Rounds of beat, worker and deliverer after which it counts as never coming to rest.
ROUNDS_MAX = 20


class Broken(AssertionError):
    """A promise of the protocol does not hold."""


async def rest(model: Model) -> None:
    """Let everybody finish, and ring until nothing that was asked for is left to do.

    Neither a poll nor a sweep helps: what was asked for has to be read for its own sake. Raises
    Broken where that never ends.
    """
    await _finish(model)
    for _ in range(ROUNDS_MAX):
        await model.end_leases()
        await model.stage.tables.end_waits()
        model.stage.doorbell.end_token()
        await model.beat()
        await model.work(WORKERS[0], free=True)
        await model.deliver(DELIVERERS[0], free=True)
        if _is_at_rest(model):
            return
    raise Broken("it never comes to rest")


async def look_everywhere(model: Model) -> None:
    """Sweep and poll once, and come to rest again."""
    await model.poll(free=True)
    await model.stage.tables.turn_polls()
    await rest(model)


async def _finish(model: Model) -> None:
    while model.actors:
        call = model.calls(*SLOTS)[0]
        if not call.is_taken:
            await model.take(call)
        await model.bring(call)


def _is_at_rest(model: Model) -> bool:
    return all(row["done"] >= row["wanted"] for row in model.picture["due"]) and all(
        row["state"] != "waiting" for row in model.picture["deliveries"]
    )


@asynccontextmanager
async def model_on(urls: Urls, *, with_ing: bool = True) -> AsyncIterator[Model]:
    """Lend a model whose order is registered, read and told: that is what reset comes back to."""
    async with stage_on(urls) as stage:
        stage.doorbell.reset()
        random.seed(0)
        far = FarEnds(ledgers_of(with_ing=with_ing))
        model = Model(stage, far, await stage.tables.advance(0))
        model.parts = stage.sync_parts(ModelWire(far.provide), now=lambda: model.clock)
        model.senders = stage.deliver_parts(ModelWire(far.hear), now=lambda: model.clock)

        def read_freely(ledger: Ledger) -> None:
            ledger.covers = max(ledger.covers, model.due(ledger)["wanted"])

        await stage.register([ledger.key for ledger in model.ledgers], now=model.clock)
        await model.look()
        far.read_freely = read_freely
        await rest(model)
        await model.remember()
        await model.reset()
        yield model
        for actor in model.actors.values():
            await actor.kill()
