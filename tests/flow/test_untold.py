"""What an endpoint never got is listed in the next message of its request, and skipped on wish."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.lane import LaneState
from service.flow.attempt import DeliverParts
from service.flow.deliver import deliver_due
from service.storage.database import Pool
from service.storage.unit_of_work import unit_of_work
from service.storage.untold import supersede
from tests.flow.surroundings import (
    Erp,
    answers,
    delivery,
    endpoint,
    lane,
    let_time_pass,
    put,
    sending,
    stored_bodies,
)


@pytest.fixture
def pool(emptied: Pool) -> Pool:
    return emptied


@pytest.fixture
async def compact(pool: Pool, erp: Erp) -> AsyncIterator[DeliverParts]:
    """An endpoint that wants only the newest of each request after a stop."""
    async with sending(pool, endpoint(erp, compact=True)) as parts:
        yield parts


async def drain(parts: DeliverParts) -> None:
    await deliver_due(parts, slots=16, bell=asyncio.Event())


async def drain_again(parts: DeliverParts) -> None:
    await let_time_pass(parts.pool, "deliveries", "due_at")
    await let_time_pass(parts.pool, "endpoints", "probe_at")
    await drain(parts)


async def drain_at_full_rate(parts: DeliverParts) -> None:
    """Deliver as a lane does whose drain began a minute ago."""
    began_at = datetime.now(UTC) - timedelta(minutes=1)
    await run(
        parts.pool,
        "update endpoints set state = %s, draining_since = %s, credited_at = %s",
        str(LaneState.DRAINING),
        began_at,
        began_at,
    )
    await drain(parts)


async def run(pool: Pool, statement: str, *values: object) -> None:
    async with pool.connection() as connection:
        await connection.execute(statement.encode(), values)


def lists(erp: Erp) -> list[tuple[int, object, object]]:
    """Return the sequence of each message that arrived and what it says never did."""
    found = [arrival.data for arrival in erp.arrivals]
    return [(data["sequence"], data.get("dead"), data.get("superseded")) for data in found]


async def states(pool: Pool, *notification_ids: str) -> list[str]:
    return [(await delivery(pool, each))["state"] for each in notification_ids]


async def test_the_next_message_lists_dead_ones_and_the_one_after_it_does_not(
    parts: DeliverParts, erp: Erp
) -> None:
    for sequence in (1, 2, 3, 4):
        await put(parts.pool, "prq_1", sequence)
    erp.answering = answers(404, 404, 204)

    await drain(parts)

    assert lists(erp) == [(1, None, None), (2, [1], None), (3, [1, 2], None), (4, None, None)]


async def test_only_the_same_request_at_the_same_endpoint_lists_it(pool: Pool, erp: Erp) -> None:
    other = erp.url.replace("/hooks", "/other")
    async with sending(pool, endpoint(erp), endpoint(erp, "other", url=other)) as parts:
        await put(pool, "prq_1", 1)
        erp.answering = answers(404)
        await drain(parts)
        erp.answering = answers(204)
        await put(pool, "prq_2", 2)
        await put(pool, "prq_1", 2, to="other")
        await drain(parts)

    assert lists(erp)[1:] == [(2, None, None)] * 2


async def test_every_try_has_the_same_bytes_though_the_dead_one_arrives_meanwhile(
    parts: DeliverParts, erp: Erp
) -> None:
    for sequence in (1, 2):
        await put(parts.pool, "prq_1", sequence)
    erp.answering = answers(404, 503, 204)
    await drain(parts)
    await run(parts.pool, "update deliveries set state = 'delivered' where sequence = 1")
    await drain_again(parts)

    _, first, second = erp.arrivals
    assert first.body == second.body
    assert lists(erp)[2] == (2, [1], None)


async def test_a_message_that_went_out_before_lists_nothing_that_died_since(
    parts: DeliverParts, erp: Erp
) -> None:
    for sequence in (1, 2):
        await put(parts.pool, "prq_1", sequence)
    erp.answering = answers(204, 503, 204)
    await drain(parts)
    await run(parts.pool, "update deliveries set state = 'dead' where sequence = 1")
    await drain_again(parts)

    assert lists(erp) == [(1, None, None), (2, None, None), (2, None, None)]


async def test_the_feed_keeps_the_body_without_the_lists(parts: DeliverParts, erp: Erp) -> None:
    for sequence in (1, 2):
        await put(parts.pool, "prq_1", sequence)
    erp.answering = answers(404, 204)
    await drain(parts)

    bodies = await stored_bodies(parts.pool)
    assert bodies[0] == erp.arrivals[0].body
    assert b'"dead"' in erp.arrivals[1].body
    assert bodies[1] == erp.arrivals[1].body.replace(b',"dead":[1]', b"")


async def held_with_three_waiting(parts: DeliverParts, erp: Erp) -> list[str]:
    """Have the ERP refuse us until the lane is on hold; return what waits of one request."""
    sent = [await put(parts.pool, "prq_1", sequence) for sequence in (1, 2, 3)]
    erp.answering = answers(401)
    await drain(parts)
    assert (await lane(parts.pool))["state"] == "on_hold"
    erp.arrivals.clear()
    erp.answering = answers(204)
    return sent


async def test_after_a_stop_only_the_newest_goes_out_and_lists_what_it_skips(
    compact: DeliverParts, erp: Erp
) -> None:
    sent = await held_with_three_waiting(compact, erp)

    await drain_again(compact)

    assert lists(erp) == [(1, None, None), (3, None, [2])]
    assert await states(compact.pool, *sent) == ["delivered", "superseded", "delivered"]
    assert (await delivery(compact.pool, sent[1]))["closed_at"] is not None


async def test_without_compact_nothing_is_skipped(parts: DeliverParts, erp: Erp) -> None:
    await held_with_three_waiting(parts, erp)

    await drain_at_full_rate(parts)

    assert lists(erp) == [(1, None, None), (2, None, None), (3, None, None)]


async def test_an_open_lane_skips_nothing(compact: DeliverParts, erp: Erp) -> None:
    for sequence in (1, 2, 3):
        await put(compact.pool, "prq_1", sequence)

    await drain(compact)

    assert [sequence for sequence, *_ in lists(erp)] == [1, 2, 3]


async def test_what_is_skipped_for_a_dead_one_is_listed_by_the_next(
    compact: DeliverParts, erp: Erp
) -> None:
    for sequence in (1, 2, 3):
        await put(compact.pool, "prq_1", sequence)
    erp.answering = answers(404, 204)
    await drain_at_full_rate(compact)
    await put(compact.pool, "prq_1", 4)
    await put(compact.pool, "prq_1", 5)

    await drain(compact)

    assert lists(erp) == [(3, None, [1, 2]), (4, [3], [1, 2]), (5, None, None)]


async def test_each_request_has_its_own_newest(compact: DeliverParts, erp: Erp) -> None:
    for subject, last in (("prq_1", 2), ("prq_2", 3), ("prq_3", 1)):
        for sequence in range(1, last + 1):
            await put(compact.pool, subject, sequence)

    await drain_at_full_rate(compact)

    assert sorted(erp.places) == [("prq_1", 2), ("prq_2", 3), ("prq_3", 1)]


async def test_what_is_under_way_is_not_skipped(compact: DeliverParts) -> None:
    for sequence in (1, 2, 3):
        await put(compact.pool, "prq_1", sequence)
    await run(
        compact.pool, "update deliveries set leased_until = now() + '1 min' where sequence = 1"
    )
    async with unit_of_work(compact.pool) as work:
        skipped = await supersede(work.connection, "erp")

    assert skipped == 1
    assert await states(compact.pool, *(f"ntf_prq_1_{n}" for n in (1, 2, 3))) == [
        "waiting",
        "superseded",
        "waiting",
    ]
