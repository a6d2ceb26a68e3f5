"""What is sent to the ERP, when, how often, and what each answer does to delivery and lane."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from service.domain.lane import Allowance, after_claim
from service.embedded import Urls
from service.flow.attempt import DeliverParts
from service.flow.deliver import deliver_due
from service.settings import Rate
from service.storage.database import Pool
from service.storage.deliveries import Deliveries
from service.storage.lanes import Lanes
from service.storage.unit_of_work import unit_of_work
from tests.flow.surroundings import (
    SECRET,
    Answer,
    Arrival,
    Erp,
    allow_connections,
    answers,
    attempts,
    delivery,
    endpoint,
    eventually,
    lane,
    let_time_pass,
    put,
    sending,
)
from tests.storage.rows import AT

JITTER_SHARE = 0.2


@pytest.fixture
def pool(emptied: Pool) -> Pool:
    return emptied


async def drain(parts: DeliverParts, *, slots: int = 16) -> int:
    return await deliver_due(parts, slots=slots, bell=asyncio.Event())


async def drain_again(parts: DeliverParts) -> int:
    """Deliver once the waits are over, of deliveries and of lanes."""
    await let_time_pass(parts.pool, "deliveries", "due_at")
    await let_time_pass(parts.pool, "endpoints", "probe_at")
    return await drain(parts)


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait that began between two looks at the clock."""

    earliest: datetime
    latest: datetime
    until: datetime

    def is_between(self, least_seconds: float, most_seconds: float) -> bool:
        """Whether the wait can have been in these bounds, however long the test itself took."""
        at_most = (self.until - self.earliest).total_seconds()
        at_least = (self.until - self.latest).total_seconds()
        return at_least <= most_seconds and at_most >= least_seconds

    def is_about(self, seconds: float) -> bool:
        return self.is_between(seconds * (1 - JITTER_SHARE), seconds * (1 + JITTER_SHARE))


async def wait_after_a_failure(parts: DeliverParts, notification_id: str) -> Wait:
    """Deliver, and return how long it then is until the next try."""
    earliest = datetime.now(UTC)
    await drain(parts)
    latest = datetime.now(UTC)
    row = await delivery(parts.pool, notification_id)
    return Wait(earliest, latest, row["due_at"])


async def answered_with(pool: Pool, erp: Erp, *statuses: int) -> list[tuple[Any, Any, Any]]:
    """Send to one endpoint per status; return each one's delivery, lane and attempts."""

    async def as_the_path_says(arrival: Arrival) -> Answer:
        return await answers(int(arrival.path[1:]), Location=f"{erp.url}/elsewhere")(arrival)

    erp.answering = as_the_path_says
    at = {status: erp.url.replace("hooks", str(status)) for status in statuses}
    async with sending(pool, *[endpoint(erp, str(each), url=url) for each, url in at.items()]) as p:
        sent = [await put(pool, f"prq_{status}", to=str(status)) for status in statuses]
        await drain(p)
    return [
        (await delivery(pool, each), await lane(pool, str(status)), await attempts(pool, each))
        for each, status in zip(sent, statuses, strict=True)
    ]


async def configured(pool: Pool, *names: str) -> None:
    async with unit_of_work(pool) as work:
        await Lanes(work.connection).ensure([(name, "webhook") for name in names])


async def test_every_try_has_the_same_id_and_body_and_a_fresh_signature(
    parts: DeliverParts, erp: Erp
) -> None:
    await put(parts.pool, "prq_1")
    erp.answering = answers(503, 204)
    started = datetime.now(UTC)
    await drain(replace(parts, now=lambda: started))
    await drain_again(replace(parts, now=lambda: started + timedelta(seconds=60)))

    first, second = erp.arrivals
    assert (first.id, first.body) == (second.id, second.body)
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    sent_at = [int(arrival.headers["webhook-timestamp"]) for arrival in erp.arrivals]
    assert sent_at == [int(started.timestamp()), int(started.timestamp()) + 60]
    for arrival in erp.arrivals:
        Webhook(SECRET).verify(arrival.body, arrival.headers)


