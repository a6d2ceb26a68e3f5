"""Provider sessions on a real PostgreSQL: each Sessions is what one worker process has."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from service.domain.request import Answer, Facts, Kind, Observation
from service.domain.status import Status
from service.errors import NotAllowedYet, SettledError, Unavailable, Unreadable
from service.fetch import ConnectedAccount, Fetched, HeldSession, Line, Purpose, fetch
from service.providers import AccountContext, Exchange, Session
from service.providers.bunq import Bunq, BunqKeys
from service.providers.bunq.signature import is_signed, new_private_key, public_key_of, public_pem
from service.sessions import Sessions
from service.settings import Account, Rate, Secret
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.storage.sessions import (
    StoredSession,
    give_lease_back,
    keep_session,
    lease_opening,
    read_session,
)
from service.wire import Wire
from tests.emptied import emptied as emptied
from tests.emptied import shared_url as shared_url
from tests.providers.table_bunq import ACCOUNT_ID, INQUIRY, USER_ID
from tests.providers.world import recording

NAME = "vault-main"
PAUSE_SECONDS = 30.0
LIFE_SECONDS = 3600.0


class Vault:
    """A provider that has to be logged in to: a key that is cut once, then sessions."""

    kinds = frozenset({Kind.ORDER})
    body_bytes_max = 1024
    session_seconds_min = PAUSE_SECONDS

    def __init__(self) -> None:
        self.life_seconds = LIFE_SECONDS

    def knows(self, kind: Kind, provider_id: str) -> bool:
        return True

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        raise AssertionError("nothing is read here")

    def open_session(self, kept: Mapping[str, str]) -> Exchange[Session]:
        step = "session" if "key" in kept else "key"
        yield httpx.Request("POST", f"https://vault.example/{step}")
        if step == "key":
            return Session({"key": "cut"}, 0.0, counts=False)
        return Session({**kept, "token": "t"}, self.life_seconds)

    def authorise(self, request: httpx.Request, session: Session) -> httpx.Request:
        return request


class Door:
    """What openings meet: `calls` are those that came, `errors` what the next ones run into."""

    def __init__(self) -> None:
        self.vault = Vault()
        self.calls: list[str] = []
        self.errors: list[SettledError | None] = []
        self.is_open = asyncio.Event()
        self.is_open.set()

    @property
    def account(self) -> ConnectedAccount:
        section = Account(name=NAME, provider="vault")
        return ConnectedAccount(NAME, section, self.vault, Rate(3, 3.0))

    async def run(self, account: ConnectedAccount, exchange: Exchange[Session]) -> Fetched[Session]:
        """Run an opening's exchange of one call."""
        error = self.errors.pop(0) if self.errors else None
        if isinstance(error, NotAllowedYet):
            raise error
        request = next(exchange)
        self.calls.append(request.url.path)
        await self.is_open.wait()
        if error is not None:
            raise error
        try:
            exchange.send(httpx.Response(200, request=request))
        except StopIteration as done:
            return Fetched(done.value, b"", 1)
        raise AssertionError("an opening takes one call here")

    async def is_knocked_at(self) -> None:
        """Wait until a call came."""
        async with asyncio.timeout(20):
            while not self.calls:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)


@pytest.fixture
async def door(emptied: Pool) -> Door:
    async with emptied.connection() as connection:
        await ensure_accounts(connection, [(NAME, "vault")], end_pauses=False)
    return Door()


@pytest.fixture
async def workers(emptied: Pool, door: Door) -> tuple[Sessions, Sessions]:
    """Two processes."""
    return Sessions(emptied, door.run), Sessions(emptied, door.run)


@asynccontextmanager
async def shut(door: Door) -> AsyncIterator[None]:
    """Let no opening end within the block."""
    door.is_open.clear()
    try:
        yield
    finally:
        door.is_open.set()


async def opened(workers: tuple[Sessions, Sessions], door: Door) -> HeldSession:
    """Open the first session and forget how that went."""
    held = await workers[0].current(door.account)
    door.calls.clear()
    return held


async def time_passes(pool: Pool, seconds: float) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            """
            update sessions set opened_at = opened_at - make_interval(secs => %(by)s),
                   expires_at = expires_at - make_interval(secs => %(by)s),
                   leased_until = leased_until - make_interval(secs => %(by)s)
            """,
            {"by": seconds},
        )


