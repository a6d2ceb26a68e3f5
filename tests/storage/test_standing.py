"""How the whole service stands, read from rows that are there."""

from datetime import UTC, datetime, timedelta

from service.storage.database import DURABLE, Pool, pool_of
from service.storage.views.standing import Waiting, read_server, read_standing
from service.storage.workers import note_worker
from tests.storage.rows import (
    AT,
    insert,
    insert_delivery,
    insert_event,
    insert_notification,
    insert_order,
    insert_request,
    insert_transition,
)


async def test_nothing_runs_waits_or_asks_for_anybody_in_an_empty_database(pool: Pool) -> None:
    standing = await read_standing(pool)

    assert (standing.workers, set(standing.connected.values())) == (0, {0})
    assert (standing.due, standing.deliveries) == (Waiting(0, 0.0), Waiting(0, 0.0))
    assert (standing.parked, standing.dead, standing.strayed) == (0, 0, ())
    assert (standing.requests_attention, standing.orders_attention) == ({}, {})


async def test_the_server_tells_its_settings_and_its_clock(pool: Pool) -> None:
    server = await read_server(pool)

    assert set(server.settings) == set(DURABLE)
    assert abs(server.now - datetime.now(UTC)) < timedelta(seconds=5)


async def test_who_is_alive_is_known_by_signs_of_life_and_sessions(
    pool: Pool, database_url: str
) -> None:
    await note_worker(database_url, pid=1, progressed=True)
    await insert(pool, "workers", host="gone", pid=1, seen_at=AT)
    async with pool_of(database_url, application="beat", connections_max=1) as beat:
        await beat.wait()
        standing = await read_standing(pool)

    assert standing.workers == 1
    assert (standing.connected["beat"], standing.connected["web"]) == (1, 0)


async def test_work_that_could_be_done_is_counted_with_the_age_of_the_oldest(pool: Pool) -> None:
    await insert(pool, "accounts", name="ok", provider="ginger")
    await insert(pool, "accounts", name="held", provider="ginger", state="paused")
    for account, hours in (("ok", 1), ("ok", 2), ("held", 9)):
        due_at = datetime.now(UTC) - timedelta(hours=hours)
        await insert(
            pool, "due", account=account, kind="order", provider_id=str(hours), urgency=1,
            due_at=due_at, wanted=1,
        )  # fmt: skip
    await insert(
        pool,
        "due",
        account="ok",
        kind="order",
        provider_id="p",
        urgency=1,
        parked="unmapped_status",
    )

    standing = await read_standing(pool)

    assert standing.due.count == 2
    assert 7200 <= standing.due.oldest_seconds < 7300
    assert standing.parked == 1


async def test_what_waits_at_a_closed_lane_is_held_and_not_late(pool: Pool) -> None:
    await insert(pool, "endpoints", name="erp", kind="webhook", state="paused")
    await insert_transition(pool, "prq_1", 1)
    await insert_delivery(pool, await insert_notification(pool, "prq_1", 1), subject_id="prq_1")

    assert (await read_standing(pool)).deliveries == Waiting(1, 0.0)


async def test_dead_letters_are_counted_and_those_that_the_erp_was_not_told_of(pool: Pool) -> None:
    await insert(pool, "endpoints", name="erp", kind="webhook")
    for number, is_told in ((1, True), (2, False)):
        subject = f"prq_{number}"
        await insert_transition(pool, subject, 1)
        notification = await insert_notification(pool, subject, 1)
        await insert_delivery(
            pool, notification, subject_id=subject, state="dead", closed_at=AT, is_told=is_told
        )

    standing = await read_standing(pool)

    assert (standing.dead, standing.dead_untold) == (2, 1)


async def test_attention_is_counted_by_code(pool: Pool) -> None:
    await insert_request(pool, "1", attention=["late_money", "amount_mismatch"])
    await insert_request(pool, "2", attention=["late_money"])
    await insert_order(pool, "INV-1", attention=["overpaid"])

    standing = await read_standing(pool)

    assert standing.requests_attention == {"late_money": 2, "amount_mismatch": 1}
    assert standing.orders_attention == {"overpaid": 1}


async def test_rows_without_a_partition_of_their_own_are_named(pool: Pool) -> None:
    long_ago = datetime(1999, 1, 1, tzinfo=UTC)
    await insert_event(pool, "1", "order-1", day=long_ago.date(), received_at=long_ago)

    assert (await read_standing(pool)).strayed == ("events_default",)
