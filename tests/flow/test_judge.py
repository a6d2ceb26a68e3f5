"""What a look comes to: recorded, postponed, parked or passed on, all of it or nothing."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest

from service.domain.history import chain
from service.domain.notification import time_text
from service.domain.request import ObservedBy
from service.domain.status import Status
from service.errors import Unavailable
from service.flow.judge import judge
from service.flow.look import Known, Look, look, purpose_of
from service.flow.register import register_request
from service.flow.rest import UNREADABLE_MAX
from service.storage.due import Claimed
from service.storage.unit_of_work import unit_of_work
from tests.builders import facts, seen
from tests.flow.world import ACCOUNT, World, key_of, order, order_id, refund


async def waits(world: World, number: int, count: int) -> list[float]:
    """Read an order count times, each when it falls due; return how long each look had to wait."""
    found = []
    for _ in range(count):
        await world.let_time_pass()
        await world.sync()
        found.append((await world.due(number))["wait_seconds"])
    return found


def about(*seconds: float) -> Any:
    """Waits that are spread by 10 % and were measured a moment later."""
    return pytest.approx(list(seconds), rel=0.11, abs=1.0)


async def claimed(world: World, limit: int = 50) -> list[Claimed]:
    async with unit_of_work(world.pool) as work:
        return await work.due.claim(limit)


async def looks_at(world: World, *numbers: int) -> list[Look]:
    """Claim and read orders, and record nothing."""
    await world.trigger(*numbers)
    return [await look(claim, known=Known(), parts=world.parts) for claim in await claimed(world)]


async def account_row(world: World) -> dict[str, object]:
    (row,) = await world.rows(
        "select state, reason, pauses,"
        " extract(epoch from paused_until - now())::float8 as paused_seconds"
        " from accounts where name = %s",
        ACCOUNT,
    )
    return row


def retry_after(status: int, seconds: str) -> httpx.Response:
    return httpx.Response(status, headers={"retry-after": seconds})


# What a webhook told, and what the poll plan makes of it.


async def test_a_webhook_read_that_finds_nothing_new_is_repeated_three_times(
    world: World,
) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    await world.read(1)

    repeats = [(await world.due(1))["wait_seconds"], *await waits(world, 1, 3)]

    assert repeats[:3] == about(5, 30, 300)
    assert 12 * 3600 <= repeats[3] <= 36 * 3600
    assert world.provider.asked_for(1) == 5


async def test_a_change_found_by_such_a_repeat_counts_as_found_by_the_webhook(
    world: World,
) -> None:
    world.provider.shows(order(1, "order_new"))
    await world.read(1)
    await world.read(1)
    world.provider.shows(order(1, minute=2))

    await world.let_time_pass()
    await world.sync()

    paid = [m for m in await world.messages() if m["type"] == "payment_request.paid"]
    assert paid[0]["data"]["observed_by"] == "webhook"


async def test_a_change_found_at_the_interval_counts_as_found_by_a_poll(world: World) -> None:
    world.provider.shows(order(1, "order_new"))
    await world.read(1)
    world.provider.shows(order(1, minute=2))

    await world.let_time_pass()
    await world.sync()

    paid = [m for m in await world.messages() if m["type"] == "payment_request.paid"]
    assert paid[0]["data"]["observed_by"] == "poll"


async def test_a_failure_in_between_does_not_begin_the_repeats_anew(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    await world.read(1)
    await waits(world, 1, 1)
    world.provider.answers[order_id(1)] = [503, order(1)]

    failed, repeat = await waits(world, 1, 2)

    assert [failed] == about(2)
    assert [repeat] == about(300)


async def test_an_open_request_is_read_once_in_every_interval_of_the_plan(world: World) -> None:
    """The first look lies anywhere in the first interval; who comes to its turn keeps its place."""
    world.provider.shows(order(1, "order_new"))

    await world.read(1)

    assert 85 <= (await world.due(1))["wait_seconds"] <= 990
    assert await waits(world, 1, 2) == about(900, 900)


async def test_intervals_stretch_as_the_accounts_plan_asks(world: World) -> None:
    await world.run("insert into poll_plans (account, stretch) values (%s, 4) ", ACCOUNT)
    world.provider.shows(order(1, "order_new"))
    await world.read(1)

    assert await waits(world, 1, 2) == about(3600, 3600)
    (row,) = await world.rows("select every_seconds, paced_seconds, calls from due")
    assert row == {"every_seconds": 900.0, "paced_seconds": 3600.0, "calls": 1}


async def test_the_watch_ends_at_its_age_and_a_webhook_reopens_it(world: World) -> None:
    world.provider.shows(order(1, "order_new"))
    await world.read(1)
    await world.run("update requests set first_seen_at = now() - interval '61 days'")
    assert await waits(world, 1, 1) == [None]

    world.provider.shows(order(1, minute=2))
    await world.read(1)

    assert await world.status(1) == "paid"


# Reads that are older, or that contradict the record.


async def test_an_older_version_changes_nothing_and_closes_no_generation(world: World) -> None:
    world.provider.shows(order(1, minute=5))
    await world.read(1)
    world.provider.shows(order(1, "order_new", minute=4))

    await world.read(1)

    row = await world.due(1)
    assert await world.status(1) == "paid"
    assert (row["wanted"], row["done"]) == (2, 1)
    assert [row["wait_seconds"]] == about(2)
    world.provider.shows(order(1, minute=5))
    await waits(world, 1, 1)
    assert (await world.due(1))["done"] == 2


async def test_a_stale_read_of_an_old_request_is_repeated_all_the_same(world: World) -> None:
    world.provider.shows(order(1, minute=5))
    await world.read(1)
    await world.run("update requests set first_seen_at = now() - interval '61 days'")
    world.provider.shows(order(1, minute=4))
    await world.trigger(1)

    found = await waits(world, 1, 6)

    assert found == about(2, 5, 15, 60, 300, 24 * 3600)


async def test_a_newer_read_that_takes_money_away_is_flagged_and_changes_nothing(
    world: World,
) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    world.provider.shows(order(1, "order_new", minute=9))

    await world.read(1)

    request = await world.request(1)
    assert request is not None
    assert request.attention == {"regression_refused"}
    assert (await world.status(1), request.sequence) == ("paid", 1)
    assert (await world.due(1))["done"] == 1


# Failures.


async def test_provider_errors_wait_longer_each_time_and_then_the_interval(world: World) -> None:
    world.provider.answers[order_id(1)] = 500
    await world.trigger(1)

    found = await waits(world, 1, 7)

    assert found[:5] == about(2, 5, 15, 60, 300)
    assert found[5:] == about(900, 900)
    assert (await world.due(1))["done"] == 0


async def test_a_trigger_during_a_read_that_fails_waits_two_seconds_at_most(
    world: World,
) -> None:
    async def meanwhile() -> int:
        await world.trigger(1)
        return 500

    world.provider.answers[order_id(1)] = 500
    await world.trigger(1)
    await waits(world, 1, 6)
    world.provider.answers[order_id(1)] = meanwhile

    (wait_seconds,) = await waits(world, 1, 1)

    assert [wait_seconds] == about(2)


async def test_an_unknown_id_is_tried_for_a_day_and_then_parked(world: World) -> None:
    await world.trigger(1)
    assert await waits(world, 1, 2) == about(2, 5)
    assert (await world.due(1))["parked"] is None
    await world.run("update due set failing_since = now() - interval '24 hours'")

    (wait_seconds,) = await waits(world, 1, 1)

    row = await world.due(1)
    assert (row["parked"], row["done"]) == ("not_found_at_provider", row["wanted"])
    assert [wait_seconds] == about(24 * 3600)


async def test_a_known_request_that_is_gone_for_a_day_is_flagged(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    del world.provider.answers[order_id(1)]
    await world.read(1)
    await world.run("update due set failing_since = now() - interval '24 hours'")
    await waits(world, 1, 1)

    request = await world.request(1)

    assert request is not None
    assert request.parked == "not_found_at_provider"
    assert "not_found_at_provider" in request.attention


async def test_a_429_pauses_all_accounts_that_log_in_with_the_same_key(world: World) -> None:
    world.provider.answers[order_id(1)] = retry_after(429, "40")

    await world.read(1)

    paused = await world.rows("select name, reason from accounts where state = 'paused' order by 1")
    assert [tuple(row.values()) for row in paused] == [
        ("ginger-be", "rate_limited"), (ACCOUNT, "rate_limited"),
    ]  # fmt: skip


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_pause_the_account_and_touch_no_request(
    world: World, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    before = await world.request(1)
    world.provider.answers[order_id(1)] = status

    await world.read(1)

    row = await account_row(world)
    assert (row["state"], row["reason"]) == ("paused", "unauthorised")
    assert row["paused_seconds"] == pytest.approx(60, abs=1)
    assert await world.request(1) == before
    assert (await world.due(1))["errors"] == 0
    assert "account.paused" in capsys.readouterr().out


async def test_refusals_of_reads_under_way_belong_to_one_pause(world: World) -> None:
    for number in (1, 2, 3):
        world.provider.answers[order_id(number)] = 401
        await world.trigger(number)
        await world.sync()
    assert (await account_row(world))["pauses"] == 1
    assert [(await account_row(world))["paused_seconds"]] == about(60)

    await world.run("update accounts set paused_until = now() - interval '1 s'")
    await waits(world, 1, 1)

    assert [(await account_row(world))["paused_seconds"]] == about(120)


async def test_a_429_pauses_the_account_for_everybody_for_as_long_as_it_says(
    world: World,
) -> None:
    budgeted = world.with_budget()
    another_process = world.with_budget()
    world.provider.answers[order_id(1)] = retry_after(429, "40")
    world.provider.shows(order(2))
    await budgeted.read(1)

    await another_process.read(2)

    assert (await account_row(world))["reason"] == "rate_limited"
    assert world.provider.asked_for(2) == 0
    for number in (1, 2):
        assert 38 < (await world.due(number))["wait_seconds"] < 42
        assert (await world.due(number))["errors"] == 0


@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b"", b"{", b"[]", b"\xff", b"null"])
async def test_an_answer_of_another_shape_is_unreadable_and_postponed(
    world: World, body: bytes
) -> None:
    world.provider.answers[order_id(1)] = httpx.Response(200, content=body)
    await world.trigger(1)

    (wait_seconds,) = await waits(world, 1, 1)

    assert [wait_seconds] == about(2)
    assert await world.request(1) is None


async def test_unreadable_answers_park_after_a_number_and_a_good_one_unparks(
    world: World,
) -> None:
    world.provider.shows(order(1, "order_new"))
    await world.read(1)
    world.provider.answers[order_id(1)] = httpx.Response(200, content=b"<html>")
    await world.trigger(1)
    await waits(world, 1, UNREADABLE_MAX)
    request = await world.request(1)
    assert request is not None
    assert (request.parked, set(request.attention)) == ("unreadable_answer", {"unreadable_answer"})
    assert (await world.due(1))["done"] == 1

    world.provider.shows(order(1, minute=2))
    await waits(world, 1, 1)

    request = await world.request(1)
    assert request is not None
    assert (request.parked, request.attention) == (None, frozenset())
    assert (await world.due(1))["parked"] is None


async def test_an_unmapped_word_parks_with_attention_and_a_later_word_unparks(
    world: World,
) -> None:
    world.provider.shows(order(1, "order_new"))
    await world.read(1)
    world.provider.shows(order(1, status="sleeping", minute=2))
    await world.read(1)
    request = await world.request(1)
    assert request is not None
    assert (request.parked, set(request.attention)) == ("unmapped_status", {"unmapped_status"})
    assert await world.status(1) == "open"

    world.provider.shows(order(1, minute=3))
    await waits(world, 1, 1)

    request = await world.request(1)
    assert request is not None
    assert (request.parked, request.attention) == (None, frozenset())
    assert await world.status(1) == "paid"


async def test_waiting_for_the_budget_does_not_unpark(world: World) -> None:
    world.provider.shows(order(1, status="sleeping"))
    await world.read(1)
    await world.run("update accounts set paused_until = now() + interval '1 min'")
    await world.run("update accounts set state = 'paused'")

    await world.let_time_pass()
    await world.with_budget().sync()

    assert (await world.due(1))["parked"] == "unmapped_status"


async def test_one_look_that_fails_never_spoils_its_neighbours(world: World) -> None:
    world.provider.answers = {order_id(1): 500, order_id(2): 401}
    world.provider.answers[order_id(3)] = httpx.Response(200, content=b"<html>")
    world.provider.shows(order(4))

    await world.read(1, 2, 3, 4)

    assert await world.status(4) == "paid"


async def test_a_look_older_than_the_recorded_read_parks_nothing(world: World) -> None:
    """Its lease was taken over between its last look at it and the lock on the request."""
    world.provider.shows(order(1))
    await world.read(1)
    world.provider.shows(order(1, status="sleeping", minute=2))
    looked = await looks_at(world, 1)
    await world.run("update requests set lease_no = 9")

    await judge(looked, world.parts)

    request = await world.request(1)
    assert request is not None
    assert (request.parked, request.attention) == (None, frozenset())


# Accounts that do not discover.


async def test_without_discovery_an_unknown_id_is_read_on_its_small_budget_and_parked(
    closed_world: World,
) -> None:
    world = closed_world
    world.provider.shows(order(1))
    await world.trigger(1, observed_by=ObservedBy.SWEEP)
    (claim,) = await claimed(world)
    assert purpose_of(claim, world.account) == "discovery"

    await judge([await look(claim, known=Known(), parts=world.parts)], world.parts)

    row = await world.due(1)
    assert (row["parked"], row["urgency"], row["done"]) == ("unregistered", 2, 1)
    assert [row["wait_seconds"]] == about(24 * 3600)
    assert (await world.request(1), await world.messages()) == (None, [])


async def test_an_id_nobody_registers_within_a_day_is_left_alone(closed_world: World) -> None:
    world = closed_world
    world.provider.shows(order(1))
    await world.read(1)
    await world.run("update due set first_due_at = now() - interval '24 hours'")

    assert await waits(world, 1, 1) == [None]


async def test_what_waited_parked_is_read_at_once_when_it_is_registered(
    closed_world: World,
) -> None:
    world = closed_world
    world.provider.shows(order(1))
    await world.read(1)

    await register_request(
        world.pool, key=key_of(1), reference=None, endpoints=(), now=world.parts.now()
    )
    await world.sync()

    assert await world.status(1) == "paid"
    assert (await world.due(1))["parked"] is None


async def test_a_registration_during_the_read_of_an_unknown_id_is_not_lost(
    closed_world: World,
) -> None:
    world = closed_world
    world.provider.shows(order(1))
    seen = await looks_at(world, 1)
    await register_request(
        world.pool, key=key_of(1), reference=None, endpoints=(), now=world.parts.now()
    )

    await judge(seen, world.parts)
    await world.sync()

    assert await world.status(1) == "paid"


async def test_without_discovery_a_registered_request_is_still_followed(
    closed_world: World,
) -> None:
    world = closed_world
    await register_request(
        world.pool, key=key_of(1), reference=None, endpoints=(), now=world.parts.now()
    )
    world.provider.shows(order(1, refund_orders=[order_id(2)], minute=2), refund(2, of=1))

    await world.read(2)

    assert await world.status(1) == "paid"
    assert await world.request(2) is None


# One transaction: request, history, messages, deliveries and order, all of them or none.

WRITTEN = (
    "requests", "observations", "transitions", "notifications", "deliveries", "orders", "related"
)  # fmt: skip


@pytest.mark.parametrize("table", WRITTEN)
async def test_when_one_insert_fails_nothing_at_all_is_written(world: World, table: str) -> None:
    paid = order(1, refund_orders=[order_id(2)], minute=2)
    world.provider.shows(paid, refund(2, of=1))
    seen = await looks_at(world, 1)
    await world.run(
        "create function fail() returns trigger language plpgsql as"
        " $$ begin raise exception 'planted' using errcode = 'disk_full'; end $$"
    )
    await world.run(f"create trigger planted before insert on {table} execute function fail()")
    try:
        with pytest.raises(Unavailable):
            await judge(seen, world.parts)
        for name in WRITTEN:
            assert await world.value(f"select count(*) from {name}") == 0
        assert (await world.due(1))["done"] == 0
    finally:
        await world.run("drop function fail() cascade")

    await judge(seen, world.parts)

    assert len(await world.messages()) == 2


async def live(world: World, number: int) -> None:
    """Take an order through open, paid, part refunded and refunded."""
    world.provider.shows(order(number, "order_new", minute=1))
    await world.read(number)
    world.provider.shows(order(number, minute=2))
    await world.read(number)
    for count in (1, 2):
        ids = [number + 1000 * extra for extra in range(1, count + 1)]
        world.provider.shows(
            order(number, refund_orders=[order_id(one) for one in ids], minute=2 + count),
            *(refund(one, of=number, amount=2000) for one in ids),
        )
        await world.read(number)


async def test_sequences_have_no_gaps_and_end_at_what_is_recorded(world: World) -> None:
    await live(world, 1)

    for subject in ("request", "order"):
        rows = await world.rows(
            "select sequence, type from transitions where subject = %s order by sequence", subject
        )
        told = await world.rows(
            "select sequence, type from notifications where subject = %s order by serial", subject
        )
        assert rows == told
        assert [row["sequence"] for row in rows] == [1, 2, 3, 4]
    request = await world.request(1)
    assert request is not None
    assert (request.sequence, (await world.order())["sequence"]) == (4, 4)


async def first_broken_link(world: World, subject_id: str) -> int | None:
    """Compute a subject's hashes again from its rows; return the first sequence that differs."""
    previous = b""
    for row in await world.rows(
        "select * from transitions where subject_id = %s order by sequence", subject_id
    ):
        if bytes(row["chained_from"]) != previous or chain(previous, content(row)) != row["hash"]:
            return int(row["sequence"])
        previous = row["hash"]
    return None


