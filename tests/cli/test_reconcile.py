"""`settled reconcile` as a person runs it: PostgreSQL and the sandbox's Ginger over real sockets."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen
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
    return {one["provider_id"]: one["drift"] for one in objects}


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