async def test_the_next_of_a_request_waits_until_the_one_before_arrived(
    parts: DeliverParts, erp: Erp
) -> None:
    for sequence in (3, 1, 2):
        await put(parts.pool, "prq_1", sequence)
    erp.answering = answers(503, 204)
    await drain(parts)
    assert erp.places == [("prq_1", 1)]

    await drain_again(parts)

    assert erp.places == [("prq_1", 1), ("prq_1", 1), ("prq_1", 2), ("prq_1", 3)]


async def test_a_dead_letter_steps_aside_for_the_next(parts: DeliverParts, erp: Erp) -> None:
    first, second = [await put(parts.pool, "prq_1", sequence) for sequence in (1, 2)]
    erp.answering = answers(404, 204)
    await drain(parts)

    assert erp.places == [("prq_1", 1), ("prq_1", 2)]
    assert [(await delivery(parts.pool, sent))["state"] for sent in (first, second)] == [
        "dead",
        "delivered",
    ]


async def test_different_requests_go_side_by_side(parts: DeliverParts, erp: Erp) -> None:
    both = asyncio.Barrier(2)

    async def when_both_are_here(_arrival: Arrival) -> Answer:
        async with asyncio.timeout(10):
            await both.wait()
        return 204

    erp.answering = when_both_are_here
    ids = [await put(parts.pool, subject) for subject in ("prq_1", "prq_2")]
    await drain(parts)

    assert {(await delivery(parts.pool, sent))["state"] for sent in ids} == {"delivered"}


async def test_2xx_is_delivered(pool: Pool, erp: Erp) -> None:
    for row, open_lane, _ in await answered_with(pool, erp, 200, 204, 299):
        assert (row["state"], row["attempts_made"], row["tries"]) == ("delivered", 1, 1)
        assert row["closed_at"] is not None
        assert open_lane["last_success_at"] is not None


async def test_what_may_pass_is_tried_again_and_a_redirect_is_not_followed(
    pool: Pool, erp: Erp
) -> None:
    passing = [302, 308, 408, 425, 429, 500, 502, 503, 599]
    for row, open_lane, _ in await answered_with(pool, erp, *passing):
        assert (row["state"], row["attempts_made"], row["closed_at"]) == ("waiting", 1, None)
        assert (open_lane["state"], open_lane["failures_in_row"]) == ("open", 1)
    assert len(erp.arrivals) == len(passing)


async def test_the_second_try_comes_after_five_seconds(parts: DeliverParts, erp: Erp) -> None:
    sent = await put(parts.pool, "prq_1")
    erp.answering = answers(500)

    assert (await wait_after_a_failure(parts, sent)).is_about(5)


async def test_refused_credentials_put_the_endpoint_on_hold_and_count_no_try(
    pool: Pool, erp: Erp
) -> None:
    earliest = datetime.now(UTC)
    answered = await answered_with(pool, erp, 401, 403)
    latest = datetime.now(UTC)

    for (row, held, _), status in zip(answered, (401, 403), strict=True):
        assert (held["state"], held["reason"]) == ("on_hold", f"http_{status}")
        assert Wait(earliest, latest, held["probe_at"]).is_between(15, 15)
        assert (row["state"], row["attempts_made"]) == ("waiting", 0)


async def test_410_holds_the_endpoint_until_an_operator_says_so(
    parts: DeliverParts, erp: Erp
) -> None:
    sent = await put(parts.pool, "prq_1")
    erp.answering = answers(410)
    await drain(parts)
    await drain_again(parts)

    held = await lane(parts.pool)
    assert (held["state"], held["reason"], held["probe_at"]) == ("on_hold", "gone", None)
    assert (await delivery(parts.pool, sent))["state"] == "waiting"
    assert len(erp.arrivals) == 1


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        ([422], [("notification.given_up", "http_422")]),
        ([401], [("endpoint.held", "http_401")]),
        ([410], [("endpoint.held", "gone")]),
        ([403, 403], [("endpoint.held", "http_403")]),
        ([401, 410], [("endpoint.held", "http_401"), ("endpoint.held", "gone")]),
        ([503, 429], []),
    ],
)
async def test_a_person_hears_of_a_dead_letter_and_of_a_closed_lane_once(
    parts: DeliverParts, erp: Erp, statuses: list[int], told: list[tuple[str, str]]
) -> None:
    await put(parts.pool, "prq_1")
    erp.answering = answers(*statuses)

    with capture_logs() as logs:
        for _ in statuses:
            await drain_again(parts)

    errors = [each for each in logs if each["log_level"] == "error"]
    assert [(each["event"], each.get("reason", each.get("outcome"))) for each in errors] == told


