"""An account whose webhooks have stopped is noticed by what polls and sweeps find."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from service.domain.channel import Silence
from service.domain.request import ObservedBy
from service.flow.channel import watch_channels
from service.flow.plan import make_plans
from service.storage.accounts import ensure_accounts, pause_accounts, resume_accounts
from service.storage.channels import Channels
from service.storage.unit_of_work import connected
from service.storage.views.accounts import list_coverage
from service.storage.views.gauges import read_gauges
from tests.flow.world import ACCOUNT, World, order, order_id, refund
from tests.storage.rows import insert_event

LIMIT = 3


@pytest.fixture
async def watching(world: World) -> World:
    """The world with an alarm after three changes; its accounts were added long ago."""
    await world.run("update accounts set added_at = '2026-11-01Z'")
    return replace(world, parts=replace(world.parts, silent_changes=LIMIT))


async def find(
    world: World, numbers: Iterable[int], *, by: ObservedBy = ObservedBy.SWEEP, minute: int = 1
) -> None:
    """Have orders found paid by one kind of look; they were paid in the minute named."""
    for number in numbers:
        paid = order(number, minute=minute, completed=f"2026-11-20T14:{minute:02d}:00+00:00")
        for transaction in paid["transactions"]:  # type: ignore[attr-defined]  # a recorded list
            transaction["completed"] = paid["completed"]
        world.provider.shows(paid)
        await world.trigger(number, observed_by=by, known=True)
    await world.sync()


async def hear(world: World, minute: int, name: str = ACCOUNT) -> None:
    """A webhook that makes nothing due came in."""
    received_at = datetime(2026, 11, 20, 14, minute, tzinfo=UTC)
    await insert_event(
        world.pool,
        f"{name}-{minute}",
        order_id(999),
        account=name,
        received_at=received_at,
        verdict="set_aside",
    )


async def state(world: World, name: str = ACCOUNT) -> tuple[str, str | None]:
    (row,) = await world.rows("select state, reason from accounts where name = %s", name)
    return row["state"], row["reason"]


@pytest.mark.parametrize("by", [ObservedBy.POLL, ObservedBy.SWEEP])
async def test_changes_without_one_webhook_ever_silence_the_account(
    watching: World, by: ObservedBy
) -> None:
    await find(watching, range(1, LIMIT), by=by)
    assert await state(watching) == ("ok", None)

    with capture_logs() as logs:
        await find(watching, [LIMIT], by=by)

    assert await state(watching) == ("silent", "no_webhook_ever")
    [said] = [entry for entry in logs if entry["event"] == "account.silenced"]
    assert (said["log_level"], said["account"], said["changes"]) == ("error", ACCOUNT, LIMIT)


async def test_changes_after_the_last_webhook_silence_the_account(watching: World) -> None:
    await hear(watching, 5)

    await find(watching, range(1, LIMIT + 1), minute=6)

    assert await state(watching) == ("silent", "webhooks_stopped")


async def test_lost_webhooks_do_not_silence_a_channel_that_was_heard_afterwards(
    watching: World,
) -> None:
    await hear(watching, 5)

    await find(watching, range(1, 20), minute=4)

    assert await state(watching) == ("ok", None)


@pytest.mark.parametrize("by", [ObservedBy.WEBHOOK, ObservedBy.OPERATOR])
async def test_what_a_webhook_or_a_person_made_us_find_is_no_evidence(
    watching: World, by: ObservedBy
) -> None:
    await find(watching, range(1, 3 * LIMIT), by=by)

    assert await state(watching) == ("ok", None)
    assert await watching.value("select count(*) from untold_changes") == 0


async def test_what_happened_before_the_account_was_added_is_no_evidence(
    watching: World,
) -> None:
    await watching.run("update accounts set added_at = '2026-11-20 14:30Z'")

    await find(watching, range(1, 3 * LIMIT), minute=29)

    assert await state(watching) == ("ok", None)


async def test_money_that_goes_back_without_a_word_is_kept_but_no_evidence(
    watching: World,
) -> None:
    await find(watching, range(1, 6), by=ObservedBy.WEBHOOK)
    for number in range(1, 6):
        refunded = order(number, refund_orders=[order_id(number + 100)], minute=9)
        watching.provider.shows(refunded, refund(number + 100, of=number))

    await watching.let_time_pass()
    await watching.sync()

    assert await watching.value("select count(*) from untold_changes where not called_for") == 5
    assert await state(watching) == ("ok", None)


async def test_a_quiet_account_never_alarms(watching: World) -> None:
    """Polled again and again, nothing has changed; and its events have been dropped since."""
    await find(watching, range(1, 20), minute=4)
    await hear(watching, 5)
    await watch(watching)
    await watching.run("truncate events")

    for _ in range(5):
        await watching.let_time_pass()
        await watching.sync()
        await watch(watching)

    assert await state(watching) == ("ok", None)


async def watch(world: World) -> None:
    await watch_channels([ACCOUNT], world.parts)


async def test_a_webhook_that_makes_nothing_due_ends_the_silence_within_a_round(
    watching: World,
) -> None:
    await find(watching, range(1, LIMIT + 1))
    await hear(watching, 30)

    await make_plans(watching.parts, sweep_every=timedelta(minutes=5), lookback=timedelta(hours=1))

    assert await state(watching) == ("ok", None)


async def test_a_webhook_that_is_read_ends_the_silence_at_once(watching: World) -> None:
    await find(watching, range(1, LIMIT + 1))
    await hear(watching, 30)

    with capture_logs() as logs:
        await find(watching, [50], by=ObservedBy.WEBHOOK, minute=30)

    assert await state(watching) == ("ok", None)
    assert [e["account"] for e in logs if e["event"] == "account.resumed"] == [ACCOUNT]


async def pause(world: World) -> None:
    async with connected(world.pool) as connection:
        await pause_accounts(connection, [ACCOUNT], reason="unauthorised", seconds=None)


async def end_pause(world: World) -> None:
    await world.run("update accounts set paused_until = now()")
    async with connected(world.pool) as connection:
        assert await resume_accounts(connection, [ACCOUNT]) == [ACCOUNT]


async def restart(world: World) -> None:
    async with connected(world.pool) as connection:
        await ensure_accounts(connection, [(ACCOUNT, "ginger")], end_pauses=True)


@pytest.mark.parametrize("end", [end_pause, restart])
async def test_a_silent_account_that_is_paused_is_silent_at_once_when_the_pause_ends(
    watching: World, end: Callable[[World], Awaitable[None]]
) -> None:
    await find(watching, range(1, LIMIT + 1))
    await pause(watching)
    assert await state(watching) == ("paused", "unauthorised")

    await end(watching)

    assert await state(watching) == ("silent", "no_webhook_ever")


async def test_an_account_that_falls_silent_while_paused_shows_it_when_the_pause_ends(
    watching: World,
) -> None:
    await pause(watching)
    await watching.run("update accounts set paused_until = now()")
    await find(watching, range(1, LIMIT))
    await pause(watching)
    await watch(replace(watching, parts=replace(watching.parts, silent_changes=LIMIT - 1)))
    assert await state(watching) == ("paused", "unauthorised")

    await end_pause(watching)

    assert await state(watching) == ("silent", "no_webhook_ever")


async def test_a_webhook_that_comes_in_a_pause_ends_the_silence_that_it_hides(
    watching: World,
) -> None:
    await find(watching, range(1, LIMIT + 1))
    await pause(watching)
    await hear(watching, 30)
    await watch(watching)
    assert await state(watching) == ("paused", "unauthorised")

    await end_pause(watching)

    assert await state(watching) == ("ok", None)


async def test_workers_that_judge_at_once_say_it_once(watching: World) -> None:
    await find(watching, range(1, LIMIT + 1))
    await watching.run("update accounts set state = 'ok', reason = null, silence = null")

    with capture_logs() as logs:
        await asyncio.gather(*(watch(watching) for _ in range(6)))

    assert [entry["event"] for entry in logs].count("account.silenced") == 1


async def test_one_accounts_webhooks_say_nothing_about_anothers(watching: World) -> None:
    await hear(watching, 50, name="ginger-be")

    await find(watching, range(1, LIMIT + 1))

    assert (await state(watching))[0] == "silent"


async def test_one_accounts_changes_say_nothing_about_another(watching: World) -> None:
    await find(watching, range(1, LIMIT + 1))

    await watch_channels([ACCOUNT, "ginger-be"], watching.parts)

    assert (await state(watching, "ginger-be"))[0] == "ok"


@pytest.mark.parametrize(
    "meanwhile",
    [
        "update accounts set heard_at = now()",
        "update accounts set (state, reason, silence) = ('silent', 'stopped', 'stopped')",
    ],
)
async def test_a_judgement_gives_way_to_what_happened_meanwhile(
    watching: World, meanwhile: str
) -> None:
    async with connected(watching.pool) as connection:
        channels = Channels(connection)
        watched = (await channels.watched([ACCOUNT], changes_max=LIMIT))[ACCOUNT]
        await watching.run(meanwhile)
        before = await state(watching)

        assert not await channels.note(ACCOUNT, watched, Silence.NEVER_HEARD)

    assert await state(watching) == before


async def test_a_change_happened_after_the_read_that_did_not_show_it_and_before_the_one_that_did(
    watching: World,
) -> None:
    await find(watching, [1], by=ObservedBy.OPERATOR, minute=1)
    read_at = await watching.value("select observed_at from requests")
    watching.provider.shows(order(1, amount=5000, minute=2))

    await watching.trigger(1, observed_by=ObservedBy.POLL)
    await watching.sync()

    (change,) = await watching.rows("select * from untold_changes")
    assert change["happened_at"] == read_at < change["recorded_at"]


async def test_coverage_and_metrics_count_what_no_webhook_told(watching: World) -> None:
    await find(watching, [1], by=ObservedBy.WEBHOOK)
    await find(watching, [2, 3], by=ObservedBy.SWEEP)
    await find(watching, [4], by=ObservedBy.POLL)

    (shown,) = await list_coverage(watching.pool, [ACCOUNT])
    metrics = {gauge.name: gauge.samples for gauge in await read_gauges(watching.pool)}

    assert shown["changes"] == {"webhook": 1, "poll": 1, "sweep": 2, "operator": 0}
    assert shown["untold"] == 3
    assert ({"account": ACCOUNT}, 3.0) in metrics["settled_untold_changes"]
    assert metrics["settled_complete_up_to_timestamp_seconds"] == []
