"""Triggers, claims, leases and how rows go back."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from service.domain.request import Key, Kind, ObservedBy
from service.storage.database import Pool
from service.storage.due import HURRY_SECONDS, LEASE_SECONDS, Claimed, Rest
from service.storage.unit_of_work import unit_of_work

ACCOUNT = "ginger-nl"


def key(name: str) -> Key:
    return Key(ACCOUNT, Kind.ORDER, name)


class Due:
    """The table, one transaction per step."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def trigger(
        self,
        *names: str,
        observed_by: ObservedBy = ObservedBy.WEBHOOK,
        known: bool = False,
    ) -> None:
        async with unit_of_work(self.pool) as work:
            await work.due.trigger(map(key, names), observed_by=observed_by, known=known)

    async def claim(self, limit: int = 100) -> list[Claimed]:
        async with unit_of_work(self.pool) as work:
            return await work.due.claim(limit)

    async def rest(self, *rests: Rest) -> int:
        async with unit_of_work(self.pool) as work:
            return await work.due.rest(rests)

    async def finish(self, claims: Iterable[Claimed], *, known: bool = True) -> int:
        return await self.rest(*(Rest(c, c.wanted, 3600.0, known=known) for c in claims))

    async def run(self, statement: str, *values: object) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(statement.encode(), values)

    async def row(self, name: str, columns: str) -> tuple[object, ...]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                f"select {columns} from due where provider_id = %s".encode(), [name]
            )
            row = await cursor.fetchone()
        assert row is not None
        return row


@pytest.fixture
async def due(emptied: Pool) -> Due:
    return Due(emptied)


async def test_claims_of_many_at_once_never_share_a_row(due: Due) -> None:
    names = [f"{number:03d}" for number in range(200)]
    await due.trigger(*names)

    claims = await asyncio.gather(*(due.claim(13) for _ in range(20)))

    taken = [claim.provider_id for batch in claims for claim in batch]
    assert sorted(taken) == names


async def test_a_leased_row_is_not_claimed_and_a_trigger_leaves_its_lease_alone(due: Due) -> None:
    await due.trigger("a")
    (claim,) = await due.claim()

    await due.trigger("a")

    assert await due.claim() == []
    assert await due.row("a", "wanted, lease_no, crashes, leased_until > now()") == (
        2, claim.lease_no, 1, True
    )  # fmt: skip


@pytest.mark.parametrize("urgency", [0, 1, 2])
async def test_a_leased_row_stays_with_its_holder_whatever_its_urgency(
    due: Due, urgency: int
) -> None:
    await due.trigger("a")
    await due.run(f"update due set urgency = {urgency}")
    await due.claim()

    assert await due.claim() == []


async def test_a_lease_that_ended_is_taken_over_under_the_next_number(due: Due) -> None:
    await due.trigger("a")
    (first,) = await due.claim()
    assert (await due.row("a", f"leased_until > now() + interval '{LEASE_SECONDS - 2} s'"))[0]
    await due.run("update due set leased_until = now()")

    (second,) = await due.claim()

    assert (first.lease_no, second.lease_no) == (1, 2)
    assert (first.crashes, second.crashes) == (1, 2)


@pytest.mark.parametrize("covered", [1, None])
async def test_a_finish_or_postponement_under_an_old_lease_touches_no_row(
    due: Due, covered: int | None
) -> None:
    await due.trigger("a")
    (old,) = await due.claim()
    await due.run("update due set leased_until = now()")
    (new,) = await due.claim()
    state = "wanted, done, due_at, leased_until, lease_no, crashes, errors"
    before = await due.row("a", f"row({state})::text")

    assert await due.rest(Rest(old, covered, 5.0, errors=7)) == 0

    assert await due.row("a", f"row({state})::text") == before
    assert await due.rest(Rest(new, covered, 5.0)) == 1


async def test_only_leases_that_still_stand_are_held(due: Due) -> None:
    await due.trigger("a", "b")
    old = await due.claim()
    await due.run("update due set leased_until = now() where provider_id = 'a'")
    (new,) = await due.claim()

    async with unit_of_work(due.pool) as work:
        held = await work.due.held([*old, new])

    assert held == {new, next(claim for claim in old if claim.provider_id == "b")}


async def test_a_finished_row_rests_until_its_next_look_and_forgets_its_crash(due: Due) -> None:
    await due.trigger("a")

    await due.finish(await due.claim())

    assert await due.claim() == []
    assert await due.row("a", "wanted, done, crashes, urgency, observed_by") == (
        1, 1, 0, 1, "poll"
    )  # fmt: skip
    assert (await due.row("a", "due_at > now() + interval '59 min'"))[0]


async def test_told_rows_are_claimed_before_polls_and_those_before_unknown_ids(due: Due) -> None:
    await due.trigger("unknown")
    await due.trigger("listed", observed_by=ObservedBy.SWEEP)
    await due.trigger("told", known=True)

    order = [(await due.claim(1))[0].provider_id for _ in range(3)]

    assert order == ["told", "listed", "unknown"]


async def test_ten_thousand_forged_ids_do_not_delay_a_told_row(due: Due) -> None:
    await due.run(
        "insert into due (account, kind, provider_id, urgency, due_at)"
        " select 'ginger-nl', 'order', 'forged-' || n, 2, now() - interval '1 hour'"
        " from generate_series(1, 10000) as n"
    )
    await due.trigger("genuine", known=True)

    (claim,) = await due.claim(1)

    assert claim.provider_id == "genuine"


