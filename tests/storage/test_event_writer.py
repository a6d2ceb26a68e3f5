"""The receiver's insert, against a real PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from secrets import token_hex
from typing import Any

import psycopg
import pytest

from service.domain.event import Call, Event, EventVerdict
from service.domain.request import Kind
from service.errors import Malformed, Unavailable
from service.storage import event_writer
from service.storage.database import Pool
from service.storage.event_rows import day_of
from service.storage.event_writer import SESSION, EventWriter

ARRIVED_AT = datetime(2026, 11, 20, 14, 31, tzinfo=UTC)


def call(body: bytes = b'{"order_id": "a"}') -> Call:
    return Call({}, body, ARRIVED_AT)


def event(
    provider_id: str = "a",
    *,
    event_id: str | None = None,
    verdict: EventVerdict = EventVerdict.ACCEPTED,
    created_at: datetime | None = None,
) -> Event:
    return Event(Kind.ORDER, provider_id, event_id, verdict, created_at=created_at)


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[EventWriter]:
    writer = EventWriter(database_url)
    await writer.start()
    yield writer
    await writer.stop()


async def rows(pool: Pool, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        return await (await connection.execute(query, values)).fetchall()


async def wanted(pool: Pool, provider_id: str = "a") -> int:
    found = await rows(pool, "select wanted from due where provider_id = %s", [provider_id])
    return int(found[0][0]) if found else 0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.005)


async def backends(pool: Pool, waiting_for: str = "%") -> list[tuple[Any, ...]]:
    """Return the process ids of the writers' sessions."""
    return await rows(pool, _BACKENDS, [waiting_for])


async def terminate(pool: Pool) -> list[tuple[Any, ...]]:
    found = await backends(pool)
    for (process_id,) in found:
        await rows(pool, "select pg_terminate_backend(%s)", [process_id])
    return found


async def is_stored(writer: EventWriter, provider_id: str) -> bool:
    try:
        await writer.store("gc", call(), [event(provider_id)])
    except Unavailable:
        return False
    return True


async def is_back(writer: EventWriter, pool: Pool, lost: list[tuple[Any, ...]]) -> bool:
    return await backends(pool) not in ([], lost) and writer.is_connected


async def is_blocked(pool: Pool) -> bool:
    return bool(await backends(pool, "Lock"))


async def test_an_event_is_stored_with_its_bytes_and_its_request_made_due(
    writer: EventWriter, pool: Pool
) -> None:
    await writer.store("ginger-nl", call(b"\x00\xff{"), [event()])

    stored = await rows(
        pool,
        "select events.day, account, kind, provider_id, verdict, body"
        " from events join event_bodies on sha256 = body_sha256",
    )
    assert stored == [(date(2026, 11, 20), "ginger-nl", "order", "a", "accepted", b"\x00\xff{")]
    due = await rows(pool, "select wanted, done, known, urgency, observed_by from due")
    assert due == [(1, 0, False, 2, "webhook")]


async def test_a_call_is_answered_only_after_its_commit(writer: EventWriter, pool: Pool) -> None:
    await writer.store("gc", call(), [event("hot")])
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("select from due for update")
        answer = asyncio.ensure_future(writer.store("gc", call(), [event("hot")]))
        await until(lambda: is_blocked(pool))
        assert not answer.done()

    await answer
    assert await wanted(pool, "hot") == 2


async def test_the_same_bytes_twice_are_two_triggers(writer: EventWriter, pool: Pool) -> None:
    await writer.store("ginger-nl", call(), [event()])
    await writer.store("ginger-nl", call(), [event()])

    assert await wanted(pool) == 2
    assert await rows(pool, "select count(*) from events") == [(2,)]


async def test_an_event_id_is_stored_and_triggers_once(writer: EventWriter, pool: Pool) -> None:
    signed = event(event_id="EV1", created_at=ARRIVED_AT - timedelta(days=2))

    await asyncio.gather(*(writer.store("gc", call(), [signed, signed]) for _ in range(20)))

    assert await wanted(pool) == 1
    assert await rows(pool, "select count(*) from events") == [(1,)]


async def test_the_same_event_id_of_two_accounts_is_two_events(
    writer: EventWriter, pool: Pool
) -> None:
    await writer.store("gc-live", call(), [event(event_id="EV1")])
    await writer.store("gc-test", call(), [event(event_id="EV1")])

    assert await rows(pool, "select count(*) from events") == [(2,)]