def content(row: dict[str, Any]) -> dict[str, object]:
    """What the hash of a transition covers."""
    covered = {name: row[name] for name in ("subject_id", "sequence", "type", "before", "after")}
    covered |= {"observed_by": row["observed_by"], "recorded_at": time_text(row["recorded_at"])}
    if row["subject"] == "order":
        return covered
    return covered | {
        "correction": row["correction"],
        "answer_sha256": row["answer_sha256"].hex(),
        "lease_no": row["lease_no"],
        "version": row["version"],
        "occurred_at": time_text(row["occurred_at"]),
    }


async def subjects(world: World) -> list[str]:
    rows = await world.rows("select distinct subject_id from transitions")
    return [row["subject_id"] for row in rows]


async def test_the_hash_chain_holds_from_the_first_row_to_the_recorded_end(world: World) -> None:
    await live(world, 1)

    assert [await first_broken_link(world, subject) for subject in await subjects(world)] == [
        None, None
    ]  # fmt: skip
    request, of_order = await world.request(1), await world.order()
    ends = await world.rows("select hash from transitions where sequence = 4")
    assert request is not None
    assert {row["hash"] for row in ends} == {request.chain, of_order["chain"]}


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("after", "jsonb_set(after, '{received}', '4001')"),
        ("type", "'payment_request.settled'"),
        ("observed_by", "'poll'"),
        ("recorded_at", "recorded_at + interval '1 ms'"),
        ("hash", "set_byte(hash, 0, get_byte(hash, 0) # 1)"),
        ("chained_from", "'\\x00'"),
    ],
)
async def test_a_changed_byte_breaks_the_chain_where_it_was_changed(
    world: World, column: str, change: str
) -> None:
    await live(world, 1)
    for subject in await subjects(world):
        async with world.pool.connection() as connection, connection.transaction():
            await connection.execute("set local session_replication_role = replica")
            await connection.execute(
                f"update transitions set {column} = {change}"
                " where sequence = 2 and subject_id = %s".encode(),
                [subject],
            )

        assert await first_broken_link(world, subject) == 2


