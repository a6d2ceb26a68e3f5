"""By what a change counts as found where several have asked for the same read."""

from typing import Any

from service.domain.request import ObservedBy
from tests.flow.world import World, order, order_id


async def labels(world: World) -> list[Any]:
    rows = await world.rows(
        "select observed_by from transitions where subject = 'request' order by sequence"
    )
    return [row["observed_by"] for row in rows]


async def test_what_a_webhook_asked_for_stays_told_though_a_sweep_lists_it_too(
    world: World,
) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    assert await labels(world) == ["webhook"]
    world.provider.shows(order(1, amount=5000, minute=2))
    await world.trigger(1)
    await world.trigger(1, observed_by=ObservedBy.SWEEP)

    await world.sync()

    assert await labels(world) == ["webhook", "webhook"]


async def test_what_a_sweep_lists_during_a_told_read_is_found_by_the_sweep(
    world: World,
) -> None:
    """The webhook is answered by the read under way; what comes out later nobody announced."""
    await world.trigger(1)

    async def listed_meanwhile() -> dict[str, object]:
        await world.trigger(1, observed_by=ObservedBy.SWEEP)
        return order(1)

    world.provider.answers[order_id(1)] = [listed_meanwhile, order(1, amount=5000, minute=2)]

    await world.sync()
    await world.let_time_pass()
    await world.sync()

    assert await labels(world) == ["webhook", "sweep"]


async def test_what_is_read_again_for_a_webhooks_sake_stays_told(world: World) -> None:
    """The first read comes too early; a sweep asked for it as well."""
    world.provider.shows(order(1))
    await world.trigger(1, observed_by=ObservedBy.OPERATOR)
    await world.sync()
    await world.trigger(1)
    await world.trigger(1, observed_by=ObservedBy.SWEEP)
    await world.sync()
    world.provider.shows(order(1, amount=5000, minute=2))

    await world.let_time_pass()
    await world.sync()

    assert await labels(world) == ["operator", "webhook"]


async def test_a_failed_read_does_not_forget_that_a_webhook_asked(world: World) -> None:
    world.provider.answers[order_id(1)] = [503, order(1)]
    await world.trigger(1)
    await world.sync()
    await world.trigger(1, observed_by=ObservedBy.SWEEP)

    await world.let_time_pass()
    await world.sync()

    assert await labels(world) == ["webhook"]