async def test_any_other_4xx_is_a_dead_letter_with_its_answer(pool: Pool, erp: Erp) -> None:
    statuses = [400, 404, 409, 422, 499]
    answered = await answered_with(pool, erp, *statuses)

    for (row, open_lane, made), status in zip(answered, statuses, strict=True):
        assert (row["state"], row["attempts_made"]) == ("dead", 1)
        assert row["closed_at"] is not None
        assert made == [(1, f"http_{status}", f"said {status}")]
        assert open_lane["state"] == "open"


async def never(_arrival: Arrival) -> Answer:
    await asyncio.Event().wait()
    return 204


async def test_an_answer_that_does_not_come_is_tried_again(pool: Pool, erp: Erp) -> None:
    erp.answering = never
    async with sending(pool, endpoint(erp, timeout=timedelta(milliseconds=100))) as parts:
        sent = await put(pool, "prq_1")
        await drain(parts)

    assert await attempts(pool, sent) == [(1, "timeout", "")]
    assert (await delivery(pool, sent))["attempts_made"] == 1
    assert (await lane(pool))["state"] == "open"


@pytest.mark.parametrize(
    ("url", "outcome"),
    [("http://127.0.0.1:1/", "connect_failed"), ("https://{erp}/hooks", "tls_failed")],
)
async def test_a_connection_that_fails_is_tried_again(
    pool: Pool, erp: Erp, url: str, outcome: str
) -> None:
    address = erp.url.removeprefix("http://").removesuffix("/hooks")
    async with sending(pool, endpoint(erp, url=url.format(erp=address))) as parts:
        sent = await put(pool, "prq_1")
        await drain(parts)

    row = await delivery(pool, sent)
    assert (row["state"], row["attempts_made"]) == ("waiting", 1)
    assert (await attempts(pool, sent))[0][1] == outcome
    assert (await lane(pool))["state"] == "open"


async def test_a_refused_address_holds_the_lane_and_nothing_is_sent(pool: Pool, erp: Erp) -> None:
    async with sending(pool, endpoint(erp, allow_private=False)) as parts:
        sent = await put(pool, "prq_1")
        await drain(parts)

    held = await lane(pool)
    assert (held["state"], held["reason"]) == ("on_hold", "address_refused")
    assert (await delivery(pool, sent))["attempts_made"] == 0
    assert not erp.arrivals


async def test_retry_after_counts_between_the_step_and_an_hour(
    parts: DeliverParts, erp: Erp
) -> None:
    bounds = {"1800": (1800, 1800), "86400": (3600, 3600), "0": (4, 6)}
    for asked, (least, most) in bounds.items():
        sent = await put(parts.pool, f"prq_{asked}")
        erp.answering = answers(429, **{"Retry-After": asked})
        wait = await wait_after_a_failure(parts, sent)

        assert wait.is_between(least, most)


async def test_the_endpoints_own_schedule_ends_in_a_dead_letter_and_nothing_is_deleted(
    pool: Pool, erp: Erp
) -> None:
    retry = tuple(timedelta(seconds=seconds) for seconds in (0, 50, 500))
    erp.answering = answers(503)
    async with sending(pool, endpoint(erp, retry=retry)) as parts:
        sent = await put(pool, "prq_1")

        assert (await wait_after_a_failure(parts, sent)).is_about(50)
        await let_time_pass(pool, "deliveries", "due_at")
        assert (await wait_after_a_failure(parts, sent)).is_about(500)
        await drain_again(parts)

    row = await delivery(pool, sent)
    assert (row["state"], row["attempts_made"]) == ("dead", 3)
    assert len(await attempts(pool, sent)) == 3


