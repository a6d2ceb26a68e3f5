"""`settled accounts`, with a provider on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from aiohttp import web

from service.embedded import Urls, replace_file
from service.settings import Rate
from service.storage.database import Pool
from service.storage.views.accounts import Configured, list_accounts
from tests.cli.command import settled
from tests.providers.world import recording

TOKEN = "wh-0123456789abcdef"
NOWHERE = "http://127.0.0.1:1"


@asynccontextmanager
async def open_ginger(status: int = 200) -> AsyncIterator[str]:
    """Serve what a check of a Ginger account asks for, recorded; every answer has this status."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        is_methods = request.path.endswith("/currencies")
        file = "currencies_per_method_response.json" if is_methods else "orders_list_empty.json"
        body = recording("ginger", file) if status == 200 else recording("ginger", "error_401.json")
        return web.Response(status=status, body=body, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def with_accounts(folder: Path, **addresses: str) -> Path:
    """Add a Ginger account for each name and address to the configuration in folder."""
    with (folder / "settled.toml").open("a") as file:
        for name, api_base in addresses.items():
            file.write(
                f'[[account]]\nname = "{name}"\nprovider = "ginger"\napi_base = "{api_base}"\n'
                f'api_key = "key of {name}"\nwebhook_token = "{TOKEN}"\nlimit = "60/m"\n'
            )
    return folder


async def accounts(*arguments: str, folder: Path) -> CompletedProcess[str]:
    return await asyncio.to_thread(settled, "accounts", *arguments, folder=folder)


def objects_in(ended: CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.stdout.splitlines()]


async def test_a_good_account_passes_and_its_path_token_stays_secret(configured: Path) -> None:
    (configured / "settled.toml").write_text(
        '[settled]\nbase_url = "https://pay.example.com"\n'
        + (configured / "settled.toml").read_text()
    )
    async with open_ginger() as url:
        ended = await accounts("check", "--json", folder=with_accounts(configured, **{"a-1": url}))

    (shown,) = objects_in(ended)
    assert (ended.returncode, shown["account"], shown["provider"]) == (0, "a-1", "ginger")
    assert shown["ok"]
    found = {one["check"]: one["ok"] for one in shown["findings"]}
    assert (found["login"], found["permission"], found["clock"]) == (True, True, True)
    assert {"webhook", "budget"} <= set(found)
    assert TOKEN not in ended.stdout + ended.stderr


async def test_a_refused_key_is_told_in_plain_words_with_what_to_do(configured: Path) -> None:
    async with open_ginger(401) as url:
        ended = await accounts("check", "a", folder=with_accounts(configured, a=url))

    assert ended.returncode == 6
    assert "does not accept our credentials (http_401)" in ended.stdout
    assert "see that key, token or certificate is complete" in ended.stdout
    assert "NOT OK" in ended.stdout
    assert "Traceback" not in ended.stderr


async def test_an_account_that_is_away_is_4_unless_another_is_wrong(configured: Path) -> None:
    async with open_ginger() as good, open_ginger(403) as bad:
        folder = with_accounts(configured, good=good, away=NOWHERE, bad=bad)
        alone = await accounts("check", "away", "--json", folder=folder)
        together = await accounts("check", "--json", folder=folder)

    assert alone.returncode == 4
    assert objects_in(alone)[0]["ok"] is False
    assert together.returncode == 6
    fine = {one["account"]: one["ok"] for one in objects_in(together)}
    assert fine == {"good": True, "away": False, "bad": False}
    assert "something is wrong with bad, away" in together.stderr


async def test_an_unknown_account_is_not_found_and_the_known_are_named(configured: Path) -> None:
    ended = await accounts("check", "b", folder=with_accounts(configured, a=NOWHERE))

    assert (ended.returncode, ended.stdout) == (5, "")
    assert "no account 'b'" in ended.stderr
    assert "there are: a" in ended.stderr


@pytest.mark.parametrize("verb", ["check", "list"])
async def test_a_wrong_configuration_names_its_key(verb: str, configured: Path) -> None:
    folder = with_accounts(configured, a=NOWHERE)
    text = (folder / "settled.toml").read_text()
    (folder / "settled.toml").write_text(text.replace('"ginger"', '"gingr"'))

    ended = await accounts(verb, folder=folder)

    assert ended.returncode == 3
    assert "account[0].provider" in ended.stderr


@pytest.mark.parametrize("verb", ["check", "list"])
async def test_servers_that_do_not_run_are_4_with_what_to_start(verb: str, tmp_path: Path) -> None:
    (tmp_path / "settled.toml").write_text("")

    ended = await accounts(verb, folder=with_accounts(tmp_path, a=NOWHERE))

    assert (ended.returncode, ended.stdout) == (4, "")
    assert "is `settled up` running" in ended.stderr


@pytest.mark.parametrize("verb", ["check", "list"])
async def test_a_database_that_is_away_is_4(verb: str, tmp_path: Path) -> None:
    (tmp_path / "settled.toml").write_text('[database]\nurl = "postgresql://127.0.0.1:1/none"\n')

    ended = await accounts(verb, folder=with_accounts(tmp_path, a=NOWHERE))

    assert (ended.returncode, ended.stdout) == (4, "")
    assert "PostgreSQL does not answer" in ended.stderr


async def test_embedded_servers_of_another_process_are_found_by_their_folder(
    tmp_path: Path, servers: Urls, database_url: str
) -> None:
    (tmp_path / "settled.toml").write_text('[settled]\ndata_dir = "data"\n')
    (tmp_path / "data").mkdir()
    running = {"postgres": database_url, "redis": servers.redis}
    replace_file(tmp_path / "data" / "servers.json", json.dumps(running))

    async with open_ginger() as url:
        folder = with_accounts(tmp_path, a=url)
        checked = await accounts("check", "--json", folder=folder)
        listed = await accounts("list", "--json", folder=folder)

    assert (checked.returncode, objects_in(checked)[0]["ok"]) == (0, True)
    assert objects_in(listed)[0]["budget"]["used"] > 0, "a check costs calls of the budget"


async def test_the_list_shows_the_objects_of_the_api(configured: Path, pool: Pool) -> None:
    folder = with_accounts(configured, a=NOWHERE, b=NOWHERE)

    listed = objects_in(await accounts("list", "--json", folder=folder))

    expected = [Configured(name, "ginger", "test", Rate(60, 60.0)) for name in ("a", "b")]
    assert listed == await list_accounts(pool, expected)


async def test_a_person_reads_limit_calls_and_times_in_columns(configured: Path) -> None:
    shown = await accounts("list", folder=with_accounts(configured, a=NOWHERE))

    head, row = shown.stdout.splitlines()
    assert head.split() == [
        *("NAME", "PROVIDER", "STATE", "REASON", "LIMIT", "USED", "PLANNED", "POSSIBLE"),
        *("STRETCHED", "LAST_EVENT_AT", "LAST_READ_AT", "COMPLETE_UP_TO", "PARKED"),
    ]
    assert row.split() == ["a", "ginger", "ok", "-", "60/60s", "0", "-", "-", "1.0", *"---0"]
