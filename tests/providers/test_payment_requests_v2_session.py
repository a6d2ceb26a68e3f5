"""The token of 24 hours over the wire, shared by workers. Source: fact sheet, sections 1 and 6."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from service.domain.request import Kind, Observation
from service.errors import Unauthorised
from service.fetch import ConnectedAccount, Fetched, Line, Purpose, fetch
from service.providers import Exchange, Session
from service.sessions import Sessions
from service.settings import Account, Rate, Secret
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.wire import Wire
from tests.emptied import emptied as emptied
from tests.emptied import shared_url as shared_url
from tests.providers.payment_requests_v2_bodies import orders
from tests.providers.world import recording


async def test_a_token_that_ended_over_night_is_replaced_from_its_file_and_the_read_goes_on(
    emptied: Pool, tmp_path: Path
) -> None:
    file = tmp_path / "partner.token"
    file.write_text("yesterday")
    partner = Partner("yesterday")
    async with connected(emptied, partner, Secret.read(file)) as (account, line):
        assert await is_read(account, line)
        partner.token = "today"
        file.write_text("today")
        await let_the_pause_pass(emptied)

        assert await is_read(account, line)
        assert partner.tokens == ["yesterday", "yesterday", "today"]


async def test_a_token_that_is_still_refused_stops_the_account_and_is_tried_no_more(
    emptied: Pool, tmp_path: Path
) -> None:
    file = tmp_path / "partner.token"
    file.write_text("yesterday")
    partner = Partner("today")
    async with connected(emptied, partner, Secret.read(file)) as (account, line):
        await account_is_logged_in(account, line)
        await let_the_pause_pass(emptied)

        with pytest.raises(Unauthorised):
            await is_read(account, line)
        assert partner.tokens == ["yesterday", "yesterday"]


class Partner:
    """The provider as far as one read needs it: knows one token, notes those that it is shown."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.tokens: list[str] = []

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        shown = request.headers["Authorization"].removeprefix("Bearer ")
        self.tokens.append(shown)
        if shown != self.token:
            return web.Response(status=401)
        return web.Response(body=recording("payment_requests_v2", "get_initiated_bare.json"))


@asynccontextmanager
async def connected(
    pool: Pool, partner: Partner, token: Secret
) -> AsyncIterator[tuple[ConnectedAccount, Line]]:
    """Lend an account at the partner and the line to it, with sessions in PostgreSQL."""

    async def draw(account: ConnectedAccount, purpose: Purpose) -> None:
        """There is always enough."""

    async def opening(account: ConnectedAccount, exchange: Exchange[Session]) -> Fetched[Session]:
        return await fetch(account, exchange, line=Line(wire, draw), purpose="told")

    wire = Wire(check_addresses=False)
    runner = web.ServerRunner(web.Server(partner.take), shutdown_timeout=0.1)
    await runner.setup()
    async with pool.connection() as connection:
        await ensure_accounts(connection, [("partner", "payment_requests_v2")], end_pauses=False)
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        adapter = orders(token, api_base=f"http://127.0.0.1:{runner.addresses[0][1]}")
        section = Account(name="partner", provider="payment_requests_v2")
        account = ConnectedAccount("partner", section, adapter, Rate(1, 1.0))
        yield account, Line(wire, draw, Sessions(pool, opening))
    finally:
        await wire.aclose()
        await runner.cleanup()


async def is_read(account: ConnectedAccount, line: Line) -> bool:
    exchange = account.provider.read(Kind.PAYMENT_REQUEST, "41", None)
    return isinstance(
        (await fetch(account, exchange, line=line, purpose="poll")).answer, Observation
    )


async def account_is_logged_in(account: ConnectedAccount, line: Line) -> None:
    assert line.sessions is not None
    await line.sessions.current(account)


async def let_the_pause_pass(pool: Pool) -> None:
    """Make the last opening a minute older."""
    async with pool.connection() as connection:
        await connection.execute(
            "update sessions set opened_at = opened_at - interval '1 minute',"
            " leased_until = leased_until - interval '1 minute'"
        )