async def stored(pool: Pool) -> StoredSession:
    async with pool.connection() as connection:
        return await read_session(connection, NAME)


async def lease(pool: Pool, *, spent: int = 0, pause_seconds: float = PAUSE_SECONDS) -> bool:
    async with pool.connection() as connection:
        return await lease_opening(
            connection, NAME, spent=spent, pause_seconds=pause_seconds, lease_seconds=45.0
        )


# Opening


async def test_two_workers_that_ask_at_once_open_one_session(
    workers: tuple[Sessions, Sessions], door: Door
) -> None:
    helds = await asyncio.gather(*(worker.current(door.account) for worker in workers * 10))

    assert door.calls == ["/key", "/session"]
    assert {held.number for held in helds} == {helds[0].number}
    assert helds[0].session.values == {"key": "cut", "token": "t"}


async def test_a_worker_waits_for_the_session_that_another_opens(
    workers: tuple[Sessions, Sessions], door: Door
) -> None:
    async with shut(door):
        opener = asyncio.create_task(workers[0].current(door.account))
        await door.is_knocked_at()
        waiter = asyncio.create_task(workers[1].current(door.account))
        await asyncio.wait({waiter}, timeout=0.3)
        assert not waiter.done()

    assert (await waiter).number == (await opener).number
    assert door.calls == ["/key", "/session"]


async def test_a_session_in_hand_is_not_looked_up_again(
    emptied: Pool, workers: tuple[Sessions, Sessions], door: Door
) -> None:
    held = await opened(workers, door)
    async with emptied.connection() as connection:
        await connection.execute("delete from sessions")

    assert await workers[0].current(door.account) is held


async def test_a_session_that_ends_within_30_seconds_is_not_begun_with(
    emptied: Pool, workers: tuple[Sessions, Sessions], door: Door
) -> None:
    first = await opened(workers, door)
    await time_passes(emptied, LIFE_SECONDS - 29)

    assert (await workers[1].current(door.account)).number == first.number + 1
    assert door.calls == ["/session"]


async def test_sessions_too_short_to_be_used_are_opened_no_faster_than_others(
    workers: tuple[Sessions, Sessions], door: Door
) -> None:
    door.vault.life_seconds = 10.0

    with pytest.raises(NotAllowedYet):
        await workers[0].current(door.account)
    assert door.calls == ["/key", "/session"]


async def test_a_step_that_was_made_is_not_made_again_when_the_next_one_fails(
    emptied: Pool, workers: tuple[Sessions, Sessions], door: Door
) -> None:
    door.errors = [None, Unavailable("http_500")]
    with pytest.raises(Unavailable, match="http_500"):
        await workers[0].current(door.account)
    await time_passes(emptied, PAUSE_SECONDS)

    await workers[1].current(door.account)

    assert door.calls == ["/key", "/session", "/session"]


# Renewing


async def test_a_refused_session_is_renewed_once_while_the_others_wait(
    emptied: Pool, workers: tuple[Sessions, Sessions], door: Door
) -> None:
    first = await opened(workers, door)
    await workers[1].current(door.account)
    await time_passes(emptied, PAUSE_SECONDS)

    helds = await asyncio.gather(
        *(worker.renew(door.account, spent=first.number) for worker in workers * 10)
    )

    assert door.calls == ["/session"]
    assert {held.number for held in helds} == {first.number + 1}


async def test_a_worker_that_was_refused_finds_the_session_renewed_meanwhile(
    emptied: Pool, workers: tuple[Sessions, Sessions], door: Door
) -> None:
    first = await opened(workers, door)
    await workers[1].current(door.account)
    await time_passes(emptied, PAUSE_SECONDS)
    await workers[0].renew(door.account, spent=first.number)

    held = await workers[1].renew(door.account, spent=first.number)

    assert (held.number, door.calls) == (first.number + 1, ["/session"])


async def test_a_refused_session_is_shown_no_more_while_there_is_no_other(
    workers: tuple[Sessions, Sessions], door: Door
) -> None:
    first = await opened(workers, door)
    with pytest.raises(NotAllowedYet):
        await workers[0].renew(door.account, spent=first.number)

    with pytest.raises(NotAllowedYet):
        await workers[0].current(door.account)


