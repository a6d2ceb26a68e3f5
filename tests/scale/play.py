"""Plays orders on a fleet, with somebody killed in between, and judges what is left in the end."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.cli.demo_api import Api, Stats
from service.cli.demo_checks import (
    Check,
    check_sequence,
    check_state,
    check_told_once,
    check_webhooks,
)
from service.cli.demo_plan import Plan
from service.cli.demo_stage import Stage
from tests.scale.fleet import Fleet
from tests.scale.front import Front
from tests.scale.stored import read_stored, unstored


@dataclass(frozen=True, slots=True)
class PatientPlan(Plan):
    """A plan that outwaits the leases of whoever is killed: 20 s of a read, 25 s of a delivery."""

    @property
    def patience_seconds(self) -> float:
        return 60.0

    @property
    def seconds_max(self) -> float:
        return 240.0 + self.orders / 2


@dataclass(slots=True)
class Kills:
    """Who was killed, and how often something was under way just then."""

    victims: list[str]
    under_way: int = 0


def victims_of(names: Sequence[str], kills: int, *, seed: int) -> list[str]:
    """Return whom to kill: everybody once, in an order of the seed, before anybody again."""
    draw = random.Random(seed)
    drawn: list[str] = []
    while len(drawn) < kills:
        drawn += draw.sample(names, len(names))
    return drawn[:kills]


async def play(stage: Stage, fleet: Fleet, sandbox: Api, kills: Kills) -> None:
    """Begin all orders; in equal distances kill the next victim and start it again."""
    orders = await stage.open()
    for name in fleet.names:
        fleet.start(name)
    await fleet.until_answered(*(f"{receiver}/readyz" for receiver in fleet.receivers))
    await stage.wait_for_first_sweep()
    moments = _moments(len(orders), kills.victims)
    for number, order in enumerate(orders):
        if number in moments:
            stats = await sandbox.get("/sandbox/stats", Stats, wait=0)
            kills.under_way += not stats.is_quiet
            fleet.kill(moments[number])
            fleet.start(moments[number])
        await stage.introduce(order)


async def judge(stage: Stage, fleet: Fleet, front: Front, database: str) -> list[Check]:
    """Wait until nothing moves any more; return everything that must hold."""
    picture = await stage.wait()
    fleet.check()
    lost = unstored(front.accepted, read_stored(database))
    counts = {"answered_2xx": len(front.accepted), "unstored": lost}
    return [
        Check("every_2xx_stored", not lost, counts),
        check_state(picture.drifting, orders=picture.orders, requests=picture.requests),
        check_told_once(stage.feed.messages, stage.inbox.arrivals),
        check_sequence(stage.inbox.arrivals),
        check_webhooks(picture.stats.webhooks),
    ]


def lines_of(checks: Sequence[Check]) -> Iterator[str]:
    """Return one line per check, with its numbers."""
    for check in checks:
        counts = " ".join(f"{name}={number}" for name, number in check.counts.items())
        yield f"{'holds' if check.ok else 'FAILS'} {check.name}: {counts}"


def _moments(orders: int, victims: Sequence[str]) -> dict[int, str]:
    """Return before which order whom to kill."""
    distance = orders / (len(victims) + 1)
    return {round(distance * (number + 1)): victim for number, victim in enumerate(victims)}
