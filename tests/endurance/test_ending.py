"""The reckoning can fail: pictures that are wrong in one thing each are found to be."""

from dataclasses import fields, replace
from datetime import UTC, datetime

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from service.cli.demo_api import Arrival, Message, MessageData
from tests.bench.processes import free_port
from tests.endurance.ending import (
    Ending,
    Told,
    compare_told,
    count_connections_leaked,
    count_files_leaked,
    count_leases_hanging,
)
from tests.scale.front import Front
from tests.scale.stored import read_stored, unstored

GOOD = Ending(*[0] * len(fields(Ending)))
WELL_TOLD = Told(untold=0, told_twice=0, altered=0, out_of_order=0)


def message(sequence: int, *, id_: str | None = None) -> Message:
    data = MessageData(sequence=sequence, request_id="req_1")
    return Message(id_ or f"msg_{sequence}", "payment_request.paid", data, sha256=f"{sequence}")


def arrival(
    of: Message, status: int | None = 204, *, signed: bool = True, sha256: str = ""
) -> Arrival:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Arrival(of.id, at, signed, of, sha256 or of.sha256, status)


@pytest.mark.parametrize("name", [field.name for field in fields(Ending)])
def test_one_thing_wrong_is_enough(name: str) -> None:
    assert GOOD.is_good
    assert not replace(GOOD, **{name: 1}).is_good
    assert f"{name}=1" in str(replace(GOOD, **{name: 1}))


def test_a_message_that_was_refused_and_then_taken_is_told_once() -> None:
    feed = [message(1), message(2)]
    refused = arrival(feed[0], 401, signed=False)
    arrivals = [refused, arrival(feed[0]), arrival(feed[0], None), arrival(feed[1])]

    assert compare_told(feed, arrivals) == WELL_TOLD


@pytest.mark.parametrize(
    ("arrivals", "wrong"),
    [
        ([arrival(message(1)), arrival(message(2), 503)], {"untold": 1}),
        (
            [arrival(message(1)), arrival(message(2)), arrival(message(2, id_="msg_9"))],
            {"told_twice": 2, "out_of_order": 1},
        ),
        ([arrival(message(2)), arrival(message(1))], {"out_of_order": 1}),
        ([arrival(message(1)), arrival(message(2), sha256="other")], {"altered": 1}),
    ],
)
def test_what_the_erp_took_is_compared_with_the_feed(
    arrivals: list[Arrival], wrong: dict[str, int]
) -> None:
    assert compare_told([message(1), message(2)], arrivals) == replace(WELL_TOLD, **wrong)


async def test_an_answer_before_the_commit_is_found_when_the_receiver_dies(
    database_url: str,
) -> None:
    front, port = Front([f"http://127.0.0.1:{free_port()}"], answers_early=True), free_port()
    async with front.listening("127.0.0.1", port), httpx.AsyncClient() as provider:
        answer = await provider.post(f"http://127.0.0.1:{port}/webhooks/ginger", json={"id": 1})

    assert answer.status_code == 204
    assert unstored(front.accepted, read_stored(database_url)) == 1


async def test_what_is_overdue_or_leased_for_ever_hangs(database_url: str) -> None:
    rows = [("fine", "now", "-infinity"), ("overdue", "yesterday", "-infinity")]
    rows += [("leased", "tomorrow", "yesterday"), ("at work", "now", "tomorrow")]
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into due (account, kind, provider_id, due_at, leased_until)"
            " values ('a', 'k', %s, %s, %s)",
            rows,
        )

    assert await count_leases_hanging(database_url, seconds_max=0.0) == 2


async def test_connections_beyond_all_pools_have_leaked(database_url: str) -> None:
    url = make_conninfo(database_url, application_name="settled web")
    with psycopg.connect(url), psycopg.connect(url):
        assert await count_connections_leaked(database_url, {"web": 1}, seconds_max=0.0) == 0
        assert await count_connections_leaked(database_url, {}, seconds_max=0.0) == 2


def test_files_that_a_pool_may_open_have_not_leaked() -> None:
    assert count_files_leaked({"web": (20, 90)}, {"web": (60, 90)}) == 0
    assert count_files_leaked({"web": (20, 90)}, {"web": (120, 90)}) == 36