async def test_an_event_without_work_is_kept_and_triggers_nothing(
    writer: EventWriter, pool: Pool
) -> None:
    idle = Event(None, None, verdict=EventVerdict.SET_ASIDE, reason="unknown_event")

    await writer.store("ginger-nl", call(), [idle, event(verdict=EventVerdict.PARKED)])

    assert await rows(pool, "select count(*) from due") == [(0,)]
    assert await rows(pool, "select reason from events where verdict = 'set_aside'") == [
        ("unknown_event",)
    ]


async def test_the_body_of_a_call_is_kept_once_and_its_hash_with_every_event(
    writer: EventWriter, pool: Pool
) -> None:
    await writer.store("gc", call(b"all of it"), [event("a"), event("b"), event("c")])

    assert await rows(pool, "select day, body from event_bodies") == [
        (ARRIVED_AT.date(), b"all of it")
    ]
    assert await rows(pool, "select distinct body_sha256 = sha256('all of it') from events") == [
        (True,)
    ]


async def test_a_new_event_finds_its_body_although_the_first_of_its_call_is_known(
    writer: EventWriter, pool: Pool
) -> None:
    await writer.store("gc", call(b"[1]"), [event("a", event_id="EV1")])
    await writer.store(
        "gc", call(b"[1,2]"), [event("a", event_id="EV1"), event("b", event_id="EV2")]
    )

    assert await rows(
        pool,
        "select event_id, body from events join event_bodies on sha256 = body_sha256"
        " order by event_id",
    ) == [("EV1", b"[1]"), ("EV2", b"[1,2]")]


async def test_calls_with_the_same_bytes_at_once_are_one_body(
    writer: EventWriter, pool: Pool
) -> None:
    await asyncio.gather(*(writer.store("ginger-nl", call(), [event()]) for _ in range(20)))

    assert await rows(pool, "select count(*) from event_bodies") == [(1,)]
    assert await wanted(pool) == 20


async def test_a_trigger_touches_neither_lease_nor_counters(
    writer: EventWriter, pool: Pool
) -> None:
    kept = "done, leased_until, lease_no, known, hurry, crashes, errors, failing_since, not_before"
    async with pool.connection() as connection:
        await connection.execute(
            "insert into due (account, kind, provider_id, wanted, done, due_at, not_before,"
            " leased_until, lease_no, urgency, known, observed_by, rereads, hurry, crashes,"
            " errors, failing_since, parked) values ('ginger-nl', 'order', 'a', 7, 3, 'infinity',"
            " '2999-01-01', '2030-01-01', 5, 1, true, 'poll', 2, 4, 1, 6, now(), 'a_code')"
        )
    before = await rows(pool, f"select {kept} from due")

    await writer.store("ginger-nl", call(), [event(), event()])

    assert await rows(pool, f"select {kept} from due") == before
    raised = "wanted, due_at = not_before, observed_by, rereads, urgency, parked"
    assert await rows(pool, f"select {raised} from due") == [(9, True, "webhook", 0, 0, None)]


async def test_a_trigger_never_puts_off_what_is_due(writer: EventWriter, pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "insert into due (account, kind, provider_id, due_at)"
            " values ('ginger-nl', 'order', 'a', '2020-01-01')"
        )

    await writer.store("ginger-nl", call(), [event()])

    assert await rows(pool, "select due_at = '2020-01-01' from due") == [(True,)]


async def test_concurrent_calls_share_few_commits(writer: EventWriter, pool: Pool) -> None:
    before = writer.commits

    await asyncio.gather(
        *(writer.store("ginger-nl", call(), [event(str(number))]) for number in range(100))
    )

    assert await rows(pool, "select count(*) from due") == [(100,)]
    assert writer.commits - before <= 3


async def test_hot_keys_from_four_writers_neither_deadlock_nor_lose_a_trigger(
    database_url: str, pool: Pool
) -> None:
    writers = [EventWriter(database_url) for _ in range(4)]
    for writer in writers:
        await writer.start()

    async def storm(writer: EventWriter, step: int) -> None:
        for turn in range(20):
            events = [event(str((turn + number * step) % 10)) for number in range(10)]
            await writer.store("gc", call(), events)

    await asyncio.gather(*(storm(writer, step) for writer in writers for step in (1, 3, 7, 9)))
    for writer in writers:
        await writer.stop()

    assert await rows(pool, "select sum(wanted) from due") == [(4 * 4 * 20 * 10,)]
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    assert await rows(pool, deadlocks) == [(0,)]


