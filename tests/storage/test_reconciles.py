"""Runs of reconcile: leased, gone on with, and one per account at a time."""

from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.request import Key, Kind
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.storage.reconciles import Ask, Reconciles, Run, forget_runs
from service.storage.unit_of_work import unit_of_work
from tests.storage.rows import AT, insert_request

ACCOUNT = "ginger-nl"
DAY = timedelta(days=1)
ASK = Ask("7d", since=AT - 7 * DAY, until=AT, dry_run=False)


@pytest.fixture(autouse=True)
async def accounts(pool: Pool) -> None:
    async with unit_of_work(pool) as work:
        names = [(ACCOUNT, "ginger"), ("other", "ginger")]
        await ensure_accounts(work.connection, names, end_pauses=False)


async def claim(pool: Pool, ask: Ask = ASK, account: str = ACCOUNT) -> Run | None:
    async with unit_of_work(pool) as work:
        return await Reconciles(work.connection).claim(account, ask)


async def begun(pool: Pool, ask: Ask = ASK) -> Run:
    run = await claim(pool, ask)
    assert run is not None
    return run


async def note(pool: Pool, run: Run) -> bool:
    async with unit_of_work(pool) as work:
        return await Reconciles(work.connection).note(run)


async def release(pool: Pool, run: Run) -> None:
    async with unit_of_work(pool) as work:
        await Reconciles(work.connection).release(run)


async def age(pool: Pool, **by: timedelta) -> None:
    """Move columns of every run into the past."""
    async with pool.connection() as connection:
        for column, length in by.items():
            statement = f"update reconciles set {column} = {column} - %s"
            await connection.execute(statement.encode(), [length])


async def test_only_one_run_of_an_account_is_under_way_whatever_it_compares(pool: Pool) -> None:
    await begun(pool)

    assert await claim(pool) is None
    assert await claim(pool, replace(ASK, name="1h", dry_run=True)) is None
    assert await claim(pool, account="other") is not None


async def test_what_was_noted_is_gone_on_with_by_the_same_name_in_the_same_window(
    pool: Pool,
) -> None:
    run = replace(
        await begun(pool), after_kind="order", after_id="b", compared=2, expected=3,
        drift={"missed": 1},
    )  # fmt: skip
    assert await note(pool, run)
    await release(pool, run)

    later = replace(ASK, since=AT - 6 * DAY, until=AT + DAY)

    assert await begun(pool, later) == replace(run, lease_no=2)


async def test_a_dry_run_and_a_repair_are_two_runs(pool: Pool) -> None:
    real = await begun(pool)
    await release(pool, real)

    assert (await begun(pool, replace(ASK, dry_run=True))).id != real.id


async def test_a_run_that_was_killed_is_taken_over_when_its_lease_ends_and_then_writes_nothing(
    pool: Pool,
) -> None:
    killed = await begun(pool)
    await age(pool, leased_until=timedelta(minutes=1))

    heir = await begun(pool)

    assert (heir.id, heir.lease_no) == (killed.id, 2)
    assert not await note(pool, replace(killed, compared=9))
    await release(pool, killed)
    assert await claim(pool) is None


async def test_a_lease_that_is_renewed_keeps_others_out(pool: Pool) -> None:
    run = await begun(pool)
    await age(pool, leased_until=timedelta(minutes=1))
    async with unit_of_work(pool) as work:
        await Reconciles(work.connection).renew(run)

    assert await claim(pool) is None


async def test_a_run_that_stopped_over_a_day_ago_is_begun_anew(pool: Pool) -> None:
    old = await begun(pool)
    await release(pool, old)
    await age(pool, started_at=DAY + timedelta(minutes=1))

    assert (await begun(pool)).id != old.id


async def test_a_finished_run_is_begun_anew_unless_it_was_wanted_once(pool: Pool) -> None:
    first = await begun(pool)
    assert await note(pool, replace(first, is_finished=True))

    assert await claim(pool, replace(ASK, once=True)) is None
    assert (await begun(pool)).id != first.id


async def test_a_window_holds_what_was_there_and_changed_in_it(pool: Pool) -> None:
    hour = timedelta(hours=1)
    moments = {
        "before": (AT - 9 * DAY, AT - 8 * DAY),
        "changed": (AT - 9 * DAY, AT - 6 * DAY),
        "made": (AT - DAY, AT - DAY),
        "changed-later": (AT - DAY, AT + hour),
        "after": (AT + hour, AT + hour),
    }
    for name, (made, changed) in moments.items():
        await insert_request(pool, name, first_seen_at=made, updated_at=changed)

    run = await begun(pool)
    async with unit_of_work(pool) as work:
        runs = Reconciles(work.connection)
        first = await runs.known(run, limit=2)
        rest = await runs.known(replace(run, after_kind="order", after_id=first[-1].provider_id),
                                limit=2)  # fmt: skip
        beyond = await runs.beyond(run, [Key(ACCOUNT, Kind.ORDER, name) for name in moments])

    assert run.expected == 3
    assert [key.provider_id for key in first + rest] == ["changed", "changed-later", "made"]
    assert [key.provider_id for key in beyond] == ["before", "after"]


async def test_runs_are_forgotten_after_more_than_a_year(pool: Pool) -> None:
    await begun(pool)
    await age(pool, started_at=400 * DAY + DAY, leased_until=DAY)
    await begun(pool, replace(ASK, name="1d"))

    async with unit_of_work(pool) as work:
        assert await forget_runs(work.connection) == 1
        assert await forget_runs(work.connection) == 0
