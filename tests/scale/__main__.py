"""`python -m tests.scale`: two receivers, three workers, two beats, killed while webhooks flow.

All of them are processes of their own on one PostgreSQL and one Redis. Ends with 0 only if every
webhook that was answered 2xx is stored, every status and amount is that of the sandbox's ledger,
and the ERP got every notification, once by its id and in order.
"""

import argparse
import asyncio
import sys
import time

import click

from service.cli.demo_api import Api
from service.cli.demo_plan import FAULTS_DEFAULT, parse_faults
from service.cli.demo_stage import Score, Stage
from tests.scale.fleet import Fleet, prepared
from tests.scale.front import Front
from tests.scale.patience import PatientApi
from tests.scale.play import Kills, PatientPlan, judge, lines_of, play, victims_of


def main() -> int:
    """Play, print what was counted, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("--orders", type=int, default=160)
    parser.add_argument("--kills", type=int, default=7, help="each process once, then again")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    plan = PatientPlan(asked.orders, asked.seed, parse_faults(FAULTS_DEFAULT))
    with prepared(plan) as fleet:
        fleet.make_database("scale")
        database = fleet.configure("scale")
        for _ in range(2):
            applied = fleet.settled("db", "upgrade")
            assert applied.returncode == 0, applied
            click.echo(f"migrate: {applied.stdout.strip().replace(chr(10), ', ')}")
        kills = Kills(victims_of(fleet.names, asked.kills, seed=asked.seed))
        return asyncio.run(_run(fleet, database, kills))


async def _run(fleet: Fleet, database: str, kills: Kills) -> int:
    started, front = time.monotonic(), Front(fleet.receivers)
    await fleet.until_answered(f"{fleet.sandbox_url}/sandbox/healthz")
    async with (
        front.listening("127.0.0.1", fleet.front_port),
        Api(fleet.sandbox_url) as sandbox,
        PatientApi(fleet.product_url, key=fleet.keys.api_key) as product,
    ):
        stage = Stage(fleet.plan, fleet, sandbox, product, _say)
        await play(stage, fleet, sandbox, kills)
        checks = await judge(stage, fleet, front, database)
    click.echo(f"killed and restarted: {', '.join(kills.victims)}")
    click.echo(
        f"processes={len(fleet.names)} kills={len(kills.victims)}"
        f" kills_with_traffic_pending={kills.under_way} calls_broken_off={front.broken_off}"
        f" deaths_nobody_asked_for={fleet.restarts()} seconds={time.monotonic() - started:.0f}"
    )
    click.echo("\n".join(lines_of(checks)))
    return 0 if all(check.ok for check in checks) else 1


def _say(score: Score) -> None:
    if sys.stderr.isatty():
        click.echo(f"{score}\r", nl=False, err=True)


if __name__ == "__main__":
    sys.exit(main())