@pytest.mark.parametrize("table", ["transitions", "notifications", "observations"])
@pytest.mark.parametrize("statement", ["update {} set id = id || 'x'", "delete from {}"])
async def test_history_refuses_to_be_changed(world: World, table: str, statement: str) -> None:
    world.provider.shows(order(1))
    await world.read(1)

    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
        await world.run(statement.format(table))


@pytest.mark.parametrize("table", ["transitions", "notifications", "attempts"])
async def test_history_refuses_to_be_emptied(world: World, table: str) -> None:
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match=f"on {table} refused"):
        await world.run(f"truncate {table} cascade")


async def test_a_transition_keeps_the_raw_answer_behind_it_and_its_hash(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)

    (row,) = await world.rows(
        "select answer, o.answer_sha256 = sha256(answer) as hashed, o.answer_sha256 ="
        " t.answer_sha256 as linked from transitions as t join observations as o"
        " on o.id = observation_id"
    )
    assert (row["hashed"], row["linked"]) == (True, True)
    assert bytes(row["answer"]).startswith(b"GET /v1/orders/00000001-")


# Orders.


async def test_a_request_that_ends_without_news_still_closes_its_order(world: World) -> None:
    """A failure that was not final and now is: same status, same money, another order."""
    world.provider.shows(order(1, "order_new"))
    await world.read(1)
    await world.run("update requests set status = 'expired', provider_status = 'expired'")
    assert (await world.order())["status"] == "unpaid"
    world.provider.shows(order(1, "order_expired", minute=2))

    await world.read(1)

    request = await world.request(1)
    assert request is not None
    assert request.sequence == 1
    assert (await world.order())["status"] == "closed"


