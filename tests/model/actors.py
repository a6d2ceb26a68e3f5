"""Actors that can be stopped at their edges and killed there, as SIGKILL would.

An actor is a task that runs our code with a pool and wires of its own. Where that code touches
the outside it says so: a call waits until it is let on, and a killed actor never comes back. Its
connection is closed without a commit, and nothing that its coroutines still do reaches anybody.
"""

import asyncio
import contextlib
import json
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import psycopg
from psycopg.abc import Query
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.transaction import AsyncTransaction
from psycopg_pool import AsyncConnectionPool

from service.errors import Unavailable
from service.storage.database import conninfo
from service.wire import Wire

# What a statement that writes has in it; none that only reads does.
WRITES = re.compile(r"\b(insert|update [a-z]+|delete)\b")

# Turns of the loop without any news after which nobody will move by itself.
QUIET_TURNS = 12

Connection = psycopg.AsyncConnection[tuple[object, ...]]

# Between two looks at whoever waits for PostgreSQL.
PATIENCE_SECONDS = 0.0005

_here: ContextVar["Actor | None"] = ContextVar("actor", default=None)

# How often each point was passed, and how often somebody died there.
passed: Counter[str] = Counter()
died: Counter[str] = Counter()


@dataclass(slots=True, eq=False, repr=False)
class Call:
    """A call on the wire: not yet answered, answered over there, or brought home.

    fault: "refused" is a 500 from whoever did not listen, "lost" an answer that never comes.
    """

    actor: "Actor"
    wire: "ModelWire"
    request: httpx.Request
    is_taken: bool = False
    answer: httpx.Response | None = None
    home: asyncio.Future[None] = field(default_factory=lambda: asyncio.Future())
    fault: str | None = None

    @property
    def path(self) -> str:
        return self.request.url.path

    @property
    def about(self) -> str:
        """What it is about, the same in every run: identifiers of ours are not."""
        if not self.request.content:
            return self.path
        message = json.loads(self.request.content)
        return f"{message['data'].get('account')} {message['data']['sequence']} {message['type']}"

    def __repr__(self) -> str:
        return f"{self.actor.role} {'<' if self.is_taken else '>'} {self.about}"


@dataclass(slots=True, eq=False)
class Actor:
    """One process at work. dies_at names the point at which it will be killed.

    One that is free is answered at once. has_answer tells a claim from what is done with answers.
    lent are its connections in use, news counts whatever it does.
    """

    role: str
    is_free: bool = False
    dies_at: str | None = None
    is_dead: bool = False
    is_stopped: bool = False
    has_answer: bool = False
    calls: list[Call] = field(default_factory=list)
    lent: set[Connection] = field(default_factory=set)
    news: int = 0
    task: asyncio.Task[Any] | None = None

    @property
    def is_done(self) -> bool:
        return self.task is None or self.task.done()

    async def at(self, point: str) -> None:
        """Pass a point, or stop there for ever."""
        self.news += 1
        name = f"{self.role}: {point}"
        passed[name] += 1
        if self.dies_at == point:
            died[name] += 1
            self.is_stopped = True
            await asyncio.Future()

    async def inside(self) -> None:
        """The transaction is written and not committed."""
        if self.has_answer:
            await self.at("before cursor save" if self.role == "poller" else "inside transaction")

    async def committed(self) -> None:
        """The transaction is committed, and nobody has been told."""
        if not self.has_answer:
            return await self.at("after claim")
        self.has_answer = False
        return await self.at("after mark" if self.role == "deliverer" else "after commit")

    def begin(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        context = copy_context()
        context.run(_here.set, self)
        self.task = asyncio.get_running_loop().create_task(work(), context=context)

    async def settle(self) -> None:
        """Return when this actor has ended, stands at a call, or was stopped at its point."""
        assert self.task is not None
        quiet, seen = 0, self._signs()
        async with asyncio.timeout(20):
            while not (self.task.done() or self.is_stopped) and quiet < QUIET_TURNS:
                waits = bool(self.calls) and not self.lent
                await asyncio.sleep(0 if waits else PATIENCE_SECONDS)
                quiet = quiet + 1 if waits and self._signs() == seen else 0
                seen = self._signs()
        if self.task.done() and not self.is_dead:
            self.task.result()

    def _signs(self) -> tuple[int, int, int]:
        return (self.news, len(self.lent), len(self.calls))

    async def kill(self) -> None:
        """End this process where it stands: what it had not committed is rolled back."""
        self.is_dead = True
        for call in self.calls:
            died[f"{self.role}: {self._standing(call)}"] += 1
        for connection in self.lent:
            connection.pgconn.finish()
        while self.task is not None and not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task], timeout=0.01)
        if self.task is not None and not self.task.cancelled():
            self.task.exception()
        self.calls.clear()

    def _standing(self, call: Call) -> str:
        """Return the point at which a held call stands: over there, or not yet."""
        if self.role == "deliverer":
            return "after send" if call.is_taken else "after claim"
        return "during call" if call.is_taken else "before call"


