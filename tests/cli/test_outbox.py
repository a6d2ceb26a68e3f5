"""What an operator does from the command line: look at deliveries, send again, pause, try, follow.

The ERP is on a real socket; a worker's part is played by the same functions that workers call.
"""

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE, CompletedProcess
from typing import Any

import pytest

from service.cli.acting import who
from service.flow.attempt import DeliverParts
from service.flow.deliver import deliver_due
from service.flow.recover import feed
from service.storage.database import Pool
from service.storage.identifiers import new_id
from service.storage.views.deliveries import find_delivery
from service.storage.views.events import find_event
from tests.cli.command import settled
from tests.flow.surroundings import (
    SECRET,
    Erp,
    answers,
    arrived,
    endpoint,
    eventually,
    listening,
    sending,
)
from tests.storage.rows import (
    insert_event,
    insert_notification,
    insert_transition,
)


@dataclass(frozen=True, slots=True)
class Site:
    """A folder to run `settled` in, whose one endpoint is the test's ERP."""

    folder: Path
    erp: Erp
    parts: DeliverParts

    @property
    def pool(self) -> Pool:
        return self.parts.pool

    async def run(self, *arguments: str) -> CompletedProcess[str]:
        return await asyncio.to_thread(settled, *arguments, folder=self.folder)

    async def start(self, *arguments: str, stdin: int | None = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.cli.main", *arguments, cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=stdin, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip

    async def deliver(self) -> None:
        """Do once what beat and a worker do."""
        await feed(self.pool, self.parts.endpoints)
        await deliver_due(self.parts, slots=16, bell=asyncio.Event())

    async def delivered(self, number: int = 1) -> str:
        """A notification made just now whose delivery arrived; return the delivery's id."""
        subject = f"prq_{number}"
        now = datetime.now(UTC)
        await insert_transition(self.pool, subject, 1, recorded_at=now)
        body = json.dumps({"request_id": subject, "sequence": 1}).encode()
        notification = await insert_notification(
            self.pool, subject, 1, account="ginger-nl", body=body, created_at=now,
            reference=f"INV-{number}",
        )  # fmt: skip
        return await arrived(self.pool, notification)


@pytest.fixture
async def site(configured: Path, pool: Pool) -> AsyncIterator[Site]:
    async with listening() as erp, sending(pool, endpoint(erp)) as parts:
        with (configured / "settled.toml").open("a") as file:
            file.write(
                f'[[endpoint]]\nname = "erp"\nurl = "{erp.url}"\nsecrets = ["{SECRET}"]\n'
                "allow_private = true\n"
            )
        yield Site(configured, erp, parts)


def objects_in(ended: CompletedProcess[str]) -> list[Any]:
    return [json.loads(line) for line in ended.stdout.splitlines()]


async def test_deliveries_are_listed_and_shown_as_by_the_api(site: Site) -> None:
    ids = [await site.delivered(number) for number in (1, 2)]

    listed = await site.run("deliveries", "list", "--json", "--since", "1h", "--reference", "INV-1")
    shown = await site.run("deliveries", "show", ids[1], "--json")

    assert objects_in(listed) == [await find_delivery(site.pool, ids[0])]
    assert objects_in(shown) == [await find_delivery(site.pool, ids[1])]


async def test_a_resend_waits_for_a_worker_and_a_dry_run_changes_nothing(site: Site) -> None:
    delivery_id = await site.delivered()

    dry = await site.run("deliveries", "resend", delivery_id, "--dry-run", "--json")
    assert (dry.returncode, objects_in(dry)[0]["state"]) == (0, "delivered")
    resent = await site.run("deliveries", "resend", delivery_id, "--json", "--reason", "lost")
    assert (resent.returncode, objects_in(resent)[0]["state"]) == (0, "waiting")

    await site.deliver()
    assert len(site.erp.arrivals) == 1
    async with site.pool.connection() as connection:
        cursor = await connection.execute("select did, who, reason from interventions")
        assert await cursor.fetchall() == [("resend", who(), "lost")]


async def test_an_endpoint_is_paused_listed_and_resumed(site: Site) -> None:
    paused = await site.run("endpoints", "pause", "erp", "--reason", "moving house", "--json")
    listed = await site.run("endpoints", "list", "--json")
    resumed = await site.run("endpoints", "resume", "erp", "--json")
    kept = await site.run("interventions", "list", "--json", "--endpoint", "erp", "--since", "1h")

    (shown,) = objects_in(paused)
    assert (shown["state"], shown["reason"]) == ("paused", "moving house")
    assert objects_in(listed) == objects_in(paused)
    assert objects_in(resumed)[0]["state"] == "draining"
    assert [(act["did"], act["who"], act["reason"]) for act in objects_in(kept)] == [
        ("resume", who(), None),
        ("pause", who(), "moving house"),
    ]


async def test_a_try_tells_the_answer_and_is_6_when_it_was_not_2xx(site: Site) -> None:
    site.erp.answering = answers(204, 500)

    fine = await site.run("endpoints", "test", "erp", "--json")
    bad = await site.run("endpoints", "test", "erp", "--json")
    unknown = await site.run("endpoints", "test", "erpp")

    assert (fine.returncode, objects_in(fine)[0]["status_code"]) == (0, 204)
    assert (bad.returncode, objects_in(bad)[0]["excerpt"]) == (6, "said 500")
    assert (unknown.returncode, unknown.stdout) == (5, "")
    assert "there are: erp" in unknown.stderr
    assert json.loads(site.erp.arrivals[0].body)["type"] == "endpoint.test"


async def test_events_are_listed_and_those_about_no_request_are_not_replayed(site: Site) -> None:
    with (site.folder / "settled.toml").open("a") as file:
        file.write(
            '[[account]]\nname = "ginger-nl"\nprovider = "ginger"\napi_key = "key"\n'
            'api_base = "http://127.0.0.1:1"\n'
        )
    now = datetime.now(UTC)
    event_id = await insert_event(
        site.pool, "1", "", id=new_id("evt"), kind=None, day=now.date(), received_at=now,
        verdict="set_aside", reason="no_events",
    )  # fmt: skip

    listed = await site.run("events", "list", "--json", "--verdict", "set_aside", "--since", "1h")
    replayed = await site.run("events", "replay", event_id)

    assert objects_in(listed) == [await find_event(site.pool, event_id)]
    assert (replayed.returncode, replayed.stdout) == (6, "")
    assert "about no request" in replayed.stderr


async def test_a_recovery_is_planned_confirmed_and_goes_out_with_progress(site: Site) -> None:
    for number in range(3):
        await site.delivered(number)
    recover = ("recover", "--endpoint", "erp", "--since", "1h")

    planned = await site.run(*recover, "--dry-run", "--json")
    refused = await site.run(*recover)
    running = await site.start(*recover, "--yes", "--json")
    await eventually(lambda: has_run(site))
    await site.deliver()
    await site.deliver()
    stdout, stderr = await running.communicate()

    (plan,) = objects_in(planned)
    assert (plan["planned"], plan["by_state"]) == (3, {"delivered": 3})
    assert (refused.returncode, refused.stdout) == (7, "")
    assert "--yes" in refused.stderr
    assert (running.returncode, json.loads(stdout)["delivered"]) == (0, 3)
    assert b"3/3 sent again" in stderr
    assert len(site.erp.arrivals) == 3


async def test_ctrl_c_stops_a_recovery_and_the_same_command_goes_on(site: Site) -> None:
    await site.delivered()
    recover = ("recover", "--endpoint", "erp", "--since", "1h", "--json")
    # A terminal to be asked on: whoever answers yes needs no --yes.
    outer, inner = pty.openpty()
    running = await site.start(*recover, stdin=inner)
    os.write(outer, b"y\n")
    await eventually(lambda: has_run(site))
    running.send_signal(signal.SIGINT)
    _, stderr = await running.communicate()
    os.close(outer)
    os.close(inner)
    await feed(site.pool, site.parts.endpoints)

    assert running.returncode == 130, stderr
    assert b"goes on from here" in stderr
    assert site.erp.arrivals == []
    again = await site.start(*recover, "--yes")
    await eventually(lambda: has_run(site))
    await site.deliver()
    await site.deliver()
    stdout, _ = await again.communicate()
    assert json.loads(stdout)["delivered"] == 1
    assert len(site.erp.arrivals) == 1


async def has_run(site: Site) -> bool:
    """Whether a recovery is under way."""
    async with site.pool.connection() as connection:
        cursor = await connection.execute(
            "select from recoveries where finished_at is null and stopped_at is null"
        )
        return cursor.rowcount == 1


async def test_listen_follows_a_resend_and_its_attempt_with_a_heartbeat(site: Site) -> None:
    delivery_id = await site.delivered()
    listening = await site.start("listen", "--json", "--heartbeat", "1", "--limit", "2")
    assert listening.stdout is not None
    first = json.loads(await listening.stdout.readline())
    await site.run("deliveries", "resend", delivery_id)
    await site.deliver()

    stdout, _ = await listening.communicate()
    heard = [json.loads(line) for line in stdout.splitlines()]
    heard = [entry for entry in heard if entry["what"] != "heartbeat"]

    assert first["what"] == "heartbeat"
    assert [entry["what"] for entry in heard] == ["intervention", "attempt"]
    assert (heard[0]["did"], heard[0]["about"]) == ("resend", delivery_id)
    assert (heard[1]["delivery_id"], heard[1]["outcome"]) == (delivery_id, "http_204")
    assert listening.returncode == 0