async def test_what_asks_for_a_person_stays_at_the_order_until_acknowledged(world: World) -> None:
    world.provider.shows(order(1), order(2))
    await world.read(1, 2)
    await world.run("update orders set registered = true, amount = 4000")
    world.provider.shows(order(2, refund_orders=[order_id(3)], minute=3))
    world.provider.shows(refund(3, of=2, amount=1000))
    await world.read(2)
    assert (await world.order())["status"] == "overpaid"
    world.provider.shows(
        order(2, refund_orders=[order_id(3)], minute=4), refund(3, of=2, amount=4000)
    )

    await world.read(2)

    of_order = await world.order()
    assert (of_order["status"], of_order["rule"]) == ("paid", "net_equals_amount")
    assert "overpaid" in of_order["attention"]


async def test_a_read_that_brings_nothing_leaves_the_time_of_the_last_change(
    world: World,
) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    times = "select updated_at, observed_at from requests"
    (before,) = await world.rows(times)

    await world.read(1)

    (after,) = await world.rows(times)
    assert after["updated_at"] == before["updated_at"]
    assert after["observed_at"] > before["observed_at"]


# Recorders at the same time.


async def prepare_siblings(world: World, rounds: int, *, linked: bool) -> None:
    """Orders over 40.00, each with two open requests whose rows are leased; or both unread."""
    await world.run(
        "insert into orders (id, reference, registered, status, rule, currency, amount)"
        " select 'ord_' || n, 'INV-' || n, true, 'unpaid', 'no_request', 'EUR', 4000"
        " from generate_series(1, %s) as n",
        rounds,
    )
    if linked:
        await world.run(
            "insert into requests (id, account, kind, provider_id, order_id, reference, status,"
            " provider_status, currency, amount, sequence, version, lease_no)"
            " select 'prq_' || n || s, %s, 'order', n || s, 'ord_' || n, 'INV-' || n, 'open',"
            " 'new', 'EUR', 4000, 1, 1, 1"
            " from generate_series(1, %s) as n, unnest(array['a', 'b']) as s",
            ACCOUNT,
            rounds,
        )
    await world.run(
        "insert into due (account, kind, provider_id, known, lease_no, leased_until)"
        " select %s, 'order', n || s, true, 2, now() + interval '1 hour'"
        " from generate_series(1, %s) as n, unnest(array['a', 'b']) as s",
        ACCOUNT,
        rounds,
    )


