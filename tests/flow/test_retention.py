"""Facts leave by the quarter: what is left is untouched, chained, and says where it begins."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

import psycopg
import pytest
from structlog.testing import capture_logs

from service.domain.evidence import Checked, check_pack, write_pack
from service.errors import Gone
from service.storage.database import Pool
from service.storage.deliveries import Closing, Deliveries
from service.storage.feed import changes, place
from service.storage.lanes import Lanes
from service.storage.partitions import FACTS, keep_partitions
from service.storage.unit_of_work import connected, unit_of_work
from service.storage.views.deliveries import DeliveryFilter, list_deliveries
from service.storage.views.evidence import read_evidence
from service.storage.views.timeline import list_timeline
from tests.flow.world import World, order, order_id, refund, world_on

# A request that is opened, paid and partly given back, each in a quarter of its own.
MOMENTS = [datetime(2035, month, 10, 12, tzinfo=UTC) for month in (2, 5, 8)]
FIRST_IS_PAST = date(2036, 4, 1)
YEAR = timedelta(days=366)  # of 2036


async def keep(pool: Pool, today: date) -> list[str]:
    async with connected(pool) as connection:
        return await keep_partitions(connection, today=today, raw_bodies=YEAR, facts=YEAR)


async def deliver(world: World, at: datetime) -> None:
    """Deliver all that waits, as if it had been at that time."""
    async with unit_of_work(world.pool) as work:
        deliveries = Deliveries(work.connection)
        while lanes := await Lanes(work.connection).with_work():
            (seen,) = lanes
            claims = await deliveries.claim(seen, seen.lane, 9, lease_seconds=9)
            await deliveries.close(
                [Closing(claim, "delivered", True, 0, at, "ok", 204, 7, "") for claim in claims]
            )
        await work.connection.execute(
            "update deliveries set closed_at = notified_at where state = 'delivered'"
        )


@pytest.fixture
async def lived(pool: Pool) -> AsyncIterator[World]:
    """A world with three quarters of history, each read, told and delivered in its own."""
    pictures = [
        [order(1, "order_new", minute=1)],
        [order(1, minute=2)],
        [order(1, refund_orders=[order_id(2)], minute=3), refund(2, of=1)],
    ]
    async with world_on(pool) as world:
        for moment, shown in zip(MOMENTS, pictures, strict=True):
            await keep(pool, moment.date())
            then = replace(world, parts=replace(world.parts, now=partial(_same, moment)))
            then.provider.shows(*shown)
            await then.read(1)
            await place(pool)
            await deliver(then, moment)
        yield world


def _same(moment: datetime) -> datetime:
    return moment


async def rows_of(world: World, table: str) -> dict[str, list[str]]:
    """Return the rows of a table, and where each lies, by partition."""
    found: dict[str, list[str]] = {}
    for row in await world.rows(
        f"select tableoid::regclass::text as part, concat(ctid, t) as row from {table} as t"
    ):
        found.setdefault(row["part"], []).append(row["row"])
    return found


async def checked(world: World) -> Checked:
    request = await world.request(1)
    assert request is not None
    rows = await read_evidence(world.pool, request.id, with_raw=True, at=MOMENTS[-1])
    assert rows is not None
    return check_pack(b"".join(write_pack(rows)))


async def test_a_quarter_leaves_whole_and_no_row_of_another_is_touched(lived: World) -> None:
    before = {table: await rows_of(lived, table) for table in FACTS.tables}

    on_the_eve = await keep(lived.pool, FIRST_IS_PAST - timedelta(days=1))
    dropped = await keep(lived.pool, FIRST_IS_PAST)

    assert [name for name in on_the_eve if name.startswith(tuple(FACTS.tables))] == []
    assert {name for name in dropped if name.startswith(tuple(FACTS.tables))} == {
        f"{table}_2035q1" for table in FACTS.tables
    }
    for table in FACTS.tables:
        left = before[table]
        gone = left.pop(f"{table}_2035q1", [])
        assert await rows_of(lived, table) == left
        assert (len(gone), sum(map(len, left.values()))) == (
            (0, 0) if table == "untold_changes" else (2, 4)
        )


async def test_the_chain_is_checked_from_where_it_begins(lived: World) -> None:
    whole = await checked(lived)
    await keep(lived.pool, FIRST_IS_PAST)
    cut = await checked(lived)

    assert (whole.problems, dict(whole.cut)) == ((), {})
    assert (cut.problems, set(cut.cut.values())) == ((), {2})
    assert (whole.counts["transition"], cut.counts["transition"]) == (6, 4)

    await keep(lived.pool, date(2044, 1, 1))
    nothing = await checked(lived)

    assert (nothing.problems, set(nothing.cut.values())) == ((), {4})
    assert "transition" not in nothing.counts


async def test_rows_that_retention_did_not_drop_are_missed(lived: World) -> None:
    """Whoever deletes the beginning of a history by hand cannot call it retention."""
    await keep(lived.pool, FIRST_IS_PAST)
    await lived.run(
        "do $$ begin set local session_replication_role = replica;"
        " delete from transitions where sequence = 2; end $$"
    )

    problems = [problem.what for problem in (await checked(lived)).problems]

    assert problems != []
    await lived.run(
        "do $$ begin set local session_replication_role = replica; delete from forgotten; end $$"
    )
    assert "a gap: sequence 1 was to follow" in str((await checked(lived)).problems)


async def test_a_cursor_to_what_was_dropped_is_gone_and_says_where_to_begin(lived: World) -> None:
    start = await changes(lived.pool, after=None, limit=1)
    await keep(lived.pool, FIRST_IS_PAST)

    with pytest.raises(Gone) as refused:
        await changes(lived.pool, after=start.next, limit=9)

    again = await changes(lived.pool, after=refused.value.oldest, limit=9)
    assert again.bodies == (await changes(lived.pool, after=None, limit=9)).bodies
    assert len(again.bodies) == 4


async def test_what_is_still_to_be_delivered_holds_its_quarter_and_all_after_it(
    lived: World,
) -> None:
    waiting = "update deliveries set state = 'waiting', closed_at = null where notified_at < %s"
    await lived.run(waiting, MOMENTS[1])

    with capture_logs() as logs:
        dropped = await keep(lived.pool, date(2036, 7, 1))

    assert [name for name in dropped if name.startswith("transitions")] == []
    (held,) = [log for log in logs if log["event"] == "partition.held"]
    assert (held["partition"], held["waiting"]) == ("2035q1", 2)

    await deliver(lived, MOMENTS[0])
    dropped = await keep(lived.pool, date(2036, 7, 1))
    assert [n for n in dropped if n.startswith("tran")] == [
        "transitions_2035q1", "transitions_2035q2"
    ]  # fmt: skip


async def test_an_attempt_that_was_made_lately_holds_its_quarter(lived: World) -> None:
    await lived.run("update deliveries set closed_at = %s where true", MOMENTS[2])

    dropped = await keep(lived.pool, FIRST_IS_PAST)

    assert [name for name in dropped if name.startswith("attempts")] == []


async def test_in_every_partition_history_refuses_to_be_changed(lived: World) -> None:
    refused = {
        "transitions": ("update {} set hash = ''", "delete from {}", "truncate {} cascade"),
        "notifications": ("update {} set body = ''", "delete from {}", "truncate {} cascade"),
        "attempts": ("update {} set number = 2", "delete from {}", "truncate {}"),
        "deliveries_closed": ("truncate {}",),
    }
    for table, statements in refused.items():
        partitions = await rows_of(lived, table)
        assert len(partitions) == len(MOMENTS)
        for statement in statements:
            for partition in partitions:
                with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
                    await lived.run(statement.format(partition))


async def test_a_sequence_that_was_dropped_is_never_given_again(lived: World) -> None:
    await keep(lived.pool, FIRST_IS_PAST)
    request = await lived.request(1)
    assert request is not None

    for sequence in (1, 3, 5):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="goes on by one"):
            await lived.run(
                "insert into transitions select (jsonb_populate_record(t, jsonb_build_object("
                " 'id', 'trn_other', 'sequence', %s::int, 'recorded_at', '2036-02-01'))).*"
                " from transitions as t where subject_id = %s and sequence = 2",
                sequence,
                request.id,
            )
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="goes on by one"):
        await lived.run("update requests set sequence = 0, status = null, chain = ''")


async def test_what_is_shown_of_the_past_is_what_is_kept_of_it(lived: World) -> None:
    request = await lived.request(1)
    assert request is not None
    before = await list_timeline(lived.pool, request.id, after=None, limit=99)
    await keep(lived.pool, FIRST_IS_PAST)
    after = await list_timeline(lived.pool, request.id, after=None, limit=99)
    shown = await list_deliveries(lived.pool, DeliveryFilter(), after=None, limit=99)

    told = [entry for entry in before.items if entry["what"] in ("notification", "attempt")]
    assert [e for e in after.items if e["what"] in ("notification", "attempt")] == told[2:]
    assert [len(delivery["attempts"]) for delivery in shown.items] == [1] * 4
