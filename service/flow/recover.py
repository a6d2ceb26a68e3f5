"""Recover: a window of notifications, sent to one endpoint again by the ordinary road.

A run is a row. Beat feeds it: it puts notifications back on their way, in the order in which they
were made and only as many as the lane takes in two seconds, so that news never waits long behind
them. Whoever feeds may die at any time; what was put on its way and how far the run is are written
in one transaction, so each notification goes out once per run.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import structlog

from service.domain.notification import time_text
from service.errors import Malformed, NotFound
from service.settings import Endpoint
from service.storage.database import Pool
from service.storage.deliveries import Deliveries
from service.storage.interventions import Did, Intervention, Interventions
from service.storage.lanes import Lanes
from service.storage.recoveries import Recoveries, Run, Window
from service.storage.unit_of_work import Work, unit_of_work

log = structlog.get_logger()

# How much of a run is on its way at a time: what the lane takes in so long, and never more.
AHEAD_SECONDS = 2.0
AHEAD_MAX = 500

# Notifications looked at in one step, wanted by the endpoint or not.
LOOKED_AT_MAX = 2000

NEVER = "never"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recovery would send. The counts are of notifications that the endpoint wants.

    by_state is by what became of their delivery, "never" where there was none. What still waits
    goes out anyway and is not sent again. seconds is how long the lane takes at its rate.
    """

    endpoint: str
    since: datetime
    until: datetime
    planned: int
    by_type: Mapping[str, int]
    by_state: Mapping[str, int]
    seconds: float
    lane: str

    def as_json(self) -> dict[str, object]:
        """Return the plan as API and command show it."""
        times = {"since": time_text(self.since), "until": time_text(self.until)}
        return asdict(self) | times | {"seconds": round(self.seconds, 1)}


async def plan(pool: Pool, endpoint: Endpoint, window: Window) -> Plan:
    """Count what a recovery would send, and change nothing. Raises NotFound, Malformed."""
    if window.since >= window.until:
        raise Malformed("since: expected a time before until", code="bad_field")
    async with unit_of_work(pool) as work:
        recoveries = Recoveries(work.connection)
        lane = await recoveries.lane_of(endpoint.name)
        if lane is None:
            raise NotFound(
                f"no endpoint {endpoint.name!r} yet: the service has not started with it"
            )
        counted = await recoveries.count(
            endpoint.name, window, with_accounts=_cares_for_accounts(endpoint)
        )
    by_type: Counter[str] = Counter()
    by_state: Counter[str] = Counter()
    for each in counted:
        if _wants(endpoint, each.type, each.accounts):
            by_state[each.state or NEVER] += each.count
            if each.state != "waiting":
                by_type[each.type] += each.count
    planned = by_type.total()
    return Plan(
        endpoint=endpoint.name,
        since=window.since,
        until=window.until,
        planned=planned,
        by_type=dict(by_type),
        by_state=dict(by_state),
        seconds=planned * endpoint.rate.seconds / endpoint.rate.count,
        lane=lane,
    )


async def begin(
    pool: Pool, endpoint: Endpoint, window: Window, *, who: str, reason: str | None = None
) -> Run:
    """Begin a recovery, or go on with the one of that name which stopped within a day.

    Raises NotFound for an endpoint that the service has never started with, Malformed for a
    window that ends before it begins.
    """
    planned = await plan(pool, endpoint, window)
    async with unit_of_work(pool) as work:
        # One at a time: two who ask at once would otherwise send everything twice.
        await Lanes(work.connection).lock([endpoint.name])
        recoveries = Recoveries(work.connection)
        run = await recoveries.go_on(endpoint.name, window)
        if run is None:
            run = await recoveries.begin(endpoint.name, window, planned=planned.planned)
        await _note(work, "recover", run, who=who, reason=reason)
    log.info("recovery.begun", recovery=run.id, endpoint=run.endpoint, planned=run.planned)
    return run