async def test_five_failures_over_two_requests_hold_the_lane(parts: DeliverParts, erp: Erp) -> None:
    for number in range(5):
        await put(parts.pool, f"prq_{number}")
    erp.answering = answers(500)
    await drain(parts)

    held = await lane(parts.pool)
    assert (held["state"], held["reason"]) == ("on_hold", "http_500")


async def held_lane(parts: DeliverParts, erp: Erp, *subjects: str) -> list[str]:
    """Have the ERP refuse our credentials until its lane is on hold; return what waits."""
    ids = [await put(parts.pool, subject) for subject in subjects]
    erp.answering = answers(401)
    await drain(parts)
    erp.arrivals.clear()
    return ids


async def test_a_probe_that_arrives_has_the_lane_drain_everything(
    parts: DeliverParts, erp: Erp
) -> None:
    states: list[str] = []

    async def note_the_state(_arrival: Arrival) -> Answer:
        states.append((await lane(parts.pool))["state"])
        return 204

    ids = await held_lane(parts, erp, "prq_1", "prq_2")
    erp.answering = note_the_state
    await drain_again(parts)

    assert states == ["probing", "draining"]
    assert (await lane(parts.pool))["state"] == "open"
    assert {(await delivery(parts.pool, sent))["state"] for sent in ids} == {"delivered"}


async def test_nothing_goes_to_a_lane_on_hold_before_its_probe(
    parts: DeliverParts, erp: Erp
) -> None:
    await held_lane(parts, erp, "prq_1", "prq_2")
    await let_time_pass(parts.pool, "deliveries", "due_at")

    assert await drain(parts) == 0
    assert not erp.arrivals


async def test_a_probe_goes_even_before_its_deliverys_time(parts: DeliverParts, erp: Erp) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await held_lane(parts, erp, "prq_1")
    async with parts.pool.connection() as connection:
        await connection.execute("update deliveries set due_at = %s", [tomorrow])
    await let_time_pass(parts.pool, "endpoints", "probe_at")
    erp.answering = answers(204)

    assert await drain(parts) == 1
    assert (await lane(parts.pool))["state"] == "open"


@pytest.mark.parametrize("concurrency", [1, 10])
async def test_a_hold_is_probed_with_the_oldest_first_and_then_with_one_after_the_other(
    pool: Pool, erp: Erp, concurrency: int
) -> None:
    async with sending(pool, endpoint(erp, concurrency=concurrency)) as parts:
        for number in range(6):
            at = AT + timedelta(seconds=number)
            await put(pool, f"prq_{number}", created_at=at, due_at=at)
        erp.answering = answers(503)
        await drain(parts)
        assert (await lane(pool))["state"] == "on_hold"
        erp.arrivals.clear()

        for _ in range(6):
            await drain_again(parts)

    assert erp.places[0] == ("prq_0", 1)
    assert len(set(erp.places)) == len(erp.places) == 6


async def test_a_message_that_the_erp_chokes_on_does_not_keep_the_lane_closed(
    parts: DeliverParts, erp: Erp
) -> None:
    async def chokes_on_one(arrival: Arrival) -> Answer:
        return 500 if arrival.place == ("prq_0", 1) else 204

    choked, sent = await held_lane(parts, erp, "prq_0", "prq_1")
    erp.answering = chokes_on_one
    for _ in range(2):
        await drain_again(parts)

    assert (await lane(parts.pool))["state"] == "draining"
    assert (await delivery(parts.pool, sent))["state"] == "delivered"
    assert (await delivery(parts.pool, choked))["state"] == "waiting"


async def test_a_probe_that_fails_doubles_the_wait_and_counts_no_try(
    parts: DeliverParts, erp: Erp
) -> None:
    [sent, _] = await held_lane(parts, erp, "prq_1", "prq_2")
    erp.answering = answers(503)
    await drain_again(parts)

    held, row = await lane(parts.pool), await delivery(parts.pool, sent)
    assert (held["state"], held["probe_wait_seconds"], len(erp.arrivals)) == ("on_hold", 30, 1)
    assert (row["state"], row["attempts_made"], row["tries"]) == ("waiting", 0, 2)


