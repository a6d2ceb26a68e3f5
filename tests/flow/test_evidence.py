"""Evidence and time travel on what the flow really recorded."""

import base64
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from service.domain.evidence import Checked, check_pack, write_pack
from service.domain.request import Key, Kind, ObservedBy
from service.errors import NotFound
from service.flow.intervene import sync_now
from service.storage.database import Pool
from service.storage.partitions import keep_partitions
from service.storage.unit_of_work import connected, unit_of_work
from service.storage.views.evidence import read_evidence
from service.storage.views.past import find_past
from service.storage.views.requests import find_request
from tests.flow.world import ACCOUNT, World, key_of, order, order_id, world_on
from tests.storage.rows import insert, insert_event

PERSONAL = (b"NL13TEST0123456789", b"J. de Vries")
MONTH, YEAR = timedelta(days=30), timedelta(days=365)


async def pack_of(world: World, number: int, *, with_raw: bool = False) -> bytes:
    request = await world.request(number)
    assert request is not None
    at = datetime.now(UTC)
    rows = await read_evidence(world.pool, request.id, with_raw=with_raw, at=at)
    assert rows is not None
    return b"".join(write_pack(rows))


def rows_in(pack: bytes, what: str) -> list[dict[str, Any]]:
    return [row for line in pack.splitlines() if (row := json.loads(line))["what"] == what]


async def opened_and_paid(world: World) -> None:
    """A webhook tells of an open order, another that it was paid, and a poll finds nothing new."""
    body = json.dumps({"order_id": order_id(1)}).encode()
    await insert_event(world.pool, "1", order_id(1), body=body)
    world.provider.shows(order(1, "order_new", modified="2024-05-14T09:12:03+00:00"))
    await world.read(1)
    world.provider.shows(order(1, minute=2))
    await world.read(1)
    await world.read(1)


def is_good(checked: Checked) -> bool:
    return checked.problems == ()


async def test_a_pack_of_what_was_recorded_is_good_and_whole(world: World) -> None:
    await opened_and_paid(world)

    checked = check_pack(await pack_of(world, 1))

    assert is_good(checked)
    assert checked.counts == {
        "pack": 1, "order": 1, "event": 1, "observation": 3, "transition": 4, "notification": 4,
        "end": 1,
    }  # fmt: skip


async def test_what_persons_did_and_decided_is_in_the_pack(world: World) -> None:
    await opened_and_paid(world)
    request = await world.request(1)
    assert request is not None
    await sync_now(
        world.pool,
        request_id=request.id,
        wake=lambda: None,
        wait_seconds=0,
        who="api:ops",
        reason="the payer says so",
    )
    for subject, subject_id in (("request", request.id), ("order", request.order_id)):
        await insert(
            world.pool, "decisions", id=f"dec_{subject}", what="acknowledgement", who="api:ops",
            subject=subject, subject_id=subject_id, detail=Jsonb({"code": "overpaid"}),
            reason="refunded by hand", at=datetime.now(UTC),
        )  # fmt: skip

    pack = await pack_of(world, 1)

    told = [(row["did"], row["subject_id"], row["reason"]) for row in rows_in(pack, "act")]
    assert told == [
        ("sync", request.id, "the payer says so"),
        ("acknowledge", request.id, "refunded by hand"),
        ("acknowledge", request.order_id, "refunded by hand"),
    ]
    assert is_good(check_pack(pack))
    assert not is_good(check_pack(pack.replace(b"by hand", b"by mail")))


async def test_names_and_bank_accounts_stay_out_unless_they_are_asked_for(world: World) -> None:
    await opened_and_paid(world)

    plain, raw = [await pack_of(world, 1, with_raw=asked) for asked in (False, True)]

    told = b"".join(base64.b64decode(row.get("answer", "")) for row in rows_in(raw, "observation"))
    for text in PERSONAL:
        assert text not in plain
        assert base64.b64encode(text) not in plain
        assert text in told
    assert {row["answer_is"] for row in rows_in(plain, "observation")} == {"withheld", "not_kept"}
    assert rows_in(plain, "event")[0]["body_is"] == "withheld"


async def test_raw_answers_and_bodies_are_checked_against_their_hashes(world: World) -> None:
    await opened_and_paid(world)

    pack = await pack_of(world, 1, with_raw=True)

    assert is_good(check_pack(pack))
    (event,) = rows_in(pack, "event")
    assert json.loads(base64.b64decode(event["body"])) == {"order_id": order_id(1)}
    states = [row["answer_is"] for row in rows_in(pack, "observation")]
    assert states == ["here", "here", "not_kept"]


async def test_after_raw_partitions_are_dropped_the_chain_holds_and_the_pack_says_what_is_gone(
    pool: Pool,
) -> None:
    today = datetime.now(UTC).date()
    async with world_on(pool) as world:
        async with connected(pool) as connection:
            await keep_partitions(connection, today=today, raw_bodies=MONTH, facts=YEAR)
        await opened_and_paid(world)
        before = await pack_of(world, 1)

        async with connected(pool) as connection:
            later = today + timedelta(days=40)
            dropped = await keep_partitions(connection, today=later, raw_bodies=MONTH, facts=YEAR)
        after = await pack_of(world, 1, with_raw=True)

    assert f"observations_{today:%Y%m%d}" in dropped
    checked = check_pack(after)
    assert is_good(checked)
    assert rows_in(after, "transition") != []
    rested_on = [id_ for row in rows_in(before, "transition") if (id_ := row["observation_id"])]
    assert list(checked.redacted) == ["evt_1", *rested_on]
    hashes = {row["id"]: row["answer_sha256"] for row in rows_in(before, "observation")}
    for row in rows_in(after, "observation"):
        assert row["answer_sha256"] == hashes[row["id"]]