def paid_look(number: int, sibling: str, *, received: int) -> Look:
    """A look that saw a request paid; received may be more than its half of the order."""
    claim = Claimed(
        ACCOUNT, "order", f"{number}{sibling}", wanted=1, lease_no=2, known=True, urgency=0,
        observed_by="webhook", rereads=0, crashes=1, errors=0, failing_seconds=0.0, due_seconds=0.0,
    )  # fmt: skip
    answer = seen(
        facts(Status.PAID, amount=received, received=received),
        version=2,
        reference=f"INV-{number}",
    )
    return Look(claim, answer, sha256=b"\x01" * 32)


@pytest.mark.parametrize("linked", [True, False])
async def test_two_siblings_paid_at_the_same_instant_are_always_both_counted(
    world: World, linked: bool
) -> None:
    """Many rounds; siblings are linked to their order already, or their first read does it.

    Every second order gets 20.00 twice and is paid; the others get 40.00 twice: overpaid.
    """
    rounds, together = (1000 if linked else 300), 4
    await prepare_siblings(world, rounds, linked=linked)

    for first in range(1, rounds + 1, together):
        numbers = range(first, first + together)
        await asyncio.gather(
            *(
                judge(
                    [paid_look(n, sibling, received=2000 * (1 + n % 2)) for n in numbers],
                    world.parts,
                )
                for sibling in ("a", "b")
            )
        )

    found = await world.rows(
        "select status, received, sequence, count(*) from orders group by 1, 2, 3 order by 2"
    )
    assert [tuple(row.values()) for row in found] == [
        ("paid", 4000, 2, rounds // 2), ("overpaid", 8000, 2, rounds // 2)
    ]  # fmt: skip


async def test_an_order_tells_what_was_booked_although_its_status_stands(world: World) -> None:
    await prepare_siblings(world, 1, linked=True)
    both = [paid_look(1, sibling, received=2000) for sibling in ("a", "b")]
    await judge(both, world.parts)
    booked = facts(Status.SETTLED, amount=2000, received=2000, booked=2000)

    await judge([replace(both[0], answer=seen(booked, version=3))], world.parts)

    of_order = [m for m in await world.messages() if m["type"] == "order.paid"]
    told = [(m["data"]["sequence"], m["data"]["booked"]["minor"]) for m in of_order]
    assert told == [(1, 0), (2, 2000)]


async def test_recorders_of_the_same_hot_requests_never_fail_each_other(world: World) -> None:
    """Four at once, each in its own order, over requests of the same few orders and a part."""
    world.provider.shows(*(order(n, reference=f"INV-{n % 3}") for n in range(1, 9)))
    world.provider.shows(*(refund(n + 100, of=n) for n in range(1, 9)))
    numbers = [*range(1, 9), *range(101, 109)]

    for turn in range(15):
        seen_now = await looks_at(world, *numbers)
        hands = [seen_now[offset::4] for offset in range(4)]
        await asyncio.gather(
            *(judge(hand[:: -1 if turn % 2 else 1], world.parts) for hand in hands)
        )
        await world.let_time_pass()

    assert [await world.status(n) for n in range(1, 9)] == ["paid"] * 8
    assert await world.value("select sum(received) from orders") == 8 * 4000


async def test_parts_of_the_same_unknown_requests_never_fail_each_other(world: World) -> None:
    """Two at once trigger the same ten rows that are not there yet, in opposite orders."""
    for turn in range(15):
        first = 1000 * (turn + 1)
        originals = range(first, first + 10)
        world.provider.shows(*(refund(n + 100, of=n) for n in originals))
        world.provider.shows(*(refund(n + 200, of=2 * first + 9 - n) for n in originals))
        forth = await looks_at(world, *(n + 100 for n in originals))
        back = await looks_at(world, *(n + 200 for n in originals))

        await asyncio.gather(judge(forth, world.parts), judge(back, world.parts))

    assert await world.value("select count(*) from due where wanted = 2") == 150


@pytest.mark.parametrize("is_first", [True, False])
async def test_the_same_reads_recorded_by_four_at_once_move_each_request_once(
    world: World, is_first: bool
) -> None:
    numbers = range(1, 9)
    if not is_first:
        world.provider.shows(*(order(n, "order_new", reference=f"INV-{n % 2}") for n in numbers))
        await world.read(*numbers)
    world.provider.shows(*(order(n, reference=f"INV-{n % 2}", minute=2) for n in numbers))
    seen_now = await looks_at(world, *numbers)

    await asyncio.gather(
        *(judge(seen_now[:: 1 if turn % 2 else -1], world.parts) for turn in range(4))
    )

    paid = [m for m in await world.messages() if m["type"] == "payment_request.paid"]
    assert [m["data"]["sequence"] for m in paid] == [1 if is_first else 2] * 8
    assert await world.value("select sum(received) from orders") == 8 * 4000
