"""The feed of changes: nothing ever appears behind a cursor that was handed out."""

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from service.errors import Malformed
from service.storage.database import Pool
from service.storage.feed import changes, place
from service.storage.unit_of_work import Work, unit_of_work
from tests.storage.rows import insert_notification, insert_transition


async def say(pool: Pool, subject: str, sequence: int) -> None:
    await insert_transition(pool, subject, sequence)
    await insert_notification(pool, subject, sequence, body=f"{subject}/{sequence}".encode())


async def read_all(pool: Pool, after: str | None = None, limit: int = 3) -> list[bytes]:
    """Follow the cursor to the end."""
    found: list[bytes] = []
    while (page := await changes(pool, after=after, limit=limit)).bodies:
        found += page.bodies
        after = page.next
    return found


async def test_the_feed_gives_every_body_once_in_the_order_of_commits(emptied: Pool) -> None:
    for sequence in range(1, 8):
        await say(emptied, "prq_1", sequence)

    assert await read_all(emptied) == [f"prq_1/{n}".encode() for n in range(1, 8)]


async def test_the_end_of_the_feed_hands_out_the_same_cursor_again(emptied: Pool) -> None:
    await say(emptied, "prq_1", 1)
    first = await changes(emptied, after=None, limit=10)

    second = await changes(emptied, after=first.next, limit=10)

    assert (second.bodies, second.next) == ([], first.next)


async def test_a_row_committed_late_comes_behind_the_cursor_not_before_it(emptied: Pool) -> None:
    await insert_transition(emptied, "prq_late", 1)
    async with unit_of_work(emptied) as work:
        await work.connection.execute(
            "insert into notifications (id, type, subject, subject_id, sequence, body, created_at)"
            " values ('ntf_late', 't', 'request', 'prq_late', 1, 'late', now())"
        )
        await say(emptied, "prq_1", 1)
        seen = await changes(emptied, after=None, limit=10)
        assert seen.bodies == [b"prq_1/1"]

    rest = await changes(emptied, after=seen.next, limit=10)

    assert rest.bodies == [b"late"]


@pytest.mark.parametrize("seed", range(3))
async def test_with_many_writers_no_reader_misses_a_row_or_sees_them_out_of_order(
    emptied: Pool, seed: int
) -> None:
    """Writers commit with delays and roll back now and then, while readers follow the feed."""
    chance = random.Random(seed)
    subjects = [f"prq_{seed}_{number}" for number in range(5)]
    sequences = 12
    delays = {
        (subject, sequence): chance.choice([0, 0, 1, 3, 9])
        for subject in subjects
        for sequence in range(1, sequences + 1)
    }
    done = asyncio.Event()

    async def write(subject: str) -> None:
        for sequence in range(1, sequences + 1):
            if chance.random() < 0.2:
                await _write(emptied, subject, sequence, 1, rolls_back=True)
            await _write(emptied, subject, sequence, delays[subject, sequence])

    async def follow() -> list[bytes]:
        found: list[bytes] = []
        cursor = None
        while True:
            was_done = done.is_set()
            page = await changes(emptied, after=cursor, limit=chance.randint(1, 7))
            found += page.bodies
            cursor = page.next
            if was_done and not page.bodies:
                return found

    readers = [asyncio.create_task(follow()) for _ in range(2)]
    await asyncio.gather(*(write(subject) for subject in subjects))
    done.set()
    first, second = await asyncio.gather(*readers)

    assert first == second
    for subject in subjects:
        own = [body for body in first if body.startswith(f"{subject}/".encode())]
        assert own == [f"{subject}/{n}".encode() for n in range(1, sequences + 1)]


async def _write(
    pool: Pool, subject: str, sequence: int, delay: int, *, rolls_back: bool = False
) -> None:
    """Write a message and hold its transaction open for some turns of the loop."""
    try:
        async with unit_of_work(pool) as work:
            await _insert(work, subject, sequence)
            for _ in range(delay):
                await work.connection.execute("select pg_sleep(0.001)")
            if rolls_back:
                raise Malformed
    except Malformed:
        assert rolls_back


async def _insert(work: Work, subject: str, sequence: int) -> None:
    """Write a message within a transaction, and that its request stands there."""
    await work.connection.execute(
        "insert into requests (id, account, kind, provider_id, status, sequence, chain)"
        " values (%s, 'a', 'order', %s, 'open', %s, int8send(%s))"
        " on conflict (id) do update"
        " set sequence = excluded.sequence, chain = excluded.chain",
        [subject, subject, sequence, sequence],
    )
    await work.connection.execute(
        "insert into transitions (id, subject, subject_id, sequence, type, after,"
        " observed_by, recorded_at, chained_from, hash) values (gen_random_uuid()::text,"
        " 'request', %s, %s, 't', '{}', 'poll', now(), '', int8send(%s))",
        [subject, sequence, sequence],
    )
    await work.connection.execute(
        "insert into notifications (id, type, subject, subject_id, sequence, body,"
        " created_at) values (gen_random_uuid()::text, 't', 'request', %s, %s, %b, now())",
        [subject, sequence, f"{subject}/{sequence}".encode()],
    )


@pytest.mark.parametrize("seed", range(3))
async def test_transactions_open_side_by_side_appear_in_the_order_of_their_commits(
    emptied: Pool, seed: int
) -> None:
    """All have written before the first commits; a reader looks behind its cursor after each."""
    chance = random.Random(seed)
    subjects = [f"prq_{number}" for number in range(6)]
    async with AsyncExitStack() as stack:
        opened: dict[str, AsyncExitStack] = {}
        for subject in subjects:
            opened[subject] = await stack.enter_async_context(AsyncExitStack())
            work = await opened[subject].enter_async_context(unit_of_work(emptied))
            await _insert(work, subject, 1)
        cursor = (await changes(emptied, after=None, limit=100)).next
        chance.shuffle(subjects)
        for subject in subjects:
            await opened[subject].aclose()
            page = await changes(emptied, after=cursor, limit=100)
            assert page.bodies == [f"{subject}/1".encode()]
            cursor = page.next

    assert await read_all(emptied) == [f"{subject}/1".encode() for subject in subjects]


async def test_two_givers_at_once_give_each_row_one_position(emptied: Pool) -> None:
    for sequence in range(1, 31):
        await say(emptied, "prq_1", sequence)

    placed = await asyncio.gather(*(place(emptied) for _ in range(5)))

    assert sum(placed) == 30
    assert len(await read_all(emptied, limit=7)) == 30


async def test_a_page_is_never_longer_than_asked_nor_than_the_most_there_is(
    emptied: Pool,
) -> None:
    for sequence in range(1, 6):
        await say(emptied, "prq_1", sequence)

    assert len((await changes(emptied, after=None, limit=2)).bodies) == 2
    assert len((await changes(emptied, after=None, limit=10**9)).bodies) == 5


@pytest.mark.parametrize(
    "cursor", ["", "0", "f", "f-1", "f1.5", "F1", " f1", "f1\n", "f٣", "f" + "9" * 19, "f1;--"]
)
async def test_a_cursor_that_we_never_handed_out_is_malformed(emptied: Pool, cursor: str) -> None:
    with pytest.raises(Malformed):
        await changes(emptied, after=cursor, limit=1)


async def test_a_placed_row_can_never_be_placed_again(emptied: Pool) -> None:
    await say(emptied, "prq_1", 1)
    await place(emptied)

    assert await place(emptied) == 0