async def test_the_same_event_ids_in_any_order_at_once_are_stored_once(
    database_url: str, pool: Pool
) -> None:
    writers = [EventWriter(database_url) for _ in range(4)]
    for writer in writers:
        await writer.start()

    for turn in range(20):
        events = [event("hot", event_id=f"EV{turn}-{number}") for number in range(100)]
        calls = (writer.store("gc", call(), random.sample(events, 100)) for writer in writers)
        await asyncio.gather(*calls)
    for writer in writers:
        await writer.stop()

    assert await wanted(pool, "hot") == 20 * 100


@pytest.mark.parametrize(
    "poison",
    ["nul \x00", "lone surrogate \ud800", token_hex(5000)],
    ids=["nul", "surrogate", "long"],
)
async def test_one_poison_row_does_not_refuse_its_neighbours(
    writer: EventWriter, pool: Pool, poison: str
) -> None:
    good = [writer.store("gc", call(), [event(str(number))]) for number in range(30)]
    bad = writer.store("gc", call(), [event("beside"), event(poison)])

    *stored, refused = await asyncio.gather(*good, bad, return_exceptions=True)

    assert isinstance(refused, Malformed)
    assert stored == [None] * 30
    assert await rows(pool, "select count(*) from due") == [(30,)]


async def test_a_row_held_by_somebody_else_delays_only_its_own_calls(
    writer: EventWriter, pool: Pool
) -> None:
    await writer.store("gc", call(), [event("held")])
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("select from due for update")
        calls = [writer.store("gc", call(), [event(str(number))]) for number in range(60)]
        calls.insert(31, writer.store("gc", call(), [event("held")]))

        answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(answer) for answer in answers if answer is not None] == [Unavailable]
    assert await wanted(pool, "held") == 1
    await writer.store("gc", call(), [event("held")])


async def test_a_lost_connection_refuses_at_once_and_heals_by_itself(
    writer: EventWriter, pool: Pool
) -> None:
    await writer.store("gc", call(), [event("hot")])
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("select from due for update")
        caught = asyncio.ensure_future(writer.store("gc", call(), [event("hot")]))
        await until(lambda: is_blocked(pool))
        terminated = await terminate(pool)
        with pytest.raises(Unavailable) as refusal:
            await caught

    assert refusal.value.retry_after_seconds
    await until(lambda: is_back(writer, pool, terminated))
    await writer.store("gc", call(), [event("hot")])
    assert await wanted(pool, "hot") == 2


async def test_an_idle_writer_notices_a_lost_connection_before_the_next_call(
    writer: EventWriter, pool: Pool
) -> None:
    terminated = await terminate(pool)

    await until(lambda: is_back(writer, pool, terminated))
    await writer.store("gc", call(), [event()])


async def test_without_a_database_a_call_is_refused_at_once() -> None:
    writer = EventWriter("postgresql://nobody@/nothing?host=/nowhere")
    await writer.start()
    began = asyncio.get_running_loop().time()

    with pytest.raises(Unavailable):
        await writer.store("gc", call(), [event()])

    assert asyncio.get_running_loop().time() - began < 0.5
    await writer.stop()


async def test_more_than_the_buffer_holds_is_refused_at_once(
    writer: EventWriter, pool: Pool
) -> None:
    await writer.store("gc", call(), [event("hot")])
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("select from due for update")
        blocked = [asyncio.ensure_future(writer.store("gc", call(), [event("hot")]))]
        await until(lambda: is_blocked(pool))
        megabyte = call(b"x" * 1024 * 1024)
        blocked += [
            asyncio.ensure_future(writer.store("gc", megabyte, [event()])) for _ in range(7)
        ]
        await asyncio.sleep(0)

        with pytest.raises(Unavailable, match="too many"):
            await writer.store("gc", megabyte, [event()])

    assert await asyncio.gather(*blocked) == [None] * len(blocked)


async def test_what_is_stored_makes_room_for_the_next_call(
    writer: EventWriter, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_writer, "ROWS_HELD_MAX", 1)
    monkeypatch.setattr(event_writer, "BYTES_HELD_MAX", 2)

    for _ in range(3):
        await writer.store("gc", call(b"{}"), [event()])

    assert await wanted(pool) == 3


