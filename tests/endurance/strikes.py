"""Does what a plan says, one strike after the other, and sees that traffic is pending each time."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack

import click
import psycopg

from service.cli.demo_api import Api, Stats
from tests.endurance.fleet import Ground
from tests.endurance.plan import ERP_ANSWERS, EndurancePlan, Fault, Strike
from tests.endurance.proxy import Toxic
from tests.scale.fleet import below
from tests.scale.front import Front

LOOK_SECONDS = 0.25
QUIET_SECONDS_MAX = 10.0

# A process that starts with the true clock sees it jump after so long.
JUMP_SECONDS = 5.0
FAULTY_SHARE = 0.5

# How many connections we try to take at once; more than PostgreSQL has.
CONNECTIONS = 150


class Striker:
    """Strikes, and counts: what struck, what was pending then, what it brought about."""

    def __init__(
        self, ground: Ground, plan: EndurancePlan, front: Front, sandbox: Api, database: str
    ) -> None:
        self.struck: Counter[Fault] = Counter()
        self.pending: Counter[Fault] = Counter()
        self.refused_while_full = 0
        self.noticed = 0
        self._ground = ground
        self._fleet = ground.fleet
        self._plan = plan
        self._front = front
        self._sandbox = sandbox
        self._database = database

    async def play(self, strikes: Sequence[Strike]) -> None:
        """Play all strikes; one that took longer than planned delays the next."""
        started = time.monotonic()
        for strike in strikes:
            await asyncio.sleep(max(0.0, started + strike.at_seconds - time.monotonic()))
            stats = await self._until_traffic()
            self.struck[strike.fault] += 1
            self.pending[strike.fault] += not stats.is_quiet
            click.echo(f"strike {strike} playing={stats.playing}", err=True)
            await self._strike(strike)
            self._ground.logs.read_on()
            self._fleet.check()

    async def _until_traffic(self) -> Stats:
        """Return once a story or a webhook is under way, or after a while all the same."""
        ends_at = time.monotonic() + QUIET_SECONDS_MAX
        while True:
            stats = await self._sandbox.get("/sandbox/stats", Stats, wait=0)
            if not stats.is_quiet or time.monotonic() > ends_at:
                return stats
            await asyncio.sleep(LOOK_SECONDS)

    async def _strike(self, strike: Strike) -> None:
        servers, seconds = self._ground.servers, strike.lasts_seconds
        match strike.fault:
            case Fault.RECEIVER | Fault.WORKER | Fault.BEAT:
                self._fleet.kill(strike.target)
                self._fleet.forget_clock(strike.target)
                self._fleet.start(strike.target)
            case Fault.REDIS | Fault.POSTGRES:
                await servers.kill(strike.fault, away_seconds=seconds)
            case Fault.RESTART:
                await servers.stop_at_once(away_seconds=seconds)
            case Fault.FLUSH:
                servers.flush()
            case Fault.DISK:
                await self._fill_disk(seconds)
            case Fault.CLOCK:
                await self._set_clock(strike.target, strike.how, seconds)
            case Fault.PAUSE:
                await self._pause(strike.target, seconds)
            case Fault.EXHAUST:
                await self._exhaust(seconds)
            case Fault.LOCK:
                await self._lock(strike.how, seconds)
            case Fault.LINK:
                link = self._fleet.links[strike.target]
                link.poison(Toxic(strike.how))
                await asyncio.sleep(seconds)
                await link.heal()
            case Fault.PROVIDER:
                await self._have_providers_fail({strike.how: FAULTY_SHARE})
                await asyncio.sleep(seconds)
                await self._have_providers_fail({})
            case Fault.ERP:
                await self._sandbox.post("/sandbox/erp/behaviour", ERP_ANSWERS[strike.how])
                await asyncio.sleep(seconds)
                await self._sandbox.post("/sandbox/erp/behaviour", {})

    async def _fill_disk(self, seconds: float) -> None:
        """Fill the disk; note whether receivers refused meanwhile."""
        disk = self._ground.disk
        assert disk is not None, "planned only where there is one"
        refused = self._front.answers[503]
        disk.fill()
        await asyncio.sleep(seconds)
        disk.free()
        self.refused_while_full += self._front.answers[503] > refused
        await self._ground.servers.until_up()

    async def _set_clock(self, name: str, how: str, seconds: float) -> None:
        """Start a process anew with a wrong clock, or have it jump back; then set it right."""
        self._fleet.kill(name)
        self._fleet.set_clock(name, "+0" if how.startswith("jump") else how)
        self._fleet.start(name)
        await asyncio.sleep(JUMP_SECONDS)
        if how.startswith("jump"):
            self._fleet.set_clock(name, how.removeprefix("jump"))
        await asyncio.sleep(seconds - JUMP_SECONDS)
        self._fleet.set_clock(name, "+0")

    async def _pause(self, name: str, seconds: float) -> None:
        """Stop a worker in the middle; its supervisor has to replace it, or we let it go on."""
        logs, stopped = self._ground.logs, below(self._fleet.running[name].pid)
        logs.read_on()
        before, ends_at = logs.stuck, time.monotonic() + seconds
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        while any(pid in below(self._fleet.running[name].pid) for pid in stopped):
            if time.monotonic() > ends_at:
                for pid in stopped:
                    os.kill(pid, signal.SIGCONT)
                return
            await asyncio.sleep(LOOK_SECONDS)
        logs.read_on()
        self.noticed += logs.stuck > before

    async def _exhaust(self, seconds: float) -> None:
        """Take every connection, those of the product first, and hold them for a while."""
        async with AsyncExitStack() as stack:
            connect = psycopg.AsyncConnection.connect
            postgres = self._ground.servers.postgres
            first = await stack.enter_async_context(await connect(postgres, autocommit=True))
            await first.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name like 'settled %'"
            )
            for _ in range(CONNECTIONS):
                try:
                    await stack.enter_async_context(await connect(postgres))
                except psycopg.OperationalError:
                    break
            await asyncio.sleep(seconds)

    async def _lock(self, table: str, seconds: float) -> None:
        async with await psycopg.AsyncConnection.connect(self._database) as connection:
            await connection.execute(f"lock table {table} in access exclusive mode".encode())
            await asyncio.sleep(seconds)

    async def _have_providers_fail(self, faults: dict[str, float]) -> None:
        """Set the faults of all providers' reads; those of their webhooks go on."""
        for account in self._fleet.accounts:
            await self._sandbox.post(
                f"/sandbox/accounts/{account.name}/faults", {**self._plan.faults, **faults}
            )
