"""What a sync touches, for tests that bring a database, accounts and a wire of their own."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from service.domain.polling import PollPlan
from service.fetch import ConnectedAccount, Fetched, Line, Purpose, fetch
from service.flow.look import SyncParts
from service.providers import Exchange, Session
from service.sessions import Sessions
from service.settings import Endpoint
from service.storage.database import Pool
from service.wire import Wire
from tests.providers.exchange import at_paths


async def unlimited(account: ConnectedAccount, purpose: Purpose) -> None:
    """Draw from a budget that never ends."""


def parts_of(
    pool: Pool,
    accounts: Mapping[str, ConnectedAccount],
    wire: Wire,
    plan: PollPlan,
    *,
    endpoints: Sequence[Endpoint] = (),
) -> SyncParts:
    """Return parts that no budget bounds and nobody listens to."""
    return SyncParts(
        pool=pool,
        accounts=accounts,
        endpoints=endpoints,
        plan=plan,
        wire=wire,
        draw=unlimited,
        answered=unlimited,
        now=lambda: datetime.now(UTC),
        outbox_filled=lambda: None,
        recorded=lambda: None,
        stopping=asyncio.Event(),
    )


def sessions_on(pool: Pool, wire: Wire) -> Sessions:
    """Return sessions that are opened over this wire, whatever that costs."""

    async def opening(account: ConnectedAccount, exchange: Exchange[Session]) -> Fetched[Session]:
        return await fetch(account, exchange, line=Line(wire, unlimited), purpose="told")

    return Sessions(pool, opening)


class Answers(Wire):
    """Answers by path and query; 404 elsewhere."""

    def __init__(self) -> None:
        super().__init__(check_addresses=False)
        self.bodies: dict[str, Any] = {}

    async def send(
        self,
        request: httpx.Request,
        *,
        total_seconds: float,
        body_bytes_max: int,
        truncate: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> httpx.Response:
        body = at_paths(self.bodies)(request)
        return httpx.Response(404 if body is None else 200, content=body or b"", request=request)
