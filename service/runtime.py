"""Puts the parts together, once per process."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx
from psycopg.conninfo import conninfo_to_dict

from service import embedded
from service.budget import CallBudget, credential_of, share_limits
from service.domain.polling import PollPlan
from service.domain.status import Status
from service.erp import Outlet, outlets_of
from service.errors import Misconfigured
from service.fetch import ConnectedAccount, Fetched, Line, fetch
from service.flow.attempt import DeliverParts
from service.flow.look import SyncParts
from service.nudge import DELIVER, SYNC, Bell, Waker
from service.providers import AccountContext, Exchange, Session
from service.registry import PROVIDERS
from service.sessions import Sessions
from service.settings import Account, Endpoint, Section, Settings, parse_rate
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool, pool_of
from service.storage.event_writer import EventWriter
from service.storage.lanes import Lanes
from service.storage.unit_of_work import unit_of_work
from service.wire import Address, Wire

Role = Literal["web", "worker", "beat", "command"]

LOOK_UP_SECONDS_MAX = 2.0
CONNECTIONS_MAX = {"web": 8, "worker": 6, "beat": 3, "command": 4}


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Urls:
    """Where this process finds PostgreSQL and Redis."""

    postgres: str
    redis: str


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything a process works with; opened and closed by open_runtime."""

    settings: Settings
    urls: Urls
    pool: Pool
    accounts: Mapping[str, ConnectedAccount]
    endpoints: Mapping[str, Endpoint]
    plan: PollPlan
    budget: CallBudget
    sessions: Sessions
    provider_wire: Wire
    erp_wires: Mapping[bool, Wire]
    outlets: Mapping[str, Outlet]
    erp_tls: Mapping[str, ssl.SSLContext]
    bell: Bell
    writer: EventWriter
    wake: Callable[[], None]
    wake_deliveries: Callable[[], None]


@asynccontextmanager
async def open_runtime(settings: Settings, *, role: Role) -> AsyncIterator[Runtime]:
    """Open pools, clients and background tasks of one process; close them on leaving."""
    accounts = connect_accounts(settings)
    endpoints = {endpoint.name: endpoint for endpoint in settings.endpoints}
    erp_tls = endpoint_certificates(settings)
    urls = find_servers(settings)
    pool = pool_of(urls.postgres, application=role, connections_max=CONNECTIONS_MAX[role])
    bell = Bell(urls.redis)
    sync_waker, delivery_waker = Waker(bell, SYNC), Waker(bell, DELIVER)
    writer = EventWriter(urls.postgres)
    provider_wire = Wire(check_addresses=False)
    budget = CallBudget(pool)

    async def open_session(
        account: ConnectedAccount, exchange: Exchange[Session]
    ) -> Fetched[Session]:
        line = Line(provider_wire, budget.draw)
        return await fetch(account, exchange, line=line, purpose="told")

    erp_wires = {
        False: Wire(check_addresses=True, extra_denied=await server_addresses(urls)),
        True: Wire(check_addresses=False),
    }
    outlets = outlets_of(settings, wires=erp_wires, redis_url=urls.redis)
    async with AsyncExitStack() as stack:
        stack.callback(bell.close)
        for wire in (provider_wire, *erp_wires.values()):
            stack.push_async_callback(wire.aclose)
        for outlet in outlets.values():
            stack.push_async_callback(outlet.aclose)
        await pool.open(wait=False)
        stack.push_async_callback(pool.close, timeout=2.0)
        if role == "web":
            await writer.start()
            stack.push_async_callback(writer.stop)
        for waker in (sync_waker, delivery_waker):
            task = asyncio.create_task(waker.run())
            stack.callback(task.cancel)
        yield Runtime(
            settings=settings,
            urls=urls,
            pool=pool,
            accounts=accounts,
            endpoints=endpoints,
            plan=plan_of(settings),
            budget=budget,
            sessions=Sessions(pool, open_session),
            provider_wire=provider_wire,
            erp_wires=erp_wires,
            outlets=outlets,
            erp_tls=erp_tls,
            bell=bell,
            writer=writer,
            wake=sync_waker.wake,
            wake_deliveries=delivery_waker.wake,
        )


def sync_parts(
    runtime: Runtime,
    *,
    stopping: asyncio.Event,
    outbox_filled: Callable[[], None],
    recorded: Callable[[], None] = lambda: None,
) -> SyncParts:
    """Return what a sync of this process touches; the arguments are as SyncParts explains them."""
    return SyncParts(
        pool=runtime.pool,
        accounts=runtime.accounts,
        endpoints=list(runtime.endpoints.values()),
        plan=runtime.plan,
        wire=runtime.provider_wire,
        draw=runtime.budget.draw,
        sessions=runtime.sessions,
        answered=runtime.budget.answered,
        now=utc_now,
        outbox_filled=outbox_filled,
        recorded=recorded,
        stopping=stopping,
        silent_changes=runtime.settings.polling.silent_changes,
    )


def find_servers(settings: Settings) -> Urls:
    """Return where PostgreSQL and Redis are: configured, or embedded and started elsewhere.

    Raises Unavailable when embedded ones are not running.
    """
    configured = (settings.database.url, settings.redis.url)
    running = embedded.urls(settings.settled.data_dir) if None in configured else {}
    postgres = configured[0].reveal() if configured[0] else running["postgres"]
    redis = configured[1].reveal() if configured[1] else running["redis"]
    return Urls(postgres, redis)


