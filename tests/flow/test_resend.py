"""What a person does with deliveries and their lanes, seen by the ERP and in the record."""

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from standardwebhooks import Webhook

from service.errors import Malformed, NotFound
from service.flow.attempt import DeliverParts
from service.flow.deliver import deliver_due
from service.flow.intervene import pause, resend, resume, try_endpoint
from service.storage.database import Pool
from service.storage.lanes import Lanes
from service.storage.unit_of_work import unit_of_work
from service.storage.views.timeline import list_timeline
from tests.flow.surroundings import (
    SECRET,
    Answer,
    Arrival,
    Erp,
    answers,
    attempts,
    delivery,
    lane,
    let_time_pass,
    put,
)

WHO = "api:ops"


@pytest.fixture
def pool(emptied: Pool) -> Pool:
    return emptied


async def drain(parts: DeliverParts) -> int:
    return await deliver_due(parts, slots=16, bell=asyncio.Event())


async def send_again(pool: Pool, notification_id: str, reason: str | None = None) -> None:
    row = await delivery(pool, notification_id)
    await resend(pool, delivery_id=row["id"], wake=nobody, who=WHO, reason=reason)


def nobody() -> None:
    """Wake no worker."""


async def acts(pool: Pool) -> list[dict[str, Any]]:
    async with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("select did, who, reason, endpoint from interventions order by at")
        return await cursor.fetchall()


async def test_a_delivered_one_goes_again_with_the_same_id_and_bytes_and_its_numbers_go_on(
    parts: DeliverParts, erp: Erp
) -> None:
    sent = await put(parts.pool, "prq_1")
    await drain(parts)
    await send_again(parts.pool, sent)
    await drain(parts)

    first, second = erp.arrivals
    assert (first.id, first.body) == (second.id, second.body)
    Webhook(SECRET).verify(second.body, second.headers)
    assert [number for number, _, _ in await attempts(parts.pool, sent)] == [1, 2]
    assert (await delivery(parts.pool, sent))["state"] == "delivered"


async def test_a_dead_letter_goes_out_at_once_before_what_waits_behind_it(
    parts: DeliverParts, erp: Erp
) -> None:
    dead = await put(parts.pool, "prq_1", 1)
    erp.answering = answers(422, 503)
    await put(parts.pool, "prq_1", 2)
    await drain(parts)
    assert erp.places == [("prq_1", 1), ("prq_1", 2)]
    erp.answering = answers(204)

    await send_again(parts.pool, dead)
    await let_time_pass(parts.pool, "deliveries", "due_at")
    await drain(parts)

    assert erp.places[2:] == [("prq_1", 1), ("prq_1", 2)]
    row = await delivery(parts.pool, dead)
    assert (row["state"], row["attempts_made"], row["tries"]) == ("delivered", 1, 2)


async def test_one_that_waits_for_its_next_try_goes_now_and_keeps_its_place_in_the_schedule(
    parts: DeliverParts, erp: Erp
) -> None:
    sent = await put(parts.pool, "prq_1")
    erp.answering = answers(503, 204)
    await drain(parts)
    assert await drain(parts) == 0

    await send_again(parts.pool, sent)

    assert await drain(parts) == 1
    assert (await delivery(parts.pool, sent))["attempts_made"] == 2


async def test_a_resent_one_that_fails_again_begins_its_schedule_anew(
    parts: DeliverParts, erp: Erp
) -> None:
    sent = await put(parts.pool, "prq_1")
    erp.answering = answers(422, 503)
    await drain(parts)
    await send_again(parts.pool, sent)
    await drain(parts)

    row = await delivery(parts.pool, sent)
    assert (row["state"], row["attempts_made"], row["tries"]) == ("waiting", 1, 2)


async def test_a_resend_asked_for_during_an_attempt_leaves_that_attempt_its_answer(
    parts: DeliverParts, erp: Erp
) -> None:
    sent = await put(parts.pool, "prq_1")

    async def asked_for_meanwhile(_arrival: Arrival) -> Answer:
        await send_again(parts.pool, sent)
        return 204

    erp.answering = asked_for_meanwhile
    await drain(parts)

    assert (await delivery(parts.pool, sent))["state"] == "delivered"
    assert erp.ids == [sent]


async def test_a_resend_waits_for_a_paused_lane(parts: DeliverParts, erp: Erp) -> None:
    sent = await put(parts.pool, "prq_1")
    await drain(parts)
    await pause(parts.pool, endpoint="erp", who=WHO)
    await send_again(parts.pool, sent)

    assert await drain(parts) == 0
    await resume(parts.pool, endpoint="erp", wake=nobody, who=WHO)
    await drain(parts)
    assert erp.ids == [sent, sent]


