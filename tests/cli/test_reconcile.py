"""`settled reconcile` as a person runs it, with PostgreSQL and the sandbox's Ginger."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE, CompletedProcess
from typing import Any

import httpx
import pytest

from service.domain.request import Key, Kind, ObservedBy
from service.sandbox.app import create_app as create_sandbox
from service.storage.database import Pool
from service.storage.unit_of_work import unit_of_work
from tests.cli.command import settled
from tests.flow.surroundings import eventually
from tests.sandbox.worlds import KEY, PROJECT_ID, open_account, play, quiet
from tests.storage.rows import insert_request
from tests.test_journey import served

LOST = "99999999-0000-4000-8000-000000000009"
WEBHOOK_TOKEN = "wh-0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Site:
    """A folder to run `settled` in, whose one account is the sandbox's Ginger."""

    folder: Path
    sandbox: httpx.AsyncClient
    pool: Pool

    async def reconcile(self, *options: str) -> CompletedProcess[str]:
        return await asyncio.to_thread(settled, "reconcile", *options, folder=self.folder)

    async def make(self, story: str, count: int, **plan: object) -> list[str]:
        """Make requests at the provider that nothing tells us of; return their ids."""
        known = {one["provider_id"] for one in await self.truth()}
        body = {"story": story, "count": count, "reference": f"INV-{len(known)}"} | plan
        answer = await self.sandbox.post("/sandbox/accounts/ginger-nl/requests", json=body)
        assert answer.status_code < 300, answer.text
        await quiet(self.sandbox)
        return [one["provider_id"] for one in await self.truth() if one["provider_id"] not in known]

    async def truth(self) -> list[Any]:
        return (await self.sandbox.get("/sandbox/truth")).json()  # type: ignore[no-any-return]

    def limit(self, rate: str) -> None:
        text = (self.folder / "settled.toml").read_text()
        (self.folder / "settled.toml").write_text(text.replace('"1000/s"', f'"{rate}"'))

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as connection:
            return await (await connection.execute(query.encode())).fetchall()


@pytest.fixture
async def site(configured: Path, pool: Pool) -> AsyncIterator[Site]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (configured / "settled.toml").open("a") as file:
            file.write(
                '[[account]]\nname = "ginger-nl"\nprovider = "ginger"\nlimit = "1000/s"\n'
                f'api_base = "{url}"\napi_key = "{KEY}"\nproject_ids = ["{PROJECT_ID}"]\n'
                f'webhook_token = "{WEBHOOK_TOKEN}"\n'
            )
        silent = httpx.MockTransport(lambda request: httpx.Response(204))
        async with (
            served(create_sandbox(transport=silent), listener),
            httpx.AsyncClient(base_url=url, timeout=30) as outside,
        ):
            await open_account(outside)
            yield Site(configured, outside, pool)


def drift_in(ended: CompletedProcess[str]) -> dict[str, str]:
    objects = [json.loads(line) for line in ended.stdout.splitlines()]
    drift = {one["provider_id"]: one["drift"] for one in objects}
    assert len(drift) == len(objects), "each request is told of once"
    return drift


async def plant(site: Site) -> dict[str, str]:
    """Have the record hold three requests as they are, then drift of each class arise."""
    missed, lagging = await site.make("open", 2)
    (conflicting,) = await site.make("paid", 1)
    first = await site.reconcile("--json")
    assert (first.returncode, len(drift_in(first))) == (6, 3), first.stderr
    for provider_id, story in ((missed, "paid"), (lagging, "paid"), (conflicting, "part_refund")):
        await play(site.sandbox, story, provider_id=provider_id)
    async with unit_of_work(site.pool) as work:
        key = Key("ginger-nl", Kind.ORDER, lagging)
        await work.due.trigger([key], observed_by=ObservedBy.WEBHOOK)
    now = datetime.now(UTC)
    await insert_request(site.pool, LOST, first_seen_at=now, updated_at=now)
    (unheard_of,) = await site.make("paid", 1)
    return {
        missed: "missed",
        lagging: "lagging",
        conflicting: "conflicting_amount",
        unheard_of: "unknown_here",
        LOST: "unknown_there",
    }


