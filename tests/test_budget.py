"""The call budget that all processes share."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from service.budget import CallBudget
from service.errors import NotAllowedYet
from service.fetch import ConnectedAccount, Line, Purpose, fetch
from service.providers import Exchange
from service.runtime import connect_accounts
from service.settings import parse
from service.storage.accounts import ensure_accounts, pause_accounts
from service.storage.database import Pool
from service.storage.unit_of_work import connected, unit_of_work
from tests.emptied import emptied as emptied
from tests.emptied import shared_url as shared_url
from tests.flow.world import Provider


async def account_with(limit: str, pool: Pool) -> ConnectedAccount:
    keys = {"provider": "ginger", "api_base": "https://ginger.test", "api_key": "secret"}
    table = {"account": [{"name": "ginger-nl", "limit": limit, **keys}]}
    settings = parse(table, source="settled.toml", environ={}, base=Path())
    async with unit_of_work(pool) as work:
        await ensure_accounts(work.connection, [("ginger-nl", "ginger")], end_pauses=False)
    return connect_accounts(settings)["ginger-nl"]


async def test_a_few_told_reads_leave_polls_their_share(emptied: Pool) -> None:
    account = await account_with("100/s", emptied)
    for _ in range(9):
        # A process that has drawn nothing lately, as each is again when a slice has run out.
        await CallBudget(emptied).draw(account, "told")

    await CallBudget(emptied).draw(account, "poll")


async def test_polls_leave_the_rest_to_told_reads(emptied: Pool) -> None:
    account, budget = await account_with("10/h", emptied), CallBudget(emptied)
    for _ in range(7):
        await budget.draw(account, "poll")

    with pytest.raises(NotAllowedYet):
        await budget.draw(account, "poll")
    for _ in range(3):
        await budget.draw(account, "told")
    with pytest.raises(NotAllowedYet):
        await budget.draw(account, "told")


async def drawn(budget: CallBudget, account: ConnectedAccount, purpose: Purpose) -> float | None:
    """Draw one call; return when it was given, None where it was not."""
    try:
        await budget.draw(account, purpose)
    except NotAllowedYet:
        return None
    return time.monotonic()


def most_in_a_window(calls: Sequence[tuple[float, float]], seconds: float) -> int:
    """Return the most calls, as (asked for, given), within any stretch of that length.

    One that was given before it, and told of late by a machine that was busy, is not in it.
    """
    return max(
        sum(begin <= asked and given < begin + seconds for asked, given in calls)
        for begin, _ in calls
    )


@pytest.mark.parametrize(("limit", "seconds"), [("5/300ms", 0.3), ("40/400ms", 0.4)])
async def test_no_window_ever_holds_more_calls_than_the_limit(
    emptied: Pool, limit: str, seconds: float
) -> None:
    """Four processes draw as fast as they can, told reads and polls, and use calls at once."""
    account = await account_with(limit, emptied)
    given: list[tuple[float, float]] = []
    ends_at = time.monotonic() + 4 * seconds

    async def worker(budget: CallBudget, purpose: Purpose) -> None:
        while time.monotonic() < ends_at:
            asked = time.monotonic()
            at = await drawn(budget, account, purpose)
            if at is not None:
                given.append((asked, at))
            await asyncio.sleep(0.002)

    budgets = [CallBudget(emptied) for _ in range(4)]
    purposes: tuple[Purpose, ...] = ("told", "told", "poll")
    await asyncio.gather(*(worker(one, purpose) for one in budgets for purpose in purposes))

    count = account.limit.count
    assert most_in_a_window(given, seconds) <= count
    assert len(given) > count * 2


async def test_those_who_wait_are_told_to_come_back_one_after_the_other(emptied: Pool) -> None:
    account, budget = await account_with("5/s", emptied), CallBudget(emptied)
    for _ in range(5):
        await budget.draw(account, "told")
    waits = []
    for _ in range(10):
        with pytest.raises(NotAllowedYet) as denied:
            await budget.draw(account, "told")
        waits.append(denied.value.retry_after_seconds or 0.0)

    steps = [later - earlier for earlier, later in pairwise(waits)]
    assert steps == pytest.approx([0.2] * 9, abs=0.05)


async def test_forged_ids_cost_one_call_in_ten_at_most(emptied: Pool) -> None:
    account = await account_with("20/h", emptied)
    budgets = [CallBudget(emptied) for _ in range(3)]

    asked = [await drawn(budget, account, "discovery") for budget in budgets for _ in range(10)]

    assert len([at for at in asked if at is not None]) == 2
    assert await drawn(budgets[0], account, "told") is not None


async def test_discoveries_that_prove_genuine_go_on(emptied: Pool) -> None:
    account, budget = await account_with("20/h", emptied), CallBudget(emptied)
    for _ in range(10):
        assert await drawn(budget, account, "discovery") is not None
        await budget.answered(account, "discovery")


async def test_a_good_answer_is_noted_for_people_and_not_each_of_many(emptied: Pool) -> None:
    account, budget = await account_with("20/h", emptied), CallBudget(emptied)
    noted = []
    for _ in range(3):
        await budget.answered(account, "told")
        async with connected(emptied) as connection:
            cursor = await connection.execute("select last_read_at from accounts")
            noted.append(await cursor.fetchone())

    assert noted[0] is not None
    assert noted[0][0] is not None
    assert noted == [noted[0]] * 3


async def test_after_a_pause_one_process_tries_once_and_its_answer_frees_all(
    emptied: Pool,
) -> None:
    account = await account_with("50/h", emptied)
    async with connected(emptied) as connection:
        await pause_accounts(connection, [account.name], reason="rate_limited", seconds=0.05)
        await connection.execute("select pg_sleep(0.06)")
    first, second = CallBudget(emptied), CallBudget(emptied)
    given = [await drawn(budget, account, "told") for budget in (first, second) for _ in range(5)]
    assert [at is not None for at in given] == [True] + [False] * 9

    await first.answered(account, "told")

    assert await drawn(first, account, "told") is not None
    assert await drawn(CallBudget(emptied), account, "told") is not None


async def test_what_a_process_drew_and_did_not_use_is_soon_forgotten(emptied: Pool) -> None:
    account, budget = await account_with("20/500ms", emptied), CallBudget(emptied)
    for _ in range(2):
        await budget.draw(account, "told")
    async with connected(emptied) as connection:
        await pause_accounts(connection, [account.name], reason="rate_limited", seconds=60)

    await asyncio.sleep(0.06)  # a slice's time: a tenth of the window, and a little
    assert await drawn(budget, account, "told") is None


async def test_a_cancelled_draw_leaves_the_purse_usable(emptied: Pool) -> None:
    account, budget = await account_with("5/h", emptied), CallBudget(emptied)
    drawing = [asyncio.create_task(budget.draw(account, "told")) for _ in range(3)]
    await asyncio.sleep(0)
    drawing[0].cancel()
    await asyncio.gather(*drawing, return_exceptions=True)

    assert await drawn(budget, account, "told") is not None


async def two_accounts(pool: Pool, *limits: str, keys: tuple[str, str]) -> list[ConnectedAccount]:
    """Two accounts at one provider and address, each with its own key and limit."""
    table = {
        "account": [
            {
                "name": name, "limit": limit, "provider": "ginger", "api_key": key,
                "api_base": base,
            }
            for name, limit, key, base in zip(
                ("ginger-be", "ginger-nl"), limits, keys,
                ("https://ginger.test", "https://ginger.test/"), strict=True,
            )
        ]
    }  # fmt: skip
    settings = parse(table, source="settled.toml", environ={}, base=Path())
    accounts = list(connect_accounts(settings).values())
    async with unit_of_work(pool) as work:
        names = [(account.name, "ginger") for account in accounts]
        await ensure_accounts(work.connection, names, end_pauses=False)
    return accounts


@pytest.mark.parametrize("limits", [("50/h", "10/h"), ("10/h", "50/h"), ("1/m", "10/h")])
async def test_accounts_that_log_in_with_one_key_share_the_lower_limit_over_all_workers(
    emptied: Pool, limits: tuple[str, str]
) -> None:
    first, second = await two_accounts(emptied, *limits, keys=("secret", "secret"))

    given = [
        await drawn(CallBudget(emptied), account, "told")
        for account in (first, second)
        for _ in range(8)
    ]

    assert len([at for at in given if at is not None]) == 10
    assert first.limit == second.limit


async def test_accounts_with_different_keys_have_budgets_of_their_own(emptied: Pool) -> None:
    accounts = await two_accounts(emptied, "5/h", "5/h", keys=("secret", "another"))

    given = [await drawn(CallBudget(emptied), one, "told") for one in accounts for _ in range(8)]

    assert len([at for at in given if at is not None]) == 10


async def test_no_secret_is_kept_with_a_budget(emptied: Pool) -> None:
    account, _ = await two_accounts(emptied, "5/h", "5/h", keys=("secret-key", "another"))

    await CallBudget(emptied).draw(account, "told")

    async with connected(emptied) as connection:
        cursor = await connection.execute("select credential from budgets")
        (kept,) = [row[0] for row in await cursor.fetchall()]
    assert kept == account.credential
    assert len(kept) == 64
    assert hashlib.sha256(b"secret-key").hexdigest() != kept


async def test_an_answer_after_a_pause_frees_all_accounts_of_the_key(emptied: Pool) -> None:
    first, second = await two_accounts(emptied, "50/h", "50/h", keys=("secret", "secret"))
    async with connected(emptied) as connection:
        names = [first.name, second.name]
        await pause_accounts(connection, names, reason="rate_limited", seconds=0.05)
        await connection.execute("select pg_sleep(0.06)")
    budget, elsewhere = CallBudget(emptied), CallBudget(emptied)
    given = [
        await drawn(each, one, "told") for each in (budget, elsewhere) for one in (first, second)
    ]
    assert [at is not None for at in given] == [True, False, False, False]

    await budget.answered(first, "told")

    assert await drawn(elsewhere, second, "told") is None, (
        "it knows for a moment that there is none"
    )
    assert await drawn(CallBudget(emptied), second, "told") is not None
    async with connected(emptied) as connection:
        cursor = await connection.execute("select distinct state from accounts")
        assert await cursor.fetchall() == [("ok",)]


def two_calls() -> Exchange[str]:
    for _ in range(2):
        yield httpx.Request("GET", "https://ginger.test/v1/orders/a")
    return "read"


async def test_after_a_pause_a_read_of_several_calls_gets_through_at_once(emptied: Pool) -> None:
    account, budget = await account_with("100/s", emptied), CallBudget(emptied)
    async with connected(emptied) as connection:
        await pause_accounts(connection, [account.name], reason="rate_limited", seconds=0.05)
        await connection.execute("select pg_sleep(0.06)")
    provider = Provider()
    provider.answers = {"a": httpx.Response(200)}
    line = Line(provider, budget.draw, answered=budget.answered)

    done = await fetch(account, two_calls(), line=line, purpose="told")

    assert (done.answer, done.calls) == ("read", 2)
