"""Windows of list sweeps: leased, gone on with, never passed over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from service.domain.notification import time_text
from service.domain.request import Key, Kind
from service.providers import Listed
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.storage.unit_of_work import unit_of_work
from service.storage.views.accounts import list_coverage
from service.storage.windows import Window, Windows, forget_windows
from tests.storage.rows import insert, insert_request

ACCOUNT = "ginger-nl"
EVERY = timedelta(minutes=5)


async def claim(
    pool: Pool,
    lookback: timedelta = timedelta(hours=1),
    length_max: timedelta | None = timedelta(days=1),
) -> Window | None:
    async with unit_of_work(pool) as work:
        await ensure_accounts(work.connection, [(ACCOUNT, "ginger")], end_pauses=False)
        return await Windows(work.connection).claim(
            ACCOUNT, every=EVERY, lookback=lookback, length_max=length_max
        )


async def advance(pool: Pool, window: Window, cursor: str | None, found: int = 1) -> bool:
    async with unit_of_work(pool) as work:
        return await Windows(work.connection).advance(window, cursor=cursor, found=found)


async def run(pool: Pool, statement: str) -> None:
    async with pool.connection() as connection:
        await connection.execute(statement.encode())


async def is_due(pool: Pool) -> bool:
    async with unit_of_work(pool) as work:
        return await Windows(work.connection).is_any_due([ACCOUNT], every=EVERY)


async def news(pool: Pool, *items: Listed) -> list[str]:
    async with unit_of_work(pool) as work:
        keys: list[Key] = await Windows(work.connection).news(ACCOUNT, items)
    return [key.provider_id for key in keys]


async def claim_all(pool: Pool, lookback: timedelta) -> list[Window]:
    """Claim and finish windows until none is left."""
    windows = []
    while (window := await claim(pool, lookback)) is not None:
        await advance(pool, window, None)
        windows.append(window)
    return windows


async def test_the_first_windows_look_back_as_far_as_configured_day_by_day_oldest_first(
    emptied: Pool,
) -> None:
    windows = await claim_all(emptied, timedelta(days=7))

    assert abs(datetime.now(UTC) - timedelta(days=7) - windows[0].since) < timedelta(minutes=1)
    assert abs(datetime.now(UTC) - windows[-1].until) < timedelta(minutes=1)
    assert [window.length for window in windows[:7]] == [timedelta(days=1)] * 7
    for earlier, later in pairwise(windows):
        assert later.since == earlier.until - timedelta(minutes=10)
    assert windows[-1].length < timedelta(days=1)


async def test_where_a_list_knows_no_times_one_window_reaches_all_the_way_back(
    emptied: Pool,
) -> None:
    window = await claim(emptied, timedelta(days=7), None)

    assert window is not None
    assert window.length == timedelta(days=7)


async def test_what_is_complete_ends_before_a_window_that_failed_half_way(emptied: Pool) -> None:
    first = await claim(emptied, timedelta(days=3))
    assert first is not None
    await advance(emptied, first, None)
    second = await claim(emptied, timedelta(days=3))
    assert second is not None
    await advance(emptied, second, "page-2")

    async with unit_of_work(emptied) as work:
        await Windows(work.connection).release(second, wait_seconds=5.0)

    (shown,) = await list_coverage(emptied, [ACCOUNT])
    assert shown["complete_up_to"] == time_text(first.until)
    failed = shown["windows"][-1]
    assert (failed["from"], failed["to"]) == (time_text(second.since), time_text(second.until))
    assert (failed["cursor"], failed["finished_at"]) == ("page-2", None)
    assert await claim(emptied) is None


async def test_a_window_whose_cursor_is_refused_is_begun_anew_a_minute_later(
    emptied: Pool,
) -> None:
    window = await claim(emptied)
    assert window is not None
    await advance(emptied, window, "page-2")

    async with unit_of_work(emptied) as work:
        at_page = replace(window, cursor="page-2")
        await Windows(work.connection).release(at_page, wait_seconds=5.0, anew=True)

    await run(emptied, "update windows set leased_until = leased_until - interval '59 s'")
    assert await claim(emptied) is None
    await run(emptied, "update windows set leased_until = leased_until - interval '1 s'")
    again = await claim(emptied)
    assert again is not None
    assert (again.id, again.cursor) == (window.id, None)


async def test_a_leased_window_is_not_lent_twice(emptied: Pool) -> None:
    assert await claim(emptied) is not None

    assert await claim(emptied) is None


async def test_a_window_whose_sweeper_died_goes_on_at_its_cursor(emptied: Pool) -> None:
    window = await claim(emptied)
    assert window is not None
    await advance(emptied, window, "page-2")
    await run(emptied, "update windows set leased_until = now()")

    again = await claim(emptied)

    assert again is not None
    assert (again.id, again.cursor) == (window.id, "page-2")


async def test_no_new_window_begins_while_one_is_unfinished(emptied: Pool) -> None:
    window = await claim(emptied)
    assert window is not None
    await run(emptied, "update windows set leased_until = now(), until = now() - interval '1 day'")

    again = await claim(emptied)

    assert again is not None
    assert again.id == window.id


async def test_a_page_is_noted_only_by_who_stands_at_its_cursor(emptied: Pool) -> None:
    window = await claim(emptied)
    assert window is not None

    assert await advance(emptied, window, "page-2")
    assert not await advance(emptied, window, "page-2")
    assert not await advance(emptied, window, None)

    async with emptied.connection() as connection:
        cursor = await connection.execute("select cursor, found, finished_at from windows")
        assert await cursor.fetchall() == [("page-2", 1, None)]


async def test_a_finished_window_is_never_opened_again(emptied: Pool) -> None:
    window = await claim(emptied)
    assert window is not None
    await advance(emptied, window, None)

    assert not await advance(emptied, window, "page-2")

    assert await claim(emptied) is None
    assert not await is_due(emptied)


async def test_whether_a_window_is_due_agrees_with_whether_one_can_be_claimed(
    emptied: Pool,
) -> None:
    assert await is_due(emptied)
    window = await claim(emptied)
    assert window is not None
    assert not await is_due(emptied)
    await run(emptied, "update windows set leased_until = now()")
    assert await is_due(emptied)
    await advance(emptied, window, None)
    assert not await is_due(emptied)
    await run(emptied, "update windows set until = until - interval '5 min'")
    assert await is_due(emptied)


async def test_what_is_listed_is_news_when_unknown_newer_or_not_yet_vouched_for(
    emptied: Pool,
) -> None:
    await insert_request(emptied, "same", version=5)
    await insert_request(emptied, "newer", version=5)
    await insert_request(emptied, "of_next_year", version=5)
    for name in ("same", "newer", "of_next_year"):
        await insert(emptied, "due", account=ACCOUNT, kind="order", provider_id=name, urgency=1)
    for name, parked in (
        ("told", None), ("missing", "not_found_at_provider"), ("refund", "part_of_another")
    ):  # fmt: skip
        await insert(
            emptied, "due", account=ACCOUNT, kind="order", provider_id=name, urgency=2,
            parked=parked,
        )  # fmt: skip
    in_time = {"same": 5, "newer": 6, "told": 1, "missing": 1, "refund": 1, "new": None}
    versions = in_time | {"of_next_year": 4_000_000_000_000_000}

    found = await news(emptied, *(Listed(Kind.ORDER, name, v) for name, v in versions.items()))

    assert found == ["newer", "told", "missing", "new"]


async def test_news_comes_in_the_order_of_the_list_and_each_once(emptied: Pool) -> None:
    names = ["c", "a", "d", "a", "b", "c"]

    assert await news(emptied, *(Listed(Kind.ORDER, n, None) for n in names)) == list("cadb")


async def test_a_listed_event_is_news_unless_it_reached_us(emptied: Pool) -> None:
    await insert(
        emptied,
        "events",
        day=datetime.now(UTC).date(),
        id="evt_1",
        account=ACCOUNT,
        event_id="EV1",
        received_at=datetime.now(UTC),
        verdict="accepted",
        body_sha256=b"",
    )
    listed = [Listed(Kind.BILLING_REQUEST, f"BRQ{n}", None, event_id=f"EV{n}") for n in (1, 2)]

    assert await news(emptied, *listed) == ["BRQ2"]


async def test_old_windows_are_forgotten_but_what_they_covered_is_not(emptied: Pool) -> None:
    windows = await claim_all(emptied, timedelta(days=3))
    await run(
        emptied,
        "update windows set finished_at = finished_at - interval '401 days',"
        " since = since - interval '401 days', until = until - interval '401 days'",
    )
    (before,) = await list_coverage(emptied, [ACCOUNT])

    async with unit_of_work(emptied) as work:
        forgotten = await forget_windows(work.connection)
        again = await forget_windows(work.connection)

    (after,) = await list_coverage(emptied, [ACCOUNT])
    assert (forgotten, again) == (len(windows) - 1, 0)
    assert after["complete_up_to"] == before["complete_up_to"] is not None
    assert after["windows"] == before["windows"][-1:]