# The pause between openings


async def test_no_session_is_opened_before_the_pause_after_the_last_one_is_over(
    emptied: Pool, workers: tuple[Sessions, Sessions], door: Door
) -> None:
    first = await opened(workers, door)

    with pytest.raises(NotAllowedYet) as error:
        await workers[1].renew(door.account, spent=first.number)

    assert error.value.retry_after_seconds == pytest.approx(PAUSE_SECONDS, abs=10)
    assert door.calls == []
    await time_passes(emptied, PAUSE_SECONDS)
    assert (await workers[1].renew(door.account, spent=first.number)).number > first.number


async def test_a_failed_opening_gives_the_lease_back_and_counts_for_the_pause(
    emptied: Pool, workers: tuple[Sessions, Sessions], door: Door
) -> None:
    door.errors = [Unavailable("http_500")]
    with pytest.raises(Unavailable, match="http_500"):
        await workers[0].current(door.account)

    with pytest.raises(NotAllowedYet):
        await workers[1].current(door.account)
    await time_passes(emptied, PAUSE_SECONDS)

    assert (await workers[1].current(door.account)).session.values["token"] == "t"
    assert door.calls == ["/key", "/key", "/session"]


async def test_a_cancelled_opening_gives_the_lease_back_and_counts_for_the_pause(
    emptied: Pool, workers: tuple[Sessions, Sessions], door: Door
) -> None:
    async with shut(door):
        opener = asyncio.create_task(workers[0].current(door.account))
        await door.is_knocked_at()
        opener.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opener

    with pytest.raises(NotAllowedYet):
        await workers[1].current(door.account)
    await time_passes(emptied, PAUSE_SECONDS)
    assert await lease(emptied)


async def test_an_opening_that_our_budget_holds_up_is_made_when_it_may_be(
    workers: tuple[Sessions, Sessions], door: Door
) -> None:
    door.errors = [NotAllowedYet("budget", retry_after_seconds=0.01)] * 2

    await workers[0].current(door.account)

    assert door.calls == ["/key", "/session"]


async def test_an_opening_that_our_budget_refuses_for_long_counts_for_nothing(
    workers: tuple[Sessions, Sessions], door: Door
) -> None:
    door.errors = [NotAllowedYet("paused", retry_after_seconds=60.0)]
    with pytest.raises(NotAllowedYet, match="paused"):
        await workers[0].current(door.account)

    await workers[1].current(door.account)

    assert door.calls == ["/key", "/session"]


async def test_who_looked_before_another_failed_does_not_open_within_the_pause(
    emptied: Pool, door: Door
) -> None:
    looked = await stored(emptied)
    assert await lease(emptied)
    async with emptied.connection() as connection:
        await give_lease_back(connection, NAME, spent=0, counts=True)

    assert not await lease(emptied, spent=looked.number)


# Leases


async def test_a_killed_openers_lease_ends_when_the_pause_after_its_opening_is_over(
    emptied: Pool, workers: tuple[Sessions, Sessions], door: Door
) -> None:
    assert await lease(emptied)
    await time_passes(emptied, 44)
    assert not await lease(emptied)
    await time_passes(emptied, 1)

    await workers[0].current(door.account)

    assert door.calls == ["/key", "/session"]


async def test_a_lease_covers_the_longest_opening_and_the_pause_after_it(
    emptied: Pool, workers: tuple[Sessions, Sessions], door: Door
) -> None:
    async with shut(door):
        opener = asyncio.create_task(workers[0].current(door.account))
        await door.is_knocked_at()
        await time_passes(emptied, 15 + PAUSE_SECONDS - 5)
        assert not await lease(emptied)

    await opener


async def test_a_lease_alone_is_no_session(emptied: Pool, door: Door) -> None:
    assert await lease(emptied)

    assert await stored(emptied) == StoredSession(0, {}, 0.0, 1e9)


async def test_whoever_comes_late_does_not_replace_the_session_that_another_opened(
    emptied: Pool, workers: tuple[Sessions, Sessions], door: Door
) -> None:
    first = await opened(workers, door)

    async with emptied.connection() as connection:
        await keep_session(
            connection, NAME, spent=0, values={}, expires_in_seconds=60.0, counts=True
        )

    assert (await stored(emptied)).number == first.number
    assert (await stored(emptied)).values == first.session.values