async def test_a_webhook_cannot_make_an_unknown_id_urgent_however_often_it_comes(
    due: Due,
) -> None:
    for _ in range(3):
        await due.trigger("a")
    assert await due.row("a", "urgency, wanted") == (2, 3)

    await due.trigger("a", known=True)
    await due.trigger("a")

    assert await due.row("a", "urgency, known") == (0, True)


async def test_rows_read_again_and_again_wait_longer_each_time(due: Due) -> None:
    await due.trigger("a")
    waits = []
    for _ in range(8):
        await due.run("update due set due_at = now()")
        (claim,) = await due.claim()
        await due.trigger("a")
        await due.rest(Rest(claim, claim.wanted, 3600.0))
        (wait,) = await due.row("a", "extract(epoch from due_at - now())::float8")
        assert isinstance(wait, float)
        waits.append(round(max(wait, 0.0)))
        await due.run("update due set not_before = now()")

    assert waits == [0, 0, 0, 1, 2, 5, 10, 10]
    assert HURRY_SECONDS[:3] == (0.0, 0.0, 0.0)


async def test_a_row_that_was_left_alone_for_a_while_is_in_no_hurry(due: Due) -> None:
    await due.trigger("a")
    await due.run("update due set hurry = 6, not_before = now() - interval '11 s'")

    await due.finish(await due.claim())

    assert await due.row("a", "hurry, not_before <= now()") == (0, True)


async def test_a_failed_look_keeps_what_only_a_good_one_may_forget(due: Due) -> None:
    await due.trigger("a")
    await due.run("update due set rereads = 2, parked = 'unmapped_status', crashes = 0")
    (claim,) = await due.claim()

    await due.rest(Rest(claim, None, 5.0, errors=1))

    assert await due.row("a", "rereads, parked, observed_by, done, errors, crashes") == (
        2, "unmapped_status", "webhook", 0, 1, 0
    )  # fmt: skip


async def test_failures_in_a_row_are_dated_from_the_first(due: Due) -> None:
    await due.trigger("a")
    for errors in (1, 2):
        await due.run("update due set due_at = now()")
        (claim,) = await due.claim()
        await due.rest(Rest(claim, None, 5.0, errors=errors))
        await due.run("update due set failing_since = failing_since - interval '1 hour'")
    await due.run("update due set due_at = now()")
    (claim,) = await due.claim()
    assert claim.failing_seconds == pytest.approx(7200, abs=5)

    await due.finish([claim])

    assert await due.row("a", "failing_since, errors") == (None, 0)


async def test_suspicious_rows_are_left_out_of_batches_and_leased_one_by_one(due: Due) -> None:
    await due.trigger("a", "b", "c")
    await due.run("update due set crashes = 3 where provider_id <> 'a'")

    assert [claim.provider_id for claim in await due.claim()] == ["a"]
    taken = []
    for _ in range(3):
        async with unit_of_work(due.pool) as work:
            taken.append(await work.due.claim_suspicious())

    assert taken[2] is None
    assert {claim.provider_id for claim in taken[:2] if claim} == {"b", "c"}


async def test_whether_anything_is_due_agrees_with_what_can_be_claimed(due: Due) -> None:
    async def is_due() -> bool:
        async with unit_of_work(due.pool) as work:
            return await work.due.is_anything_due()

    assert not await is_due()
    await due.trigger("unknown")
    assert await is_due()
    claims = await due.claim()
    assert not await is_due()
    await due.finish(claims)
    assert not await is_due()


async def test_generations_never_go_back(due: Due) -> None:
    await due.trigger("a", known=True)
    (claim,) = await due.claim()
    await due.trigger("a")
    await due.rest(Rest(claim, claim.wanted, 5.0))
    (claim,) = await due.claim()

    await due.rest(Rest(replace(claim, wanted=1), 1, 5.0))

    assert await due.row("a", "wanted, done") == (2, 1)


@pytest.mark.parametrize("is_parked", [True, False])
async def test_a_part_is_read_again_when_its_request_appears_even_while_it_is_being_read(
    due: Due, is_parked: bool
) -> None:
    part = Key(ACCOUNT, Kind.PAYMENT, "PM1")
    unclaimed = Rest(claimed_of(part), None, 86_400.0, parked="unclaimed")
    await due.run(
        "insert into due (account, kind, provider_id, lease_no, leased_until, urgency)"
        " values (%s, 'payment', 'PM1', 1, now() + interval '20 s', 2)",
        ACCOUNT,
    )
    if is_parked:
        await due.rest(unclaimed)
    async with unit_of_work(due.pool) as work:
        await work.due.wake_parts([part])
    if not is_parked:
        await due.rest(unclaimed)

    assert await due.row("PM1", "due_at < now() + interval '3 s', known, wanted") == (
        True, True, 2
    )  # fmt: skip


def claimed_of(part: Key) -> Claimed:
    return Claimed(
        part.account, str(part.kind), part.provider_id, wanted=1, lease_no=1, known=False,
        urgency=2, observed_by="webhook", rereads=0, crashes=1, errors=0, failing_seconds=0.0,
        due_seconds=0.0,
    )  # fmt: skip
