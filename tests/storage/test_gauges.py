"""The gauges that alerts look at: when each is 0, and when it is not."""

from datetime import timedelta

from service.runtime import utc_now
from service.storage.database import Pool
from service.storage.views.gauges import GAUGES, read_gauges
from service.storage.workers import STUCK_SECONDS
from tests.storage.rows import AT, insert, insert_notification, insert_request, insert_transition


async def gauge(pool: Pool, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a gauge by the values of their labels."""
    (samples,) = [each.samples for each in await read_gauges(pool) if each.name == name]
    return {tuple(labels.values()): value for labels, value in samples}


async def test_an_empty_database_has_nothing_to_tell(pool: Pool) -> None:
    told = await read_gauges(pool)

    assert {each.name for each in told} == {asked.name for asked in GAUGES}
    assert [sample for each in told for sample in each.samples if sample[1]] == []


async def test_what_a_webhook_announced_is_told_apart_from_other_reads(pool: Pool) -> None:
    now = utc_now()
    await insert(pool, "accounts", name="ginger-nl", provider="ginger")
    for provider_id, told, age in (("polled", 0, 600), ("announced", 1, 60)):
        await insert(
            pool, "due", account="ginger-nl", kind="order", provider_id=provider_id,
            told=told, due_at=now - timedelta(seconds=age),
        )  # fmt: skip

    (told_seconds,) = (await gauge(pool, "settled_told_oldest_seconds")).values()
    (all_seconds,) = (await gauge(pool, "settled_due_oldest_seconds")).values()
    assert 60 <= told_seconds < 600 <= all_seconds


async def test_a_round_is_as_late_as_the_newest_plan_and_a_stretch_is_told_by_account(
    pool: Pool,
) -> None:
    now = utc_now()
    for name, age, stretch in (("ginger-nl", 300, 2.5), ("removed-long-ago", 9_000, 1)):
        await insert(pool, "accounts", name=name, provider="ginger")
        next_at = now - timedelta(seconds=age)
        await insert(pool, "poll_plans", account=name, next_at=next_at, stretch=stretch)

    assert 300 <= (await gauge(pool, "settled_plan_late_seconds"))[()] < 9_000
    assert (await gauge(pool, "settled_stretched"))["ginger-nl",] == 2.5


async def test_a_worker_is_stuck_only_while_reads_wait_and_one_that_is_gone_does_not_count(
    pool: Pool,
) -> None:
    now, long_ago = utc_now(), utc_now() - timedelta(seconds=2 * STUCK_SECONDS)
    for pid, seen_at, progressed_at in (
        (1, now, now),
        (2, now, long_ago),
        (3, long_ago, long_ago),
    ):
        await insert(
            pool, "workers", host="h", pid=pid, seen_at=seen_at, progressed_at=progressed_at
        )
    assert (await gauge(pool, "settled_workers"))[()] == 2
    assert (await gauge(pool, "settled_workers_stuck"))[()] == 0

    await insert(pool, "due", account="a", kind="order", provider_id="a", due_at=long_ago)
    assert (await gauge(pool, "settled_workers_stuck"))[()] == 1


async def test_messages_without_a_place_and_rows_in_a_default_partition_are_told(
    pool: Pool,
) -> None:
    before_all_partitions = AT - timedelta(days=400)
    request = await insert_request(pool, "a")
    await insert_transition(pool, request, 1, recorded_at=before_all_partitions)
    await insert_notification(pool, request, 1, created_at=before_all_partitions)

    used = await gauge(pool, "settled_default_partition_used")
    assert used["notifications",] == used["transitions",] == 1
    assert used["attempts",] == used["event_bodies",] == 0
    waited = (utc_now() - before_all_partitions).total_seconds()
    told = (await gauge(pool, "settled_unplaced_oldest_seconds"))[()]
    assert abs(told - waited) < 60


async def test_dead_letters_are_those_of_the_last_day(pool: Pool) -> None:
    await insert(pool, "endpoints", name="erp", kind="webhook")
    for number, age in ((1, timedelta(hours=1)), (2, timedelta(hours=30))):
        await insert(
            pool, "deliveries", id=f"dlv_{number}", notification_id=f"ntf_{number}",
            endpoint="erp", type="payment_request.paid", subject_id=f"prq_{number}", sequence=1,
            state="dead", due_at=AT, notified_at=AT, closed_at=utc_now() - age,
        )  # fmt: skip

    assert await gauge(pool, "settled_dead_letters") == {("erp",): 1}