class Crowd:
    """Has everybody who calls wait, and counts how many do so at a time."""

    def __init__(self) -> None:
        self.inside = self.inside_max = 0
        self.doors = asyncio.Event()

    async def wait(self, _arrival: Arrival) -> Answer:
        self.inside += 1
        self.inside_max = max(self.inside_max, self.inside)
        await self.doors.wait()
        self.inside -= 1
        return 204


async def test_two_workers_together_keep_the_endpoints_concurrency(pool: Pool, erp: Erp) -> None:
    crowd = Crowd()
    erp.answering = crowd.wait
    async with sending(pool, endpoint(erp, concurrency=3)) as parts:
        ids = [await put(pool, f"prq_{number}") for number in range(8)]
        bells = [asyncio.Event(), asyncio.Event()]
        workers = [asyncio.create_task(deliver_due(parts, slots=16, bell=b)) for b in bells]
        await eventually(lambda: crowd.inside == 3)
        for _ in range(2):  # Whoever answers the second bell has made the claim of the first.
            await answered(bells, workers)
        crowd.doors.set()
        await asyncio.gather(*workers)

    assert crowd.inside_max == 3
    assert {(await delivery(pool, sent))["state"] for sent in ids} == {"delivered"}


async def answered(bells: list[asyncio.Event], workers: list[asyncio.Task[int]]) -> None:
    """Ring, and wait until every worker that still works has begun to look."""
    for bell in bells:
        bell.set()
    pairs = list(zip(bells, workers, strict=True))
    await eventually(lambda: all(each.done() or not bell.is_set() for bell, each in pairs))


async def test_two_workers_together_keep_the_endpoints_rate(pool: Pool, erp: Erp) -> None:
    async with sending(pool, endpoint(erp, rate=Rate(5, 1.0))) as parts:
        for number in range(12):
            await put(pool, f"prq_{number}")
        started = time.monotonic()
        await asyncio.gather(drain(parts), drain(parts))

    fastest_seconds = (12 - 1) / 5  # one may go at once
    assert time.monotonic() - started > fastest_seconds
    assert len(set(erp.ids)) == len(erp.ids) == 12


async def test_who_saw_a_lane_before_another_claimed_from_it_gets_nothing(
    parts: DeliverParts,
) -> None:
    for number in range(3):
        await put(parts.pool, f"prq_{number}")
    async with unit_of_work(parts.pool) as work:
        deliveries = Deliveries(work.connection)
        (seen,) = await Lanes(work.connection).with_work()
        after = after_claim(seen.lane, Allowance(1), now=seen.at, rate=1000, timeout_seconds=9)
        first = await deliveries.claim(seen, after, 1, lease_seconds=9)
        second = await deliveries.claim(seen, after, 1, lease_seconds=9)

    assert (len(first), second) == (1, [])


async def test_what_has_just_come_due_is_left_to_whoever_wrote_it(parts: DeliverParts) -> None:
    await put(parts.pool, "prq_1", due_at=datetime.now(UTC))
    async with unit_of_work(parts.pool) as work:
        lanes = Lanes(work.connection)
        assert len(await lanes.with_work()) == 1
        assert await lanes.with_work(waited_seconds=3600) == []


async def test_a_claim_gives_back_the_credit_of_what_it_did_not_find(parts: DeliverParts) -> None:
    await put(parts.pool, "prq_1")
    async with unit_of_work(parts.pool) as work:
        deliveries = Deliveries(work.connection)
        (seen,) = await Lanes(work.connection).with_work()
        after = after_claim(seen.lane, Allowance(5), now=seen.at, rate=1000, timeout_seconds=9)
        assert len(await deliveries.claim(seen, after, 5, lease_seconds=9)) == 1

    assert (await lane(parts.pool))["credit"] == after.credit + 4


async def test_an_arrival_ends_the_count_of_failures(parts: DeliverParts, erp: Erp) -> None:
    await put(parts.pool, "prq_1")
    erp.answering = answers(503, 204)
    await drain(parts)
    assert (await lane(parts.pool))["failures_in_row"] == 1

    await drain_again(parts)

    assert (await lane(parts.pool))["failures_in_row"] == 0


