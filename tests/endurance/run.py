"""One endurance run: traffic and strikes side by side, then calm, then the counting."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from service.cli.demo_api import Api
from service.cli.demo_checks import Drift
from service.cli.demo_plan import PlannedOrder
from service.cli.demo_stage import Score, Stage
from tests.endurance.ending import (
    Ending,
    compare_told,
    count_connections,
    count_connections_leaked,
    count_files_leaked,
    count_leases_hanging,
    files_and_memory,
    until_files_are_closed,
)
from tests.endurance.fleet import DATABASE, Ground
from tests.endurance.plan import EndurancePlan, Fault, Strike
from tests.endurance.strikes import Striker
from tests.scale.front import Front
from tests.scale.patience import PatientApi
from tests.scale.stored import read_stored, unstored

# Longer than anything that strikes lasts, several times over.
PATIENCE_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to. Pairs are of before the first strike and of the end."""

    ending: Ending
    webhooks: int
    answered_2xx: int
    given_up: int
    broken_off: int
    notifications: int
    answers: Counter[int]
    struck: Counter[Fault]
    pending: Counter[Fault]
    links: Counter[str]
    alarms: Counter[str]
    connections: tuple[Counter[str], Counter[str]]
    processes: tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]
    deaths: int
    settling_seconds: float
    drifting: Sequence[Drift]


async def run(
    ground: Ground,
    plan: EndurancePlan,
    strikes: Sequence[Strike],
    *,
    rate: float,
    answers_early: bool = False,
) -> Report:
    """Play traffic and strikes, let all of it settle, and count."""
    fleet = ground.fleet
    fleet.make_database(DATABASE)
    database = fleet.configure(DATABASE)
    applied = fleet.settled("db", "upgrade")
    assert applied.returncode == 0, applied
    front = Front(fleet.receivers, answers_early=answers_early)
    await fleet.until_answered(f"{fleet.sandbox_url}/sandbox/healthz")
    async with AsyncExitStack() as stack:
        for link in fleet.links.values():
            await stack.enter_async_context(link.listening())
        await stack.enter_async_context(front.listening("127.0.0.1", fleet.front_port))
        # Nothing strikes the sandbox itself: that it answers late is the machine's doing.
        sandbox = await stack.enter_async_context(
            Api(fleet.sandbox_url, timeout_seconds=PATIENCE_SECONDS)
        )
        product = await stack.enter_async_context(
            PatientApi(fleet.product_url, key=fleet.keys.api_key, seconds=PATIENCE_SECONDS)
        )
        stage = Stage(plan, fleet, sandbox, product, _say_nothing)
        keeper = asyncio.create_task(ground.servers.keep())
        striker = Striker(ground, plan, front, sandbox, database)
        try:
            return await _play(stage, striker, strikes, rate, ground, front, database)
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper


async def _play(
    stage: Stage,
    striker: Striker,
    strikes: Sequence[Strike],
    rate: float,
    ground: Ground,
    front: Front,
    database: str,
) -> Report:
    fleet = ground.fleet
    orders = await stage.open()
    for name in fleet.names:
        fleet.start(name)
    await fleet.until_answered(*(f"{receiver}/readyz" for receiver in fleet.receivers))
    await stage.wait_for_first_sweep()
    async with asyncio.TaskGroup() as group:
        is_over = asyncio.Event()
        group.create_task(_begin_on(stage, orders, rate, is_over))
        before = await count_connections(database), files_and_memory(fleet)
        await striker.play(strikes)
        is_over.set()
    calm_since = time.monotonic()
    picture = await stage.wait()
    hanging = await count_leases_hanging(database)
    settling_seconds = time.monotonic() - calm_since
    leaked = await count_connections_leaked(database, fleet.kinds)
    files = await until_files_are_closed(fleet, before[1])
    after = await count_connections(database), files
    ground.logs.read_on()
    lost = unstored(front.accepted, read_stored(database))
    told = compare_told(stage.feed.messages, stage.inbox.arrivals)
    pauses, disks = striker.struck[Fault.PAUSE], striker.struck[Fault.DISK]
    return Report(
        ending=Ending(
            unstored=lost,
            state_mismatch=len(picture.drifting),
            untold=told.untold,
            told_twice=told.told_twice,
            altered=told.altered,
            out_of_order=told.out_of_order,
            leases_hanging=hanging,
            connections_leaked=leaked,
            files_leaked=count_files_leaked(before[1], after[1]),
            answered_500=front.answers[500],
            pauses_unnoticed=pauses - striker.noticed,
            disk_full_unrefused=disks - striker.refused_while_full,
            webhooks_under_way=picture.stats.webhooks.waiting,
            strikes_without_traffic=striker.struck.total() - striker.pending.total(),
        ),
        webhooks=picture.stats.webhooks.sent,
        answered_2xx=len(front.accepted),
        given_up=picture.stats.webhooks.given_up,
        broken_off=front.broken_off,
        answers=front.answers,
        struck=striker.struck,
        pending=striker.pending,
        links=Counter({name: link.struck for name, link in fleet.links.items()}),
        alarms=ground.logs.alarms,
        # A worker that its supervisor replaced in time was stopped by us.
        deaths=fleet.deaths + ground.servers.deaths + ground.logs.exits - striker.noticed,
        notifications=len(stage.feed.messages),
        connections=(before[0], after[0]),
        processes=(before[1], after[1]),
        settling_seconds=settling_seconds,
        drifting=picture.drifting,
    )


async def _begin_on(
    stage: Stage, orders: Sequence[PlannedOrder], rate: float, is_over: asyncio.Event
) -> None:
    """Begin so many orders a second, whether those before were taken or wait, until it is over."""
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number, order in enumerate(orders):
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
            if is_over.is_set():
                return
            group.create_task(stage.begin(order))


def _say_nothing(_score: Score) -> None:
    """A run is judged at its end."""