async def stop(pool: Pool, recovery_id: str, *, who: str, reason: str | None = None) -> Run:
    """Feed a recovery no more; what is on its way arrives. Raises NotFound."""
    async with unit_of_work(pool) as work:
        run = await Recoveries(work.connection).stop(recovery_id)
        if run is None:
            raise NotFound(f"no recovery {recovery_id!r}")
        await _note(work, "stop", run, who=who, reason=reason)
    return run


async def feed(pool: Pool, endpoints: Mapping[str, Endpoint]) -> int:
    """Put on its way what the lanes of open recoveries take now; return how many."""
    async with unit_of_work(pool) as work:
        runs = await Recoveries(work.connection).open(list(endpoints))
    queued = 0
    for name, recovery_id in runs:
        async with unit_of_work(pool) as work:
            queued += await _feed(work, recovery_id, endpoints[name])
    return queued


async def _note(work: Work, did: Did, run: Run, *, who: str, reason: str | None) -> None:
    act = Intervention(did, who, reason, endpoint=run.endpoint, about=run.id)
    await Interventions(work.connection).append(act)


async def _feed(work: Work, recovery_id: str, endpoint: Endpoint) -> int:
    """Take one step with a run, under its lock and its lane's; return how many were queued."""
    recoveries = Recoveries(work.connection)
    await Lanes(work.connection).lock([endpoint.name])
    run = await recoveries.lock(recovery_id)
    if run is None:
        return 0
    arrived = await recoveries.close_arrived(run)
    under_way = await recoveries.under_way(run)
    wanted, after_serial = await _next(recoveries, run, endpoint, _ahead(endpoint) - under_way)
    queued = await _queue(work, run, wanted)
    is_finished = after_serial >= run.last_serial and not under_way and not queued
    run = replace(
        run,
        queued=run.queued + len(queued),
        delivered=run.delivered + arrived.get("delivered", 0),
        dead=run.dead + arrived.get("dead", 0),
        superseded=run.superseded + arrived.get("superseded", 0),
        after_serial=after_serial,
    )
    await recoveries.save(run, is_finished=is_finished)
    if is_finished:
        log.info("recovery.finished", recovery=run.id, delivered=run.delivered, dead=run.dead)
    return len(queued)


async def _next(
    recoveries: Recoveries, run: Run, endpoint: Endpoint, room: int
) -> tuple[list[str], int]:
    """Return up to room notifications that the endpoint wants, and where the run then stands."""
    if room <= 0:
        return [], run.after_serial
    looked_at = await recoveries.candidates(
        run, limit=LOOKED_AT_MAX, with_accounts=_cares_for_accounts(endpoint)
    )
    wanted: list[str] = []
    for each in looked_at:
        if _wants(endpoint, each.type, each.accounts):
            wanted.append(each.id)
        if len(wanted) == room:
            return wanted, each.serial
    return wanted, looked_at[-1].serial if len(looked_at) == LOOKED_AT_MAX else run.last_serial


async def _queue(work: Work, run: Run, wanted: Sequence[str]) -> list[str]:
    """Have closed deliveries go out again and make those that never were; return which.

    What still waits goes out anyway.
    """
    deliveries, recoveries = Deliveries(work.connection), Recoveries(work.connection)
    had = await deliveries.had(run.endpoint, wanted)
    again = await deliveries.resend_all(run.endpoint, wanted)
    never = [each for each in wanted if each not in had]
    await work.outbox.add_late(await recoveries.messages(never, endpoint=run.endpoint))
    queued = [each for each in wanted if each in again or each not in had]
    await recoveries.queue(run, queued)
    return queued


def _ahead(endpoint: Endpoint) -> int:
    rate = endpoint.rate.per_second
    return min(max(1, math.ceil(rate * AHEAD_SECONDS)), AHEAD_MAX)


def _cares_for_accounts(endpoint: Endpoint) -> bool:
    """Return whether an endpoint takes news of some accounts only: to find them out takes long."""
    return "*" not in endpoint.accounts


def _wants(endpoint: Endpoint, kind: str, accounts: Sequence[str]) -> bool:
    """Return whether an endpoint gets this type from any of these accounts."""
    return any(endpoint.matches(kind, account) for account in accounts or (None,))