async def test_a_call_is_answered_in_time_though_the_database_is_not(
    writer: EventWriter, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_writer, "ANSWER_SECONDS_MAX", 0.2)
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("lock table events in access exclusive mode")

        with pytest.raises(Unavailable, match="not stored in time"):
            await writer.store("gc", call(), [event()])

    await until(lambda: is_stored(writer, "after"))
    assert await wanted(pool, "after") == 1


async def test_slow_batches_are_shared_as_quick_ones_are(
    writer: EventWriter, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_writer, "ANSWER_SECONDS_MAX", 1.0)
    async with pool.connection() as connection:
        await connection.execute(
            """
            create function take_a_while() returns trigger language plpgsql
                as $$ begin perform pg_sleep(0.6); return null; end $$
            """
        )
        await connection.execute(
            "create trigger slow before insert on events"
            " for each statement execute function take_a_while()"
        )

    try:
        for _ in range(2):
            commits = writer.commits
            await asyncio.gather(*(writer.store("gc", call(), [event()]) for _ in range(50)))
            assert writer.commits == commits + 1
    finally:
        async with pool.connection() as connection:
            await connection.execute("drop function take_a_while cascade")


async def test_calls_behind_a_batch_that_is_stuck_are_refused_at_once_until_one_is_stored(
    writer: EventWriter, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_writer, "ANSWER_SECONDS_MAX", 0.2)
    loop = asyncio.get_running_loop()
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("lock table events in access exclusive mode")
        with pytest.raises(Unavailable, match="not stored in time"):
            await writer.store("gc", call(), [event()])
        began = loop.time()
        for _ in range(100):
            with pytest.raises(Unavailable, match="cannot be stored in time") as refusal:
                await writer.store("gc", call(), [event("behind")])
        assert loop.time() - began < 0.2
        assert refusal.value.retry_after_seconds

    await until(lambda: is_stored(writer, "probe"))
    await asyncio.gather(*(writer.store("gc", call(), [event("after")]) for _ in range(100)))
    assert await wanted(pool, "after") == 100
    assert await wanted(pool, "behind") == 0


async def test_a_line_that_stays_silent_is_cut_and_opened_anew(
    writer: EventWriter, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_writer, "SILENCE_SECONDS_MAX", 0.2)
    lost = await backends(pool)
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("lock table events in access exclusive mode")

        with pytest.raises(Unavailable):
            await writer.store("gc", call(), [event()])

    await until(lambda: is_back(writer, pool, lost))
    await writer.store("gc", call(), [event()])


async def test_stopping_writes_what_is_in_hand(database_url: str, pool: Pool) -> None:
    writer = EventWriter(database_url)
    await writer.start()
    calls = [
        asyncio.ensure_future(writer.store("gc", call(), [event(str(number))]))
        for number in range(700)
    ]
    await asyncio.sleep(0)

    await writer.stop()

    assert await asyncio.gather(*calls) == [None] * 700
    assert await rows(pool, "select count(*) from due") == [(700,)]
    with pytest.raises(Unavailable):
        await writer.store("gc", call(), [event()])


async def test_commits_are_durable_even_where_the_database_says_otherwise(
    database_url: str, pool: Pool
) -> None:
    name = (await rows(pool, "select current_database()"))[0][0]
    async with pool.connection() as connection:
        await connection.execute(f"alter database {name} set synchronous_commit = off")

    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute(SESSION)
        shown = await (await connection.execute("show synchronous_commit")).fetchone()

    assert shown == ("on",)


@pytest.mark.parametrize(
    ("created_at", "day"),
    [
        (None, date(2026, 11, 20)),
        (datetime(2026, 11, 18, 23, 59, tzinfo=UTC), date(2026, 11, 18)),
        (datetime(1970, 1, 1, tzinfo=UTC), date(2026, 10, 16)),
        (datetime.max.replace(tzinfo=UTC), date(2026, 11, 21)),
    ],
)
def test_an_event_lies_in_the_partition_of_its_own_day_within_bounds(
    created_at: datetime | None, day: date
) -> None:
    assert day_of(created_at, received_at=ARRIVED_AT) == day


_BACKENDS = """
select pid from pg_stat_activity
 where datname = current_database() and application_name = 'settled receiver'
   and coalesce(wait_event_type, '') like %s
"""
