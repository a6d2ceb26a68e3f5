"""What surrounds a delivery: an ERP on a real socket, rows on their way, a database that leaves."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from aiohttp import web
from psycopg import sql
from psycopg.rows import dict_row

from service.domain.notification import serialised
from service.flow.attempt import DeliverParts
from service.settings import Endpoint, Rate, Secret
from service.storage.database import Pool
from service.storage.lanes import Lanes
from service.storage.recoveries import Recoveries
from service.storage.unit_of_work import unit_of_work
from service.wire import Wire
from tests.storage.rows import insert_delivery, insert_notification, insert_transition

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PATIENCE_SECONDS = 40


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call at the ERP's door."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def place(self) -> tuple[str, int]:
        """The request and the sequence that the notification is about."""
        return self.data["request_id"], self.data["sequence"]

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data


Answer = web.StreamResponse | int
Answering = Callable[[Arrival], Awaitable[Answer]]


class Erp:
    """Keeps what arrives and answers as `answering` does: 204 until told otherwise."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.answering: Answering = answers(204)
        self.url = ""

    @property
    def places(self) -> list[tuple[str, int]]:
        return [arrival.place for arrival in self.arrivals]

    @property
    def ids(self) -> list[str]:
        return [arrival.id for arrival in self.arrivals]

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        arrival = Arrival(request.path, headers, await request.read())
        self.arrivals.append(arrival)
        answer = await self.answering(arrival)
        return web.Response(status=answer) if isinstance(answer, int) else answer

    async def has(self, count: int) -> None:
        """Wait until this many calls arrived."""
        await eventually(lambda: len(self.arrivals) >= count)


def answers(*statuses: int, **headers: str) -> Answering:
    """Answer with these statuses in turn, and with the last of them from then on."""
    left = list(statuses)

    async def answer(_arrival: Arrival) -> Answer:
        status = left.pop(0) if len(left) > 1 else left[0]
        return web.Response(status=status, headers=headers, text=f"said {status}")

    return answer


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Let the loop run until condition holds; fails after 40 s."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await _holds(condition):  # noqa: ASYNC110 - rows and Redis tell nobody
            await asyncio.sleep(0.01)


async def _holds(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    answer = condition()
    return answer if isinstance(answer, bool) else await answer


@asynccontextmanager
async def listening(tls: ssl.SSLContext | None = None) -> AsyncIterator[Erp]:
    """Run an ERP until the block ends; calls that still wait for an answer are then dropped."""
    erp = Erp()
    runner = web.ServerRunner(web.Server(erp.take), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        erp.url = f"https://localhost:{port}/hooks" if tls else f"http://127.0.0.1:{port}/hooks"
        yield erp
    finally:
        await runner.cleanup()


def endpoint(erp: Erp, name: str = "erp", **settings: Any) -> Endpoint:
    """An endpoint of this machine without a limit that a test would notice."""
    ordinary: dict[str, Any] = {
        "url": erp.url,
        "secrets": (Secret(SECRET),),
        "allow_private": True,
        "rate": Rate(1000, 1.0),
        "timeout": timedelta(seconds=PATIENCE_SECONDS),
    }
    return Endpoint(name=name, **ordinary | settings)


@asynccontextmanager
async def sending(pool: Pool, *endpoints: Endpoint) -> AsyncIterator[DeliverParts]:
    """Lend what a delivery touches, with rows for the endpoints."""
    wires = {private: Wire(check_addresses=not private) for private in (True, False)}
    async with unit_of_work(pool) as work:
        await Lanes(work.connection).ensure([(e.name, e.kind) for e in endpoints])
    yield DeliverParts(
        pool=pool,
        endpoints={each.name: each for each in endpoints},
        wires=wires,
        now=lambda: datetime.now(UTC),
        recorded=lambda: None,
        stopping=asyncio.Event(),
    )
    for wire in wires.values():
        await wire.aclose()


async def put(pool: Pool, subject: str, sequence: int = 1, *, to: str = "erp", **row: Any) -> str:
    """Put a notification about a request into the outbox, due long since; return its id."""
    await insert_transition(pool, subject, sequence)
    body = serialised(
        {
            "type": "payment_request.paid",
            "id": f"ntf_{subject}_{sequence}",
            "timestamp": "2026-11-20T14:31:02.418Z",
            "schema": "1",
            "data": {"request_id": subject, "account": "ginger-nl", "sequence": sequence},
        }
    )
    notification = await insert_notification(pool, subject, sequence, body=body)
    ordinary = {"endpoint": to, "subject_id": subject, "sequence": sequence, "due_at": LONG_AGO}
    await insert_delivery(pool, notification, **ordinary | row)
    return notification


async def arrived(pool: Pool, notification_id: str) -> str:
    """Have a notification go out as the outbox has it, and arrive; return the delivery's id."""
    async with unit_of_work(pool) as work:
        messages = await Recoveries(work.connection).messages([notification_id], endpoint="erp")
        await work.outbox.add_late(messages)
        await work.connection.execute(
            "update deliveries set state = 'delivered', closed_at = now()"
            " where notification_id = %s",
            [notification_id],
        )
    return str((await delivery(pool, notification_id))["id"])


async def delivery(pool: Pool, notification_id: str) -> dict[str, Any]:
    """Return the row of a notification's delivery."""
    return await _row(
        pool,
        "select id, state, attempts_made, tries, due_at, closed_at from deliveries"
        " where notification_id = %s",
        notification_id,
    )


async def stored_bodies(pool: Pool) -> list[bytes]:
    """Return what the outbox and the feed keep, by request and sequence."""
    async with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("select body from notifications order by subject_id, sequence")
        return [row["body"] for row in await cursor.fetchall()]


async def lane(pool: Pool, name: str = "erp") -> dict[str, Any]:
    """Return an endpoint's row."""
    return await _row(pool, "select * from endpoints where name = %s", name)


async def attempts(pool: Pool, notification_id: str) -> list[tuple[int, str, str]]:
    """Return number, outcome and excerpt of each attempt."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select number, outcome, excerpt from attempts join deliveries on id = delivery_id"
            " where notification_id = %s order by number",
            [notification_id],
        )
        return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]  # type: ignore[misc]


async def let_time_pass(pool: Pool, table: str, *columns: str) -> None:
    """Move times of a table into the past, as if we had waited for them."""
    moved = sql.SQL(", ").join(
        sql.SQL("{0} = case when {0} > now() then now() else {0} end").format(
            sql.Identifier(column)
        )
        for column in columns
    )
    statement = sql.SQL("update {} set {}").format(sql.Identifier(table), moved)
    async with pool.connection() as connection:
        await connection.execute(statement)


@asynccontextmanager
async def mislaid(pool: Pool) -> AsyncIterator[None]:
    """Hide the table of deliveries while the block lasts: no error that anybody expects."""
    async with pool.connection() as connection:
        await connection.execute("alter table deliveries_waiting rename to mislaid")
        try:
            yield
        finally:
            await connection.execute("alter table mislaid rename to deliveries_waiting")


async def allow_connections(url: str, pool: Pool, *, allow: bool) -> None:
    """Shut a pool's database, ending every connection to it, or open it again.

    url leads to another database of the same server.
    """
    name = psycopg.conninfo.conninfo_to_dict(str(pool.conninfo))["dbname"]
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(f'alter database "{name}" allow_connections {allow}'.encode())
        if not allow:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
            )


async def _row(pool: Pool, statement: str, key: str) -> dict[str, Any]:
    async with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement.encode(), [key])
        row = await cursor.fetchone()
    assert row is not None, f"nothing is there for {key}"
    return row
