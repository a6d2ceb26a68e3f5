"""Pauses of accounts, and the budget that all processes share."""

import asyncio

import pytest

from service.storage.accounts import (
    Grant,
    draw_calls,
    ensure_accounts,
    pause_accounts,
    resume_accounts,
)
from service.storage.database import Pool
from service.storage.unit_of_work import connected

ACCOUNT = "ginger-nl"


@pytest.fixture
async def accounts(emptied: Pool) -> Pool:
    async with connected(emptied) as connection:
        await ensure_accounts(connection, [(ACCOUNT, "ginger")], end_pauses=False)
    return emptied


async def draw(pool: Pool, wanted: int, *, most: int = 5, seconds: float = 60.0) -> Grant:
    async with connected(pool) as connection:
        return await draw_calls(
            connection,
            ACCOUNT,
            credential=ACCOUNT,
            share="all",
            wanted=wanted,
            calls_max=most,
            window_seconds=seconds,
        )


async def pause(pool: Pool, seconds: float | None = None) -> float:
    async with connected(pool) as connection:
        return await pause_accounts(connection, [ACCOUNT], reason="unauthorised", seconds=seconds)


async def resume(pool: Pool) -> list[str]:
    async with connected(pool) as connection:
        return await resume_accounts(connection, [ACCOUNT])


async def end_pause(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "update accounts set paused_until = clock_timestamp() where paused_until > now()"
        )


async def test_a_window_grants_its_calls_and_no_more(accounts: Pool) -> None:
    grants = [await draw(accounts, 2) for _ in range(4)]

    assert [grant.granted for grant in grants] == [2, 2, 1, 0]
    assert grants[3].used == 5
    assert 55 < grants[3].wait_seconds <= 60


async def test_calls_drawn_at_the_same_time_share_one_window(accounts: Pool) -> None:
    grants = await asyncio.gather(*(draw(accounts, 3, most=20) for _ in range(16)))

    assert sum(grant.granted for grant in grants) == 20


async def test_calls_come_back_when_the_window_has_moved_on(accounts: Pool) -> None:
    await draw(accounts, 5)
    async with accounts.connection() as connection:
        await connection.execute(
            "update budgets set granted_at = array[granted_at[1] - interval '61 s']"
            " where share = 'all'"
        )

    assert (await draw(accounts, 5)).granted == 5


async def test_a_paused_account_gets_nothing_before_its_time(accounts: Pool) -> None:
    await pause(accounts, 30.0)

    grant = await draw(accounts, 1)

    assert (grant.granted, grant.paused) == (0, True)
    assert 25 < grant.wait_seconds <= 30


async def test_after_a_pause_one_call_is_tried_by_one_of_many(accounts: Pool) -> None:
    await pause(accounts, 30.0)
    await end_pause(accounts)

    grants = await asyncio.gather(*(draw(accounts, 3, most=20) for _ in range(8)))

    assert sum(grant.granted for grant in grants) == 1
    assert all(grant.paused for grant in grants)
    assert {grant.wait_seconds for grant in grants if grant.granted == 0} == {1.0}


async def test_a_try_that_is_never_answered_is_followed_by_another(accounts: Pool) -> None:
    await pause(accounts, 30.0)
    await end_pause(accounts)
    await draw(accounts, 1)
    async with accounts.connection() as connection:
        await connection.execute(
            "update accounts set paused_until = paused_until - interval '16 s'"
        )
        await connection.execute(
            "update budgets set granted_at = array[granted_at[1] - interval '15 s']"
            " where share = 'all'"
        )

    assert (await draw(accounts, 1)).granted == 1


async def test_an_answer_ends_a_pause_that_has_run_out(accounts: Pool) -> None:
    await pause(accounts, 30.0)
    await end_pause(accounts)
    await draw(accounts, 1)

    assert await resume(accounts) == [ACCOUNT]

    grant = await draw(accounts, 5)
    assert (grant.granted, grant.paused) == (4, False)


async def test_an_answer_to_an_older_call_does_not_end_a_pause(accounts: Pool) -> None:
    await pause(accounts, 30.0)

    assert await resume(accounts) == []


async def test_pauses_in_a_row_double_up_to_half_an_hour(accounts: Pool) -> None:
    lengths = []
    for _ in range(8):
        lengths.append(await pause(accounts))
        await end_pause(accounts)

    assert lengths == pytest.approx([60, 120, 240, 480, 960, 1800, 1800, 1800], abs=1)


async def test_a_pause_after_a_good_answer_is_short_again(accounts: Pool) -> None:
    for _ in range(3):
        await pause(accounts)
        await end_pause(accounts)
    await resume(accounts)

    assert await pause(accounts) == pytest.approx(60, abs=1)


async def test_several_refusals_of_one_moment_are_one_pause(accounts: Pool) -> None:
    lengths = [await pause(accounts) for _ in range(5)]

    assert lengths == pytest.approx([60] * 5, abs=1)


async def test_a_pause_under_way_is_not_made_shorter(accounts: Pool) -> None:
    await pause(accounts, 300.0)

    assert await pause(accounts, 2.0) == pytest.approx(300, abs=1)


async def test_nothing_a_provider_says_pauses_longer_than_half_an_hour(accounts: Pool) -> None:
    assert await pause(accounts, 86_400.0) == pytest.approx(1800, abs=1)


async def test_a_start_by_a_person_ends_pauses(accounts: Pool) -> None:
    await pause(accounts)

    async with connected(accounts) as connection:
        await ensure_accounts(connection, [(ACCOUNT, "ginger")], end_pauses=True)

    assert (await draw(accounts, 1)).granted == 1
