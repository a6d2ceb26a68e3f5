"""Exchanges with a provider on a real socket: statuses, sessions, the order of things."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web

from service.domain.request import Answer, Facts, Kind, NotOurs
from service.errors import (
    NotAllowedYet,
    NotFoundThere,
    SettledError,
    TooManyCalls,
    Unauthorised,
    Unavailable,
    Unreadable,
)
from service.fetch import ConnectedAccount, Fetched, HeldSession, Line, Purpose, fetch
from service.providers import Exchange, Session
from service.settings import Account, Rate
from service.wire import Wire

MAINTENANCE = 491


class Office:
    """A provider that answers with the statuses it is told, in turn."""

    kinds = frozenset({Kind.ORDER})
    body_bytes_max = 1024

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.tokens: list[str | None] = []
        self.url = ""

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        self.tokens.append(request.headers.get("token"))
        return web.Response(status=self.statuses.pop(0))

    def knows(self, kind: Kind, provider_id: str) -> bool:
        return True

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        response = yield httpx.Request("GET", self.url)
        return NotOurs(f"answered_{response.status_code}")


class Lenient(Office):
    """Goes on with another call after whatever a status comes to."""

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        try:
            yield httpx.Request("GET", self.url)
        except SettledError as error:
            yield httpx.Request("GET", self.url)
            return NotOurs(type(error).__name__)
        raise AssertionError("the first call was answered")


class OfItsOwn(Office):
    """Has a status that nobody else has."""

    def error_for(self, response: httpx.Response) -> SettledError | None:
        return Unavailable("maintenance") if response.status_code == MAINTENANCE else None


class Guarded(Office):
    """Has to be logged in to."""

    session_seconds_min = 30.0

    def open_session(self, kept: object) -> Exchange[Session]:
        raise AssertionError("sessions come from elsewhere here")

    def authorise(self, request: httpx.Request, session: Session) -> httpx.Request:
        headers = {"token": session.values["token"]}
        return httpx.Request(request.method, request.url, headers=headers)


class Keyring:
    """Hands out sessions and notes when; refuses with an error if it has one."""

    def __init__(self, log: list[str], error: SettledError | None = None) -> None:
        self._log = log
        self._error = error

    async def current(self, account: ConnectedAccount) -> HeldSession:
        self._log.append("session")
        if self._error is not None:
            raise self._error
        return HeldSession(1, Session({"token": "first"}, 60.0))

    async def renew(self, account: ConnectedAccount, *, spent: int) -> HeldSession:
        self._log.append(f"renewed {spent}")
        return HeldSession(2, Session({"token": "second"}, 60.0))


@asynccontextmanager
async def open_at(office: Office) -> AsyncIterator[Wire]:
    runner = web.ServerRunner(web.Server(office.take), shutdown_timeout=0.1)
    await runner.setup()
    wire = Wire(check_addresses=False)
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        office.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield wire
    finally:
        await wire.aclose()
        await runner.cleanup()


async def ask(
    office: Office, log: list[str] | None = None, sessions: Keyring | None = None
) -> Fetched[Answer]:
    """Read something; log gets what was drawn and which sessions were asked for, in order."""

    async def draw(account: ConnectedAccount, purpose: Purpose) -> None:
        if log is not None:
            log.append("draw")

    account = ConnectedAccount("a", Account(name="a", provider="office"), office, Rate(5, 1.0))
    async with open_at(office) as wire:
        exchange = office.read(Kind.ORDER, "1", None)
        return await fetch(account, exchange, line=Line(wire, draw, sessions), purpose="told")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (399, Unavailable),
        (400, Unreadable),
        (401, Unauthorised),
        (403, Unauthorised),
        (404, NotFoundThere),
        (408, Unavailable),
        (425, Unavailable),
        (429, TooManyCalls),
        (466, Unreadable),
        (MAINTENANCE, Unreadable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_a_status_comes_to_what_the_catcher_must_do(
    status: int, error: type[SettledError]
) -> None:
    with pytest.raises(error, match=f"http_{status}"):
        await ask(Office(status))


async def test_a_provider_may_have_statuses_of_its_own() -> None:
    with pytest.raises(Unavailable, match="maintenance"):
        await ask(OfItsOwn(MAINTENANCE))
    with pytest.raises(Unreadable, match="http_466"):
        await ask(OfItsOwn(466))


@pytest.mark.parametrize(
    ("status", "name"),
    [(404, "NotFoundThere"), (401, "Unauthorised"), (500, "Unavailable"), (400, "Unreadable")],
)
async def test_an_exchange_may_go_on_after_what_a_status_comes_to(status: int, name: str) -> None:
    fetched = await ask(Lenient(status, 200))

    assert (fetched.answer, fetched.calls) == (NotOurs(name), 2)


async def test_a_session_is_there_before_a_call_is_drawn() -> None:
    log: list[str] = []
    office = Guarded(200)

    await ask(office, log, Keyring(log))

    assert log[:2] == ["session", "draw"]
    assert (log.count("draw"), office.tokens) == (1, ["first"])


async def test_without_a_session_no_call_is_drawn_or_made() -> None:
    log: list[str] = []
    office = Guarded(200)

    with pytest.raises(NotAllowedYet):
        await ask(office, log, Keyring(log, NotAllowedYet("session")))

    assert (log, office.tokens) == (["session"], [])


async def test_a_refused_session_is_renewed_and_the_call_made_again() -> None:
    log: list[str] = []
    office = Guarded(401, 200)

    fetched = await ask(office, log, Keyring(log))

    assert fetched.answer == NotOurs("answered_200")
    assert (office.tokens, log[-2:]) == (["first", "second"], ["renewed 1", "draw"])


async def test_a_session_is_renewed_once_for_a_call_and_no_more() -> None:
    log: list[str] = []
    office = Guarded(401, 401, 200)

    with pytest.raises(Unauthorised):
        await ask(office, log, Keyring(log))

    assert office.tokens == ["first", "second"]