# All of it, with bunq


class Bank:
    """bunq as far as one read needs it: checks tokens and signatures, and signs its answers."""

    def __init__(self) -> None:
        self.own_key = new_private_key()
        self.signing_key = self.own_key
        self.client_pem = ""
        self.token = "1" * 64
        self.paths: list[str] = []

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.rpartition("/v1/")[2]
        self.paths.append(name)
        body = await request.read()
        match name:
            case "installation":
                self.client_pem = json.loads(body)["client_public_key"]
                answer = json.loads(recording("bunq", "installation_response.json"))
                key = answer["Response"][2]["ServerPublicKey"]
                key["server_public_key"] = public_pem(self.own_key)
            case "device-server":
                answer = json.loads(recording("bunq", "device_server_response.json"))
            case "session-server" if self._is_signed(request, body):
                answer = json.loads(recording("bunq", "session_server_response.json"))
                answer["Response"][1]["Token"]["token"] = self.token
            case _ if request.headers.get("X-Bunq-Client-Authentication") == self.token:
                answer = json.loads(recording("bunq", "request_inquiry_pending.json"))
            case _:
                return web.Response(status=401)
        return self._signed(json.dumps(answer).encode())

    def _is_signed(self, request: web.BaseRequest, body: bytes) -> bool:
        signature = request.headers.get("X-Bunq-Client-Signature")
        return is_signed(body, signature, [public_key_of(self.client_pem.encode())])

    def _signed(self, body: bytes) -> web.Response:
        raw = self.signing_key.sign(body, PKCS1v15(), SHA256())
        signature = base64.b64encode(raw).decode()
        return web.Response(body=body, headers={"X-Bunq-Server-Signature": signature})


@asynccontextmanager
async def banking(pool: Pool, bank: Bank) -> AsyncIterator[tuple[ConnectedAccount, Line]]:
    """Lend an account at the bank, with signed answers required, and the line to it."""

    async def draw(account: ConnectedAccount, purpose: Purpose) -> None:
        """There is always enough."""

    async def run(account: ConnectedAccount, exchange: Exchange[Session]) -> Fetched[Session]:
        return await fetch(account, exchange, line=Line(wire, draw), purpose="told")

    wire = Wire(check_addresses=False)
    runner = web.ServerRunner(web.Server(bank.take), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        keys = BunqKeys(
            api_base=f"http://127.0.0.1:{runner.addresses[0][1]}/v1",
            api_key=Secret("sandbox_0123456789abcdef"),
            user_id=USER_ID,
            monetary_account_id=ACCOUNT_ID,
            require_signed_answers=True,
        )
        adapter = Bunq(keys, AccountContext(NAME, {}, live=False))
        account = ConnectedAccount(NAME, Account(name=NAME, provider="bunq"), adapter, Rate(3, 3.0))
        yield account, Line(wire, draw, Sessions(pool, run))
    finally:
        await wire.aclose()
        await runner.cleanup()


async def read_pending(account: ConnectedAccount, line: Line) -> Status:
    exchange = account.provider.read(Kind.REQUEST_INQUIRY, INQUIRY, None)
    answer = (await fetch(account, exchange, line=line, purpose="told")).answer
    assert isinstance(answer, Observation)
    return answer.facts.status


async def test_bunq_is_read_from_nothing_and_its_session_renewed(emptied: Pool, door: Door) -> None:
    bank = Bank()
    async with banking(emptied, bank) as (account, line):
        assert await read_pending(account, line) is Status.OPEN
        assert bank.paths[:3] == ["installation", "device-server", "session-server"]

        bank.token = "2" * 64
        await time_passes(emptied, PAUSE_SECONDS)
        assert await read_pending(account, line) is Status.OPEN
        assert bank.paths.count("session-server") == 2
        assert bank.paths.count("installation") == 1


async def test_a_read_that_another_key_than_the_installations_signed_is_unreadable(
    emptied: Pool, door: Door
) -> None:
    bank = Bank()
    async with banking(emptied, bank) as (account, line):
        await read_pending(account, line)
        bank.signing_key = new_private_key()

        with pytest.raises(Unreadable, match="bad_signature"):
            await read_pending(account, line)