async def test_a_killed_workers_delivery_comes_back_with_its_lease_under_the_same_id(
    parts: DeliverParts, erp: Erp
) -> None:
    sent = await put(parts.pool, "prq_1")
    erp.answering = never
    worker = asyncio.create_task(drain(parts))
    await erp.has(1)
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker
    erp.answering = answers(204)

    assert await drain(parts) == 0
    await let_time_pass(parts.pool, "deliveries", "leased_until")
    assert await drain(parts) == 1
    assert erp.ids == [sent, sent]


async def test_an_answer_that_comes_after_the_lease_changes_nothing(
    parts: DeliverParts, erp: Erp
) -> None:
    doors = [asyncio.Event(), asyncio.Event()]

    async def each_by_its_own_door(_arrival: Arrival) -> Answer:
        number = len(erp.arrivals) - 1
        await doors[number].wait()
        return (404, 204)[number]

    erp.answering = each_by_its_own_door
    sent = await put(parts.pool, "prq_1")
    late = asyncio.create_task(drain(parts))
    await erp.has(1)
    await let_time_pass(parts.pool, "deliveries", "leased_until")
    next_one = asyncio.create_task(drain(parts))
    await erp.has(2)
    doors[0].set()
    await late

    assert (await delivery(parts.pool, sent))["state"] == "waiting"
    assert (await lane(parts.pool))["failures_in_row"] == 0
    doors[1].set()
    await next_one
    assert (await delivery(parts.pool, sent))["state"] == "delivered"
    assert [attempt[:2] for attempt in await attempts(parts.pool, sent)] == [(1, "http_204")]


async def test_an_endpoint_that_hangs_leaves_the_others_their_slots(pool: Pool, erp: Erp) -> None:
    crowd = Crowd()

    async def hang_on_one_path(arrival: Arrival) -> Answer:
        return await crowd.wait(arrival) if arrival.path == "/hangs" else 204

    erp.answering = hang_on_one_path
    hangs = endpoint(erp, "a", url=erp.url.replace("/hooks", "/hangs"))
    async with sending(pool, hangs, endpoint(erp, "b")) as parts:
        for number in range(3):
            await put(pool, f"prq_a{number}", to="a")
        ids = [await put(pool, f"prq_b{number}", to="b") for number in range(3)]
        worker = asyncio.create_task(drain(parts, slots=2))
        await eventually(lambda: set(ids) <= set(erp.ids))

        assert (crowd.inside, worker.done()) == (1, False)
        crowd.doors.set()
        await worker


async def test_a_removed_endpoint_keeps_its_backlog_paused_until_it_is_back(
    parts: DeliverParts, erp: Erp
) -> None:
    sent = await put(parts.pool, "prq_1")
    await configured(parts.pool, "another")
    assert await drain(parts) == 0
    removed = await lane(parts.pool)
    assert (removed["state"], removed["reason"], removed["configured"]) == (
        "paused",
        "removed",
        False,
    )

    await configured(parts.pool, "erp")

    assert await drain(parts) == 1
    assert (await delivery(parts.pool, sent))["state"] == "delivered"


async def test_an_operators_pause_outlives_the_endpoints_removal(parts: DeliverParts) -> None:
    async with parts.pool.connection() as connection:
        await connection.execute("update endpoints set state = 'paused', reason = 'maintenance'")
    for names in (["another"], ["erp"]):
        await configured(parts.pool, *names)

    paused = await lane(parts.pool)
    assert (paused["state"], paused["reason"]) == ("paused", "maintenance")


async def test_what_the_erp_took_is_not_sent_twice_because_postgresql_was_away(
    parts: DeliverParts, erp: Erp, servers: Urls
) -> None:
    async def shut_the_database(_arrival: Arrival) -> Answer:
        await allow_connections(servers.postgres, parts.pool, allow=False)
        return 204

    sent = await put(parts.pool, "prq_1")
    erp.answering = shut_the_database
    worker = asyncio.create_task(drain(parts))
    await eventually(lambda: parts.pool.get_stats().get("requests_errors", 0) > 0)
    await allow_connections(servers.postgres, parts.pool, allow=True)

    assert await worker == 1
    assert (await delivery(parts.pool, sent))["state"] == "delivered"
    assert erp.ids == [sent]