async def server_addresses(urls: Urls) -> frozenset[Address]:
    """Return where our servers are: no configured URL may lead there, even if it is public.

    A server that is spoken to through a socket file has no address. One whose name leads nowhere
    within 2 s is left out: it cannot be reached either.
    """
    names = str(conninfo_to_dict(urls.postgres).get("host") or "").split(",")
    names.append(urlsplit(urls.redis).hostname or "")
    looking_up = asyncio.get_running_loop().getaddrinfo
    found: set[Address] = set()
    for name in names:
        if name and not name.startswith("/"):
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(LOOK_UP_SECONDS_MAX):
                    answers = await looking_up(name, None, type=socket.SOCK_STREAM)
                found |= {ip_address(address[0]) for *_, address in answers}
    return frozenset(found)


def connect_accounts(settings: Settings) -> dict[str, ConnectedAccount]:
    """Make the adapter of every account. Raises Misconfigured, naming the key at fault."""
    connected = share_limits(
        _connect(account, settings, f"account[{index}]")
        for index, account in enumerate(settings.accounts)
    )
    return {account.name: account for account in connected}


def keys_of(account: Account) -> Section:
    """Return an account's own keys as its provider's section. Raises Misconfigured."""
    return account.keys_as(PROVIDERS[account.provider].keys)


def plan_of(settings: Settings) -> PollPlan:
    polling = settings.polling
    return PollPlan(
        open=polling.open,
        processing=polling.processing,
        paid=polling.paid,
        max_age=polling.max_age,
    )


def deliver_parts(
    runtime: Runtime, *, stopping: asyncio.Event, recorded: Callable[[], None] = lambda: None
) -> DeliverParts:
    """Return what a delivery touches; the arguments are as DeliverParts explains them."""
    return DeliverParts(
        pool=runtime.pool,
        endpoints=runtime.endpoints,
        wires=runtime.erp_wires,
        outlets=runtime.outlets,
        tls=runtime.erp_tls,
        now=utc_now,
        recorded=recorded,
        stopping=stopping,
    )


async def introduce(runtime: Runtime, *, end_pauses: bool = False) -> None:
    """Make rows for the accounts and endpoints of the configuration."""
    async with unit_of_work(runtime.pool) as work:
        await ensure_accounts(
            work.connection,
            [(account.name, account.section.provider) for account in runtime.accounts.values()],
            end_pauses=end_pauses,
        )
        await Lanes(work.connection).ensure(
            [(endpoint.name, endpoint.kind) for endpoint in runtime.endpoints.values()]
        )


def _connect(account: Account, settings: Settings, where: str) -> ConnectedAccount:
    factory = PROVIDERS.get(account.provider)
    if factory is None:
        raise Misconfigured(
            f"{settings.source}: {where}.provider: expected one of"
            f" {', '.join(sorted(PROVIDERS))}, got {account.provider!r}"
        )
    live = settings.settled.mode == "live"
    if live and factory.needs_webhook_token and account.webhook_token is None:
        raise Misconfigured(
            f"{settings.source}: {where}.webhook_token: {account.provider} signs nothing, so in"
            " live mode its webhooks need an unguessable path; set webhook_token"
        )
    context = AccountContext(
        name=account.name,
        words=_words(account, settings, where),
        live=live,
        reference_from=account.reference_from,
        paid_is_settled=account.paid_is_settled,
    )
    keys = account.keys_as(factory.keys)
    limit = account.limit or parse_rate(factory.default_limit)
    certificate = factory.certificate(keys)
    at = f"{settings.source}: {where}.tls_certificate_file"
    tls = _client_tls(*certificate, at) if certificate else None
    return ConnectedAccount(
        account.name,
        account,
        factory.make(keys, context),
        limit,
        tls,
        credential_of(account, factory.credential(keys)),
    )


def endpoint_certificates(settings: Settings) -> dict[str, ssl.SSLContext]:
    """Return what shows our certificate, by endpoint. Raises Misconfigured for unusable files."""
    return {
        endpoint.name: _client_tls(
            endpoint.client_certificate_file,
            endpoint.client_key_file,
            f"{settings.source}: endpoint[{index}].client_certificate_file",
        )
        for index, endpoint in enumerate(settings.endpoints)
        if endpoint.client_certificate_file and endpoint.client_key_file
    }


def _client_tls(certificate: Path, key: Path, where: str) -> ssl.SSLContext:
    """Return a context that verifies the other side and shows our certificate.

    A key behind a passphrase is refused: nobody is there to type it.
    """
    context = httpx.create_ssl_context(trust_env=False)
    try:
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(
            f"{where}: expected a certificate and its key in PEM, got: {error}"
        ) from error
    return context


def _words(account: Account, settings: Settings, where: str) -> dict[str, Status]:
    words = {}
    for word, status in account.words.items():
        if status not in set(Status):
            raise Misconfigured(
                f"{settings.source}: {where}.words.{word}: expected one of"
                f" {', '.join(Status)}, got {status!r}"
            )
        words[word] = Status(status)
    return words
