"""What the processes work with: real PostgreSQL, a real Redis, and wires that can be held."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from service.domain.money import Money
from service.domain.request import Key
from service.embedded import Urls
from service.flow.attempt import DeliverParts
from service.flow.look import SyncParts
from service.flow.register import register_order
from service.runtime import connect_accounts, plan_of
from service.settings import Settings, parse
from service.storage.accounts import ensure_accounts
from service.storage.event_writer import EventWriter
from service.storage.lanes import Lanes
from service.storage.unit_of_work import unit_of_work
from service.wire import Wire
from tests.flow.parts import parts_of
from tests.flow.world import ACCOUNT
from tests.model.actors import ActorPool, actor_pool
from tests.model.doorbell import Doorbell
from tests.model.ledger import AMOUNT
from tests.model.tables import Tables, tables_of

WORKERS = ("worker-1", "worker-2")
DELIVERERS = ("deliverer-1", "deliverer-2")
READERS = (*WORKERS, "person")
SLOTS = (*READERS, *DELIVERERS, "poller", "beat")


@dataclass(frozen=True, slots=True)
class Stage:
    """One database and one Redis, and a pool for each process."""

    settings: Settings
    tables: Tables
    doorbell: Doorbell
    writer: EventWriter
    pools: dict[str, ActorPool]

    def sync_parts(self, wire: Wire, now: Callable[[], datetime]) -> dict[str, SyncParts]:
        accounts, plan = connect_accounts(self.settings), plan_of(self.settings)
        endpoints = self.settings.endpoints
        return {
            slot: replace(parts_of(pool, accounts, wire, plan, endpoints=endpoints), now=now)
            for slot, pool in self.pools.items()
        }

    def deliver_parts(self, wire: Wire, now: Callable[[], datetime]) -> dict[str, DeliverParts]:
        return {
            slot: DeliverParts(
                pool=pool,
                endpoints={each.name: each for each in self.settings.endpoints},
                wires={True: wire, False: wire},
                now=now,
                recorded=lambda: None,
                stopping=asyncio.Event(),
            )
            for slot, pool in self.pools.items()
        }

    async def register(self, requests: Sequence[Key], *, now: datetime) -> None:
        """Introduce accounts and endpoint, and register one order over these requests."""
        pool = self.pools["beat"]
        async with unit_of_work(pool) as work:
            accounts = [(each.name, each.provider) for each in self.settings.accounts]
            await ensure_accounts(work.connection, accounts, end_pauses=False)
            await Lanes(work.connection).ensure([("erp", "webhook")])
            # Plans are made once a minute, which no step waits for.
            await work.connection.execute(
                "insert into poll_plans (account, next_at)"
                " select name, now() + interval '1 day' from accounts"
            )
        await register_order(
            pool,
            reference="INV-1043",
            amount=Money(AMOUNT * len(requests), "EUR"),
            requests=requests,
            metadata={},
            endpoints=self.settings.endpoints,
            now=now,
        )


@asynccontextmanager
async def stage_on(urls: Urls) -> AsyncIterator[Stage]:
    """Lend a stage on a migrated, empty database and a Redis that nobody else rings."""
    async with AsyncExitStack() as stack:
        tables = await stack.enter_async_context(tables_of(urls.postgres))
        await tables.prepare()
        pools = {slot: actor_pool(urls.postgres) for slot in SLOTS}
        for pool in pools.values():
            await stack.enter_async_context(pool)
        writer = EventWriter(urls.postgres)
        await writer.start()
        stack.push_async_callback(writer.stop)
        doorbell = Doorbell(urls.redis)
        stack.callback(doorbell.close)
        yield Stage(_settings(), tables, doorbell, writer, pools)


def _settings() -> Settings:
    """A Ginger account with versions and calls, an ING account without either, one ERP."""
    table: dict[str, Any] = {
        "account": [
            {
                "name": ACCOUNT,
                "provider": "ginger",
                "api_base": "https://ginger.test",
                "api_key": "secret",
            },
            {
                "name": "ing",
                "provider": "ing_payment_request",
                "api_base": "http://ing.test",
                "client_id": "client",
            },
        ],
        "endpoint": [
            {
                "name": "erp",
                "url": "https://erp.example.com/hooks",
                "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
                "rate": "1000/s",
            }
        ],
    }
    return parse(table, source="model", environ={}, base=Path())