def here() -> "Actor | None":
    """Return the actor whose code is running, None for the harness itself."""
    return _here.get()


class Line(Connection):
    """A connection whose transactions say when they are written and when they are committed."""

    @asynccontextmanager
    async def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> AsyncIterator[AsyncTransaction]:
        actor = here()
        async with super().transaction(savepoint_name, force_rollback) as transaction:
            yield transaction
            if actor is not None:
                await actor.inside()
        if actor is not None:
            await actor.committed()


class Statement(psycopg.AsyncCursor[Any]):
    """A cursor whose statements say when they wrote something that is committed at once."""

    async def execute(self, query: Query, *values: Any, **options: Any) -> Self:
        await super().execute(query, *values, **options)
        is_committed = self.connection.info.transaction_status is TransactionStatus.IDLE
        if is_committed and WRITES.search(str(query)) and (actor := here()) is not None:
            await actor.committed()
        return self


class ActorPool(AsyncConnectionPool[Connection]):
    """The pool of one process; what is dead gets no connection."""

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[Connection]:
        actor = here()
        if actor is not None and actor.is_dead:
            raise asyncio.CancelledError
        async with super().connection(timeout) as connection:
            if actor is None:
                yield connection
                return
            actor.lent.add(connection)
            actor.news += 1
            try:
                yield connection
            finally:
                actor.lent.discard(connection)
                actor.news += 1


def actor_pool(url: str) -> ActorPool:
    """Return a closed pool of one connection.

    It does not wait for the disk: a model of processes has nothing to say about lost power.
    """
    made = conninfo(url, application="model")
    options = f"{conninfo_to_dict(made)['options']} -c synchronous_commit=off"
    return ActorPool(
        make_conninfo(made, options=options),
        connection_class=Line,
        kwargs={"autocommit": True, "prepare_threshold": 0, "cursor_factory": Statement},
        min_size=1,
        max_size=1,
        open=False,
        timeout=10.0,
    )


class ModelWire(Wire):
    """A wire whose far end is a function, and on which every call can be held.

    answer is asked when the call arrives over there; what it says comes home when it is let.
    """

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        super().__init__(check_addresses=False)
        self._answer = answer

    async def send(
        self,
        request: httpx.Request,
        *,
        total_seconds: float,
        body_bytes_max: int,
        truncate: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> httpx.Response:
        actor = here()
        assert actor is not None, "only actors call"
        if actor.is_dead:
            raise asyncio.CancelledError
        call = Call(actor, self, request)
        await actor.at("before call")
        if actor.is_free:
            self.take(call)
        else:
            actor.calls.append(call)
            try:
                await call.home
            finally:
                with contextlib.suppress(ValueError):
                    actor.calls.remove(call)
        actor.has_answer = True
        await actor.at("after page" if actor.role == "poller" else "after answer")
        if call.fault == "lost":
            raise Unavailable("timeout")
        assert call.answer is not None
        return call.answer

    def take(self, call: Call) -> None:
        """Have the call arrive over there and be answered; the answer is not home yet."""
        call.is_taken = True
        call.answer = (
            httpx.Response(500, request=call.request)
            if call.fault == "refused"
            else self._answer(call.request)
        )


def answer_of(request: httpx.Request, body: object) -> httpx.Response:
    """Return body as JSON, 404 where there is none."""
    if body is None:
        return httpx.Response(404, request=request)
    return httpx.Response(200, content=json.dumps(body), request=request)