async def test_drift_of_each_class_is_shown_dry_then_repaired_and_then_there_is_none(
    site: Site,
) -> None:
    planted = await plant(site)
    transitions = await site.rows("select id from transitions order by id")

    dry = await site.reconcile("--dry-run", "--json")
    after_dry = await site.rows("select id from transitions order by id")
    leases = await site.rows("select from due where leased_until > now()")
    real = await site.reconcile("--json")
    again = await site.reconcile("--json")

    assert (dry.returncode, drift_in(dry)) == (6, planted), dry.stderr
    assert (after_dry, leases) == (transitions, [])
    assert (real.returncode, drift_in(real)) == (6, planted), real.stderr
    assert (again.returncode, again.stdout) == (0, ""), again.stderr
    recorded = dict(await site.rows("select provider_id, received - refunded from requests"))
    for one in await site.truth():
        assert recorded[one["provider_id"]] == one["received"] - one["refunded"]


async def test_after_ctrl_c_the_same_window_is_gone_on_with(site: Site) -> None:
    await site.make("open", 12)
    await site.reconcile("--json")
    site.limit("4/s")

    interrupted, said = await interrupt_half_way(site)
    before = await site.rows(OPEN_RUN)
    ended = await site.reconcile("--json", "--dry-run")

    assert interrupted == 130, said
    assert "the same command goes on from here" in said
    ((half_way, is_free),) = before
    assert (0 < half_way < 12, is_free) == (True, True)
    assert ended.returncode == 0, ended.stderr
    assert f"{half_way}/12 compared" in ended.stderr
    assert "going on with a run that stopped" in ended.stderr
    runs = await site.rows("select compared, lease_no from reconciles where dry_run")
    assert runs == [(12, 2)]


