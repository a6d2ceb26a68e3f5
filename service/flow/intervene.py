"""What a person may do; `recover.py` holds the one act that takes longer.

Each act is written down with who did it and why, in the transaction that does it, and then goes
the ordinary road: a replay makes a request due, a resend makes a delivery due.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from service import erp
from service.domain.lane import Lane, paused, resumed
from service.domain.notification import notification_of_test, time_text
from service.domain.request import Key, Kind, ObservedBy
from service.errors import Conflict, Malformed, NotFound
from service.fetch import ConnectedAccount
from service.flow.attempt import DeliverParts, try_once
from service.flow.window import moment_in
from service.settings import Endpoint, Expected
from service.storage.database import Pool
from service.storage.deliveries import ClaimedDelivery, Deliveries
from service.storage.identifiers import new_id, new_traceparent
from service.storage.interventions import Did, Intervention, Interventions
from service.storage.lanes import REMOVED, Lanes
from service.storage.reconciles import Ask, Reconciles
from service.storage.unit_of_work import connected, unit_of_work
from service.storage.views.events import find_event
from service.storage.views.reading import Json

log = structlog.get_logger()

# Between two looks at whether the read has finished.
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Tried:
    """What a try of an endpoint came to; is_fine when it answered 2xx."""

    endpoint: str
    notification_id: str
    at: datetime
    outcome: erp.Outcome

    @property
    def is_fine(self) -> bool:
        return self.outcome.result == "delivered"

    def as_json(self) -> Json:
        """Return the try as API and command show it."""
        return {
            "endpoint": self.endpoint,
            "notification_id": self.notification_id,
            "at": time_text(self.at),
            "ok": self.is_fine,
            "outcome": self.outcome.code,
            "status_code": self.outcome.status_code,
            "duration_ms": self.outcome.duration_ms,
            "excerpt": self.outcome.excerpt,
        }


async def sync_now(
    pool: Pool,
    *,
    request_id: str,
    wake: Callable[[], None],
    wait_seconds: float,
    who: str,
    reason: str | None = None,
) -> bool:
    """Have a request read at its provider, by the same road as every other read.

    Return True when a read that began after this call has finished, False when none did
    within wait_seconds. Raises NotFound.
    """
    key = await _key_of(pool, request_id)
    async with unit_of_work(pool) as work:
        await work.due.trigger([key], observed_by=ObservedBy.OPERATOR, known=True)
        generation = await work.due.generation(key)
        await Interventions(work.connection).append(
            Intervention("sync", who, reason, subject_id=request_id)
        )
    assert generation is not None, "a trigger leaves a row"
    wake()
    return await _is_read(pool, key, wanted=generation[0], wait_seconds=wait_seconds)


async def replay(
    pool: Pool,
    *,
    event_id: str,
    accounts: Mapping[str, ConnectedAccount],
    wake: Callable[[], None],
    wait_seconds: float,
    who: str,
    reason: str | None = None,
) -> bool:
    """Have what an event names read at its provider; what the event said is not looked at.

    Return whether that read finished within wait_seconds. Raises NotFound, and Conflict for an
    event that names nothing to read.
    """
    event = await find_event(pool, event_id)
    if event is None:
        raise NotFound(f"no event {event_id!r}, or it is older than what is kept")
    key = _key_in(event, accounts)
    async with unit_of_work(pool) as work:
        await work.due.trigger([key], observed_by=ObservedBy.OPERATOR)
        generation = await work.due.generation(key)
        assert generation is not None, "a trigger leaves a row"
        await Interventions(work.connection).append(
            Intervention("replay", who, reason, subject_id=event["request_id"], about=event_id)
        )
    log.info("event.replayed", event_id=event_id, account=key.account)
    wake()
    return await _is_read(pool, key, wanted=generation[0], wait_seconds=wait_seconds)


async def resend(
    pool: Pool,
    *,
    delivery_id: str,
    wake: Callable[[], None],
    who: str,
    reason: str | None = None,
) -> None:
    """Have a delivery go out at once, whatever became of it, by its lane as ever.

    It keeps its id, bytes and sequence. One that was closed begins its schedule anew; the numbers
    of its attempts go on. Raises NotFound.
    """
    async with unit_of_work(pool) as work:
        deliveries = Deliveries(work.connection)
        endpoint = await deliveries.endpoint_of(delivery_id)
        if endpoint is None:
            raise NotFound(f"no delivery {delivery_id!r}")
        await Lanes(work.connection).lock([endpoint])
        subject_id = await deliveries.resend(delivery_id)
        await Interventions(work.connection).append(
            Intervention(
                "resend", who, reason, endpoint=endpoint, subject_id=subject_id, about=delivery_id
            )
        )
    log.info("delivery.resent", delivery_id=delivery_id, endpoint=endpoint)
    wake()


async def pause(pool: Pool, *, endpoint: str, who: str, reason: str | None = None) -> None:
    """Send nothing to an endpoint until somebody resumes it, also after a restart.

    What is under way arrives. Raises NotFound, and Malformed for a reason that is a word of ours.
    """
    if reason == REMOVED:
        raise Malformed(f"reason: {REMOVED!r} is what we say of an endpoint without a table")
    await _move(
        pool, endpoint, "pause", lambda lane, _: paused(lane, reason or "operator"), who, reason
    )
    log.info("endpoint.paused", endpoint=endpoint)


async def resume(
    pool: Pool, *, endpoint: str, wake: Callable[[], None], who: str, reason: str | None = None
) -> None:
    """Have an endpoint drain what waits for it, slowly at first, whatever had stopped it.

    Raises NotFound.
    """
    await _move(pool, endpoint, "resume", lambda lane, now: resumed(lane, now=now), who, reason)
    log.info("endpoint.resumed", endpoint=endpoint)
    wake()


async def try_endpoint(
    parts: DeliverParts, *, endpoint: Endpoint, who: str, reason: str | None = None
) -> Tried:
    """Send one message of type endpoint.test, beside the feed; it changes nothing about the lane.

    Signed like any other, and sent also while the lane is paused or on hold.
    """
    notification_id, at = new_id("ntf"), parts.now()
    body = notification_of_test(notification_id=notification_id, endpoint=endpoint.name, at=at)
    message = ClaimedDelivery(
        id="",
        notification_id=notification_id,
        endpoint=endpoint.name,
        type="endpoint.test",
        subject_id="",
        sequence=0,
        attempts_made=0,
        lease_no=0,
        notified_at=at,
        body=body,
        traceparent=new_traceparent(),
        dead=[],
        superseded=[],
    )
    async with unit_of_work(parts.pool) as work:
        await Interventions(work.connection).append(
            Intervention("test", who, reason, endpoint=endpoint.name, about=notification_id)
        )
    return Tried(endpoint.name, notification_id, at, await try_once(message, endpoint, parts))


async def _move(
    pool: Pool,
    endpoint: str,
    did: Did,
    moved: Callable[[Lane, datetime], Lane],
    who: str,
    reason: str | None,
) -> None:
    """Write a lane as a person wants it. Raises NotFound where there is none to move."""
    async with unit_of_work(pool) as work:
        lanes = Lanes(work.connection)
        lane = (await lanes.lock([endpoint])).get(endpoint)
        if lane is None:
            raise NotFound(f"no endpoint {endpoint!r}: the service has not started with it")
        if lane.reason == REMOVED:
            raise NotFound(f"endpoint {endpoint!r} is not configured any more")
        await lanes.save(endpoint, moved(lane, await lanes.clock()))
        await Interventions(work.connection).append(
            Intervention(did, who, reason, endpoint=endpoint)
        )


async def _is_read(pool: Pool, key: Key, *, wanted: int, wait_seconds: float) -> bool:
    """Wait for a read that covers a generation; return whether there was one in time."""
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        async with unit_of_work(pool) as work:
            generation = await work.due.generation(key)
        if generation is not None and generation[1] >= wanted:
            return True
        await asyncio.sleep(LOOK_SECONDS)
    return False


async def have_reconciled(
    pool: Pool, accounts: Sequence[str], *, since: str, dry_run: bool, by: str, now: datetime
) -> list[int]:
    """Have workers reconcile what was made or changed since then; return the ids of the runs.

    One run for each account, in their order by name. since is as moment_in takes it, by who asks.
    Raises Expected about since, Conflict where what was asked before is not finished.
    """
    begins, name = moment_in(since, now=now)
    if begins >= now:
        raise Expected("a time that has passed")
    ask = Ask(f"{name} to {time_text(now)}", begins, now, dry_run)
    async with unit_of_work(pool) as work:
        return await Reconciles(work.connection).ask(accounts, ask, by=by)


def _key_in(event: Json, accounts: Mapping[str, ConnectedAccount]) -> Key:
    """Return what an event names. Raises Conflict where that is nothing we could read."""
    account = accounts.get(event["account"])
    if account is None:
        raise Conflict(f"account {event['account']!r} is not configured any more")
    if event["kind"] is None or event["provider_id"] is None:
        why = f": {event['reason']}" if event["reason"] else ""
        raise Conflict(
            f"{event['id']} is about no request, so there is nothing to read{why}",
            code="about_no_request",
        )
    key = Key(account.name, Kind(event["kind"]), event["provider_id"])
    if not account.provider.knows(key.kind, key.provider_id):
        raise Conflict(
            f"{event['id']} names what {account.name} cannot have, so nothing is read",
            code="about_no_request",
        )
    return key


async def _key_of(pool: Pool, request_id: str) -> Key:
    async with connected(pool) as connection:
        cursor = await connection.execute(
            "select account, kind, provider_id from requests where id = %s", [request_id]
        )
        row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"no request {request_id!r}")
    return Key(row[0], Kind(row[1]), row[2])