async def test_a_resend_is_in_the_timeline_with_who_and_why(parts: DeliverParts, erp: Erp) -> None:
    sent = await put(parts.pool, "prq_1")
    await drain(parts)
    await send_again(parts.pool, sent, "the ERP lost it")
    await drain(parts)

    entries = (await list_timeline(parts.pool, "prq_1", after=None, limit=50)).items
    told = [entry for entry in entries if entry["what"] in ("intervention", "attempt")]
    assert [entry["what"] for entry in told] == ["attempt", "intervention", "attempt"]
    assert (told[1]["did"], told[1]["who"]) == ("resend", WHO)
    assert told[1]["reason"] == "the ERP lost it"
    assert told[1]["about"] == told[2]["delivery_id"]


async def test_an_unknown_delivery_is_not_found_and_nothing_is_written(pool: Pool) -> None:
    with pytest.raises(NotFound):
        await resend(pool, delivery_id="dlv_none", wake=nobody, who=WHO)

    assert await acts(pool) == []


async def test_a_paused_endpoint_gets_nothing_also_after_a_restart(
    parts: DeliverParts, erp: Erp
) -> None:
    await put(parts.pool, "prq_1")
    await pause(parts.pool, endpoint="erp", who=WHO, reason="moving house")
    async with unit_of_work(parts.pool) as work:
        await Lanes(work.connection).ensure([("erp", "webhook")])

    assert await drain(parts) == 0
    stopped = await lane(parts.pool)
    assert (stopped["state"], stopped["reason"]) == ("paused", "moving house")


async def test_who_paused_and_resumed_when_and_why_is_kept(parts: DeliverParts) -> None:
    await pause(parts.pool, endpoint="erp", who=WHO, reason="moving house")
    await resume(parts.pool, endpoint="erp", wake=nobody, who="command:eva", reason="moved")

    assert await acts(parts.pool) == [
        {"did": "pause", "who": WHO, "reason": "moving house", "endpoint": "erp"},
        {"did": "resume", "who": "command:eva", "reason": "moved", "endpoint": "erp"},
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "update interventions set who = 'nobody'",
        "delete from interventions",
        "truncate interventions",
    ],
)
async def test_what_a_person_did_cannot_be_changed(parts: DeliverParts, statement: str) -> None:
    await pause(parts.pool, endpoint="erp", who=WHO)

    async with parts.pool.connection() as connection:
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            await connection.execute(statement.encode())


async def test_a_lane_held_after_410_opens_when_a_person_says_so(
    parts: DeliverParts, erp: Erp
) -> None:
    sent = await put(parts.pool, "prq_1")
    erp.answering = answers(410, 204)
    await drain(parts)
    assert (await lane(parts.pool))["reason"] == "gone"

    await resume(parts.pool, endpoint="erp", wake=nobody, who=WHO)
    await drain(parts)

    assert (await delivery(parts.pool, sent))["state"] == "delivered"
    assert (await lane(parts.pool))["state"] == "open"


async def test_nobody_can_give_our_own_word_as_a_reason(parts: DeliverParts) -> None:
    with pytest.raises(Malformed):
        await pause(parts.pool, endpoint="erp", who=WHO, reason="removed")


async def test_an_endpoint_that_was_removed_or_never_there_is_not_found(
    parts: DeliverParts,
) -> None:
    async with unit_of_work(parts.pool) as work:
        await Lanes(work.connection).ensure([("another", "webhook")])

    for name in ("erp", "none"):
        with pytest.raises(NotFound):
            await resume(parts.pool, endpoint=name, wake=nobody, who=WHO)
    assert await acts(parts.pool) == []


@pytest.mark.parametrize(("status", "is_fine"), [(204, True), (422, False), (503, False)])
async def test_a_try_is_signed_like_any_message_and_tells_the_answer(
    parts: DeliverParts, erp: Erp, status: int, *, is_fine: bool
) -> None:
    erp.answering = answers(status)

    tried = await try_endpoint(parts, endpoint=parts.endpoints["erp"], who=WHO)

    (arrival,) = erp.arrivals
    message = Webhook(SECRET).verify(arrival.body, arrival.headers)
    assert (message["type"], message["id"]) == ("endpoint.test", arrival.id)
    assert arrival.id == tried.notification_id
    assert tried.notification_id.startswith("ntf_")
    assert (tried.is_fine, tried.outcome.status_code) == (is_fine, status)
    assert tried.outcome.excerpt in ("", f"said {status}")


async def test_a_try_goes_out_beside_the_feed_and_leaves_a_paused_lane_as_it_is(
    parts: DeliverParts, erp: Erp
) -> None:
    await pause(parts.pool, endpoint="erp", who=WHO)
    before = await lane(parts.pool)

    await try_endpoint(parts, endpoint=parts.endpoints["erp"], who=WHO)

    assert len(erp.arrivals) == 1
    assert await lane(parts.pool) == before
    async with parts.pool.connection() as connection:
        for table in ("notifications", "deliveries", "attempts"):
            cursor = await connection.execute(f"select from {table}".encode())
            assert cursor.rowcount == 0