async def interrupt_half_way(site: Site) -> tuple[int | None, str]:
    """Press Ctrl-C once something was compared; return the exit code and what was said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli.main", "reconcile", "--json", "--dry-run"),
        cwd=site.folder,
        stdout=PIPE,
        stderr=PIPE,
    )
    await eventually(lambda: is_half_way(site))
    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()
    return process.returncode, said.decode()


OPEN_RUN = "select compared, leased_until <= now() from reconciles where finished_at is null"


async def is_half_way(site: Site) -> bool:
    return any(compared > 0 for compared, _ in await site.rows(OPEN_RUN))


async def test_a_second_run_of_an_account_is_refused_while_one_is_under_way(site: Site) -> None:
    await site.reconcile()
    await site.rows(
        "insert into reconciles (account, asked, dry_run, since, until, leased_until)"
        " values ('ginger-nl', 'another', false, now() - interval '1 h', now(),"
        "         now() + interval '1 min') returning id"
    )

    ended = await site.reconcile("--since", "1h")

    assert ended.returncode == 4
    assert "another reconcile is under way" in ended.stderr


async def test_a_person_reads_a_table_and_what_was_done(site: Site) -> None:
    await site.make("paid", 1)

    first = await site.reconcile("--account", "ginger-nl")
    second = await site.reconcile("--account", "ginger-nl")

    head, row = first.stdout.splitlines()
    assert head.split() == [
        *("DRIFT", "ACCOUNT", "KIND", "PROVIDER_ID", "REFERENCE", "OURS", "THEIRS", "REPAIR"),
    ]
    assert row.split()[:3] == ["unknown_here", "ginger-nl", "order"]
    assert row.split()[4:] == ["-", "-", "paid", "40.00/40.00", "done"]
    assert "1 unknown_here; repaired" in first.stderr
    assert (second.returncode, second.stdout) == (0, "")
    assert "no drift in 1 requests" in second.stderr


async def test_a_window_may_be_given_in_times_and_leaves_out_what_is_beyond(site: Site) -> None:
    await site.make("paid", 1)
    await site.reconcile()

    since = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    ended = await site.reconcile("--since", since, "--until", "PT1H")

    assert ended.returncode == 0
    assert "no drift in 0 requests" in ended.stderr


@pytest.mark.parametrize(
    ("options", "exit_code", "said"),
    [
        (["--since", "soon"], 2, "expected a duration such as 7d"),
        (["--since", "2026-01-01"], 2, "or a time such as 2026-11-20T14:30:00Z"),
        (["--since", "1h", "--until", "2h"], 2, "expected a time before --until"),
        (["--account", "nobody"], 5, "no account 'nobody'"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_what_can(
    options: list[str], exit_code: int, said: str, configured: Path
) -> None:
    ended = settled("reconcile", *options, folder=configured)

    assert (ended.returncode, ended.stdout) == (exit_code, "")
    assert said in ended.stderr


def test_a_wrong_configuration_is_3_and_a_database_that_is_away_4(tmp_path: Path) -> None:
    (tmp_path / "settled.toml").write_text('[polling]\nopen = "soon"\n')
    wrong = settled("reconcile", folder=tmp_path)
    (tmp_path / "settled.toml").write_text('[database]\nurl = "postgresql://127.0.0.1:1/none"\n')
    away = settled("reconcile", folder=tmp_path)

    assert (wrong.returncode, away.returncode) == (3, 4)
    assert "polling.open" in wrong.stderr


async def test_a_provider_that_is_away_is_4_and_the_run_stands_where_it_was(site: Site) -> None:
    await site.make("open", 2)
    await site.reconcile()
    text = (site.folder / "settled.toml").read_text()
    nowhere = text.replace(str(site.sandbox.base_url).rstrip("/"), "http://127.0.0.1:1")
    (site.folder / "settled.toml").write_text(nowhere)

    away = await site.reconcile()
    (site.folder / "settled.toml").write_text(text)
    back = await site.reconcile()

    assert (away.returncode, away.stdout) == (4, "")
    assert "connect_failed" in away.stderr
    assert "Traceback" not in away.stderr
    assert back.returncode == 0, back.stderr
    assert await site.rows("select compared, lease_no from reconciles where id > 1") == [(2, 2)]


async def test_in_live_mode_a_repair_wants_yes_and_a_dry_run_does_not(configured: Path) -> None:
    text = (configured / "settled.toml").read_text()
    (configured / "settled.toml").write_text('[settled]\nmode = "live"\n' + text)

    async def ends(*options: str) -> int:
        ended = await asyncio.to_thread(settled, "reconcile", *options, folder=configured)
        return ended.returncode

    assert [await ends(), await ends("--yes"), await ends("--dry-run")] == [7, 0, 0]


async def test_on_a_terminal_a_bar_shows_how_far_it_is_and_data_stays_on_stdout(
    site: Site,
) -> None:
    await site.make("paid", 3)
    ours, theirs = pty.openpty()

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli.main", "reconcile", "--json"),
        cwd=site.folder,
        stdout=PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown, (out, _) = await asyncio.gather(
        asyncio.to_thread(all_shown, ours), process.communicate()
    )

    assert process.returncode == 6, shown
    assert [json.loads(line)["drift"] for line in out.splitlines()] == ["unknown_here"] * 3
    assert "3/3" in shown
    assert "3 drift left 0:00:00" in shown


def all_shown(terminal: int) -> str:
    """Return what a terminal is shown until whoever writes has gone, without its colours."""
    shown = b""
    # A terminal that nobody writes to any more is a read error on Linux.
    with os.fdopen(terminal, "rb", buffering=0) as screen, contextlib.suppress(OSError):
        while more := screen.read(4096):
            shown += more
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
