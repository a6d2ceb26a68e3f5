import asyncio
import json
from pathlib import Path
from subprocess import CompletedProcess

import redis

from service.cli.acting import who
from service.domain.request import Key, Kind, ObservedBy
from service.embedded import Urls
from service.nudge import QUEUES, SYNC
from service.storage.database import Pool
from service.storage.due import Rest
from service.storage.unit_of_work import unit_of_work
from service.storage.views.interventions import InterventionFilter, list_interventions
from service.storage.views.requests import find_request
from tests.cli.command import settled
from tests.cli.conftest import configure
from tests.storage.rows import insert_request


async def test_a_shown_request_is_the_object_of_the_api(configured: Path, pool: Pool) -> None:
    request_id = await insert_request(pool, "a", reference="INV-1")

    shown = settled("requests", "show", request_id, "--json", folder=configured)

    assert json.loads(shown.stdout) == await find_request(pool, request_id)


async def test_a_person_reads_a_field_on_each_line(configured: Path, pool: Pool) -> None:
    request_id = await insert_request(pool, "a", attention=["late_money"])

    lines = settled("requests", "show", request_id, folder=configured).stdout.splitlines()

    assert "received         40.00 EUR" in lines
    assert "attention        late_money" in lines
    assert "order_id         -" in lines


async def test_the_list_narrows_by_status_and_account(configured: Path, pool: Pool) -> None:
    await insert_request(pool, "a")
    await insert_request(pool, "b", status="open")
    await insert_request(pool, "c", account="gc-live")

    def ids(*options: str) -> set[str]:
        listed = settled("requests", "list", "--json", *options, folder=configured)
        return {json.loads(line)["provider_id"] for line in listed.stdout.splitlines()}

    assert ids("--status", "open") == {"b"}
    assert ids("--account", "gc-live") == {"c"}
    assert ids() == {"a", "b", "c"}
    assert len(ids("--limit", "2")) == 2


def test_an_unknown_request_is_neither_shown_nor_synced(configured: Path) -> None:
    for verb in ("show", "sync"):
        ended = settled("requests", verb, "prq_none", folder=configured)

        assert (ended.returncode, ended.stdout) == (5, "")
        assert "prq_none" in ended.stderr


async def test_a_sync_shows_the_request_once_a_read_has_finished(
    configured: Path, pool: Pool
) -> None:
    request_id = await insert_request(pool, "a")

    asked = sync(request_id, "--reason", "the payer says so", folder=configured)
    ended, _ = await asyncio.gather(asked, finish_one_read(pool))

    assert ended.returncode == 0
    assert json.loads(ended.stdout)["id"] == request_id
    kept = await list_interventions(pool, InterventionFilter(did="sync"), after=None, limit=9)
    assert [(act["who"], act["reason"]) for act in kept.items] == [(who(), "the payer says so")]


async def test_a_sync_that_nobody_carries_out_stays_due_and_rings(
    configured: Path, pool: Pool, servers: Urls
) -> None:
    request_id = await insert_request(pool, "a")
    with redis.Redis.from_url(servers.redis) as broker:
        broker.delete(f"settled:rung:{QUEUES[SYNC]}", f"settled:{QUEUES[SYNC]}")

        ended = await sync(request_id, "--wait", "1", folder=configured)

        assert (ended.returncode, ended.stdout) == (4, "")
        assert broker.llen(f"settled:{QUEUES[SYNC]}") == 1
    async with unit_of_work(pool) as work:
        (claimed,) = await work.due.claim(2)
    assert claimed.key == Key("ginger-nl", Kind.ORDER, "a")
    assert claimed.observed_by == ObservedBy.OPERATOR


async def test_a_dry_sync_shows_the_request_and_makes_nothing_due(
    configured: Path, pool: Pool
) -> None:
    request_id = await insert_request(pool, "a")

    ended = await sync(request_id, "--dry-run", folder=configured)

    assert json.loads(ended.stdout) == await find_request(pool, request_id)
    assert "a would be read at ginger-nl; nothing was changed or sent" in ended.stderr
    async with unit_of_work(pool) as work:
        assert await work.due.claim(2) == []


async def test_a_sync_needs_no_redis(tmp_path: Path, database_url: str, pool: Pool) -> None:
    folder = configure(tmp_path, postgres=database_url, redis="redis://127.0.0.1:1")
    request_id = await insert_request(pool, "a")

    ended, _ = await asyncio.gather(sync(request_id, folder=folder), finish_one_read(pool))

    assert ended.returncode == 0


async def sync(request_id: str, *options: str, folder: Path) -> CompletedProcess[str]:
    arguments = ("requests", "sync", request_id, "--json", *options)
    return await asyncio.to_thread(settled, *arguments, folder=folder)


async def finish_one_read(pool: Pool) -> None:
    """Do what a worker does around a read that finds nothing new: claim it and put it to rest."""
    claimed = None
    while not claimed:
        await asyncio.sleep(0.01)
        async with unit_of_work(pool) as work:
            claimed = await work.due.claim(1)
    async with unit_of_work(pool) as work:
        await work.due.rest([Rest(claimed[0], covered=claimed[0].wanted, next_seconds=None)])
