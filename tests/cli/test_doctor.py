"""`settled doctor` and `settled status`, run as a person would."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from service.embedded import Urls, replace_file
from service.storage.database import Pool, pool_of
from service.storage.views.endpoints import list_endpoints
from service.storage.workers import note_worker
from tests.cli.command import settled
from tests.cli.test_accounts import NOWHERE, open_ginger, with_accounts
from tests.flow.surroundings import SECRET, Erp, listening
from tests.storage.rows import insert, insert_order


async def run(*arguments: str, folder: Path) -> CompletedProcess[str]:
    return await asyncio.to_thread(settled, *arguments, folder=folder)


def with_endpoint(folder: Path, url: str) -> Path:
    with (folder / "settled.toml").open("a") as file:
        file.write(
            f'[[endpoint]]\nname = "erp"\nurl = "{url}"\nsecrets = ["{SECRET}"]\n'
            "allow_private = true\n"
        )
    return folder


@asynccontextmanager
async def running(database_url: str) -> AsyncIterator[None]:
    """Have the database see what it sees of a worker, a beat and a web."""
    await note_worker(database_url, pid=1, progressed=True)
    async with AsyncExitStack() as stack:
        for role in ("beat", "web"):
            pool = pool_of(database_url, application=role, connections_max=1)
            await stack.enter_async_context(pool)
            await pool.wait()
        yield


@asynccontextmanager
async def healthy(folder: Path, database_url: str) -> AsyncIterator[Erp]:
    """Add an account and an endpoint that answer, and have everything run."""
    async with open_ginger() as ginger, listening() as erp, running(database_url):
        with_endpoint(with_accounts(folder, a=ginger), erp.url)
        yield erp


def wrong_in(ended: CompletedProcess[str]) -> dict[tuple[str, str], dict[str, Any]]:
    findings = json.loads(ended.stdout)["findings"]
    return {(one["part"], one["check"]): one for one in findings if one["ok"] is False}


async def test_what_init_writes_is_accepted_before_anything_was_started(tmp_path: Path) -> None:
    await run("init", folder=tmp_path)

    ended = await run("doctor", folder=tmp_path)

    assert (ended.returncode, ended.stderr.count("\n")) == (0, 1)
    assert "`settled up` starts it" in ended.stdout
    assert "NOT OK" not in ended.stdout


async def test_nothing_is_wrong_where_everything_answers_and_no_message_is_sent(
    configured: Path, database_url: str
) -> None:
    async with healthy(configured, database_url) as erp:
        ended = await run("doctor", "--json", folder=configured)

    found = json.loads(ended.stdout)
    looked_at = {(one["part"], one["check"]) for one in found["findings"]}
    assert (ended.returncode, found["ok"], wrong_in(ended)) == (0, True, {}), ended.stdout
    assert {
        ("configuration", "valid"), ("database", "fsync"), ("database", "clock"),
        ("database", "migrations"), ("database", "partitions"), ("redis", "reachable"),
        ("account a", "login"), ("account a", "clock"), ("endpoint erp", "reachable"),
        ("processes", "workers"), ("processes", "beat"), ("attention", "requests"),
    } <= looked_at  # fmt: skip
    assert [arrival.body for arrival in erp.arrivals] == [b""]


async def test_each_problem_is_6_with_its_remedy_in_a_line(
    configured: Path, database_url: str, pool: Pool
) -> None:
    await insert_order(pool, "INV-1", attention=["overpaid"])

    ended = await run("doctor", folder=configured)

    lines = [line for line in ended.stdout.splitlines() if line.startswith("NOT OK")]
    assert ended.returncode == 6
    assert [line.split(": ")[1] for line in lines] == [
        "processes, workers", "processes, beat", "processes, web", "attention, orders",
    ]  # fmt: skip
    assert "`settled worker`" in lines[0]
    assert "`settled orders list --attention` names them" in lines[3]
    assert ended.stderr.splitlines()[-1] == "settled: 4 not ok: processes, attention"


async def test_what_the_remedy_names_lists_those_that_ask_for_a_person(
    configured: Path, pool: Pool
) -> None:
    await insert_order(pool, "INV-1", attention=["overpaid"])
    await insert_order(pool, "INV-2")

    listed = await run("orders", "list", "--attention", "--json", folder=configured)
    none = await run("requests", "list", "--attention", "--json", folder=configured)

    assert [json.loads(line)["reference"] for line in listed.stdout.splitlines()] == ["INV-1"]
    assert (none.returncode, none.stdout) == (0, "")


async def test_whoever_is_away_is_4_while_nothing_worse_is_found(
    configured: Path, database_url: str
) -> None:
    folder = with_endpoint(with_accounts(configured, a=NOWHERE), f"{NOWHERE}/hooks")
    text = (folder / "settled.toml").read_text()
    (folder / "settled.toml").write_text(text.replace("unix://", "unix:///nowhere"))
    async with running(database_url):
        ended = await run("doctor", "--json", folder=folder)

    assert ended.returncode == 4
    wrong = wrong_in(ended)
    assert set(wrong) == {
        ("account a", "login"), ("endpoint erp", "reachable"), ("redis", "reachable"),
    }  # fmt: skip
    assert all(one["away"] and one["remedy"] for one in wrong.values())


async def test_without_the_database_the_rest_is_looked_at_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "settled.toml").write_text(
        '[database]\nurl = "postgresql://me:hush@127.0.0.1:1/none"\n'
        '[redis]\nurl = "redis://127.0.0.1:1"\n'
    )
    async with listening() as erp:
        folder = with_endpoint(with_accounts(tmp_path, a=NOWHERE), erp.url)
        ended = await run("doctor", "--json", folder=folder)

    assert ended.returncode == 4
    assert set(wrong_in(ended)) == {("database", "reachable"), ("redis", "reachable")}
    told = {(one["part"], one["check"]): one for one in json.loads(ended.stdout)["findings"]}
    assert told["endpoint erp", "reachable"]["ok"]
    assert "takes the database" in told["account a", "login"]["detail"]
    assert "hush" not in ended.stdout + ended.stderr


async def test_embedded_servers_that_ran_before_and_are_down_are_4(tmp_path: Path) -> None:
    (tmp_path / "settled.toml").write_text("")
    (tmp_path / ".settled" / "postgres").mkdir(parents=True)

    ended = await run("doctor", "--json", folder=tmp_path)

    assert ended.returncode == 4
    assert wrong_in(ended)["database", "reachable"]["remedy"] == "start `settled up`"


async def test_a_wrong_configuration_is_3_and_an_object_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "settled.toml").write_text('[settled]\nlisten = "nowhere"\n')

    ended = await run("doctor", "--json", folder=tmp_path)

    assert ended.returncode == 3
    assert "settled.listen" in wrong_in(ended)["configuration", "valid"]["detail"]


async def test_status_finds_the_servers_that_another_process_started(
    tmp_path: Path, servers: Urls, database_url: str, pool: Pool
) -> None:
    (tmp_path / "settled.toml").write_text('[settled]\ndata_dir = "data"\n')
    (tmp_path / "data").mkdir()
    urls = {"postgres": database_url, "redis": servers.redis}
    replace_file(tmp_path / "data" / "servers.json", json.dumps(urls))
    here, gone = {"role": "worker", "pid": os.getpid()}, {"role": "web", "pid": 2**22 + 1}
    replace_file(tmp_path / "data" / "processes.json", json.dumps([here, gone]))
    await insert(pool, "endpoints", name="erp", kind="webhook", state="paused", reason="moving")

    async with running(database_url):
        ended = await run("status", "--json", folder=with_accounts(tmp_path, a=NOWHERE))

    shown = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert shown["processes"] == {"workers": 1, "beat": True, "web": True, "here": [here]}
    assert shown["endpoints"] == await list_endpoints(pool)
    assert [account["name"] for account in shown["accounts"]] == ["a"]
    assert shown["last"] == {"event_at": None, "read_at": None, "delivered_at": None}


async def test_a_person_reads_first_what_needs_attention(configured: Path, pool: Pool) -> None:
    await insert_order(pool, "INV-1", attention=["overpaid"])

    ended = await run("status", folder=with_accounts(configured, a=NOWHERE))

    lines = ended.stdout.splitlines()
    assert ended.returncode == 0
    assert lines[0] == "NEEDS ATTENTION"
    assert lines[4].startswith("  attention, orders: 1 overpaid; `settled orders list")
    assert [line for line in lines if line.startswith("deliveries")] == ["deliveries    none wait"]
    assert lines[-1].split()[:2] == ["a", "ok"]
    assert len(lines) < 24, "one screen"