async def test_a_body_that_is_past_its_retention_is_gone_and_its_hash_is_not(
    world: World,
) -> None:
    await opened_and_paid(world)
    await insert_event(world.pool, "2", order_id(1), body_sha256=sha256(b"[]").digest())

    checked = check_pack(await pack_of(world, 1, with_raw=True))

    assert is_good(checked)
    assert checked.redacted == ("evt_2",)


async def test_every_event_of_a_call_shows_its_body(world: World) -> None:
    await opened_and_paid(world)
    body, batch = b'[{"a": 1}, {"b": 2}]', sha256(b'[{"a": 1}, {"b": 2}]').digest()
    await insert_event(world.pool, "2", order_id(2), body=body)
    await insert_event(world.pool, "3", order_id(1), body_sha256=batch)

    pack = await pack_of(world, 1, with_raw=True)

    assert is_good(check_pack(pack))
    (shown,) = [row for row in rows_in(pack, "event") if row["id"] == "evt_3"]
    assert base64.b64decode(shown["body"]) == body


async def test_what_was_taken_back_rests_on_a_read_of_the_request_that_has_it(
    world: World,
) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    link = order_id(900)
    world.provider.answers[f"/v1/paymentlinks/{link}"] = {
        "id": link,
        "merchant_order_id": "INV-1043",
        "amount": 4000,
        "currency": "EUR",
        "status": "completed",
        "created": "2026-11-20T14:00:00Z",
        "modified": "2026-11-20T14:05:00Z",
        "orders": {"new": [order_id(1)]},
    }
    async with unit_of_work(world.pool) as work:
        key = Key(ACCOUNT, Kind.PAYMENT_LINK, link)
        await work.due.trigger([key], observed_by=ObservedBy.POLL, known=True)
    await world.sync()

    checked = check_pack(await pack_of(world, 1, with_raw=True))

    assert is_good(checked)
    assert checked.counts["transition"] == 3
    assert checked.redacted == ()


async def test_history_that_somebody_changed_in_the_database_is_named(world: World) -> None:
    await opened_and_paid(world)
    async with world.pool.connection() as connection, connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        await connection.execute(
            "update transitions set after = after || '{\"received\": 1}'"
            " where subject = 'request' and sequence = 2"
        )

    (problem,) = check_pack(await pack_of(world, 1)).problems

    assert problem.about.startswith("transition 2 trn_")
    assert problem.what == "does not have the hash that it is chained with"


# Time travel


async def past(world: World, **when: datetime) -> dict[str, Any]:
    request = await world.request(1)
    assert request is not None
    return await find_past(world.pool, request.id, at=when.get("at"), as_of=when.get("as_of"))


async def recorded(world: World) -> list[datetime]:
    rows = await world.rows(
        "select recorded_at from transitions where subject = 'request' order by sequence"
    )
    return [row["recorded_at"] for row in rows]


async def test_what_we_knew_changes_at_the_moment_we_learned_it(world: World) -> None:
    await opened_and_paid(world)
    first, second = await recorded(world)

    before = await past(world, at=second - timedelta(milliseconds=2))
    shown = datetime.fromisoformat((await past(world, at=second))["updated_at"])
    after = await past(world, at=shown)

    assert (before["status"], before["sequence"], before["received"]["minor"]) == ("open", 1, 0)
    assert (after["status"], after["sequence"], after["received"]["minor"]) == ("paid", 2, 4000)
    assert first < second


async def test_the_past_up_to_now_is_the_present(world: World) -> None:
    await opened_and_paid(world)
    request = await world.request(1)
    assert request is not None

    now = await find_request(world.pool, request.id) or {}
    then = await past(world, at=datetime.now(UTC))

    later = {"observed_at", "updated_at"}  # a look that found nothing new
    assert {name: then[name] for name in now.keys() - later} == {
        name: now[name] for name in now.keys() - later
    }


async def test_what_had_happened_goes_by_the_clock_of_the_provider(world: World) -> None:
    await opened_and_paid(world)
    happened = [
        row["occurred_at"]
        for row in await world.rows(
            "select occurred_at from transitions where subject = 'request' order by sequence"
        )
    ]

    assert (await past(world, as_of=happened[1]))["status"] == "paid"
    before = happened[1] - timedelta(milliseconds=1)
    assert (await past(world, as_of=before))["status"] == "open"
    first, _ = await recorded(world)
    assert (await past(world, at=first, as_of=happened[1]))["status"] == "open"


async def test_a_time_before_the_first_change_is_refused_with_both_clocks(world: World) -> None:
    await opened_and_paid(world)

    for when in ("at", "as_of"):
        with pytest.raises(NotFound, match=r"nothing was known of prq_\w+ then: its first change"):
            await past(world, **{when: datetime(2001, 1, 1, tzinfo=UTC)})


async def test_a_request_that_was_never_read_has_no_past(world: World) -> None:
    async with unit_of_work(world.pool) as work:
        await work.requests.make([key_of(1)])

    with pytest.raises(NotFound, match="no change of prq_"):
        await past(world, at=datetime.now(UTC))
