"""The receiver's insert: many calls, one commit, and what they name made due with it.

One task and one connection per process. While a commit is under way the next batch gathers by
itself, so nothing lingers: a lone call commits at once, a flood shares its commits.
Source: PERFORMANCE.md, sections 1.2 and 9.
"""

import asyncio
import os
import random
import signal
import socket
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import psycopg
import structlog
from psycopg import errors

from service.domain.event import Call, Event
from service.errors import Malformed, SettledError, Unavailable
from service.storage.database import conninfo
from service.storage.event_rows import STORE, Body, Row, rows_of, values_of
from service.storage.pace import Pace
from service.telemetry.metrics import COMMIT_EVENTS

log = structlog.get_logger()

# Source of these bounds: PERFORMANCE.md, section 9, "Receiver".
ROWS_PER_STATEMENT = 500
ROWS_HELD_MAX = 5_000
BYTES_HELD_MAX = 8 * 1024 * 1024
ANSWER_SECONDS_MAX = 3.0

# Turns of the event loop between two commits: the answers of the last one go out, what came in
# meanwhile is read, and what was read is taken in. Without them a commit under load held 15
# events where it holds 24 now, and PostgreSQL took 1.3 times the CPU for each.
TURNS_BETWEEN_COMMITS = 3

RETRY_AFTER_SECONDS = 2.0
RECONNECT_SECONDS = (0.05, 2.0)  # doubles from the first to the last
IDLE_CHECK_SECONDS = 1.0
SILENCE_SECONDS_MAX = 5.0  # longer than statement_timeout: after that the line is dead

# What PostgreSQL, or psycopg before it, refuses because of a value in one call: never storable.
_UNSTORABLE = (errors.DataError, errors.IntegrityError, errors.ProgramLimitExceeded, UnicodeError)
# What one call's key may bring upon a whole batch: somebody else holds its row.
_HELD_UP = (
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.DeadlockDetected,
    errors.SerializationFailure,
)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A call that waits for its commit."""

    rows: list[Row]
    body: Body
    committed: asyncio.Future[None]

    @property
    def body_bytes(self) -> int:
        return len(self.body[-1])


class EventWriter:
    """Stores events and makes their requests due. commits counts statements that committed."""

    def __init__(self, url: str) -> None:
        self.commits = 0
        self._conninfo = conninfo(url, application="receiver")
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._queue: deque[_Waiting] = deque()
        self._rows_held = 0  # in the queue and in hand
        self._rows_in_hand = 0
        self._bytes_held = 0
        self._pace = Pace()
        self._work = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def start(self) -> None:
        """Begin to write. Tries to connect once; goes on trying in the background."""
        await self._try_to_connect()
        self._task = asyncio.create_task(self._run(), name="event writer")
        self._task.add_done_callback(_end_process_on_bug)

    async def stop(self) -> None:
        """Write what is in hand, then hang up. Calls that come later are Unavailable."""
        self._stopping.set()
        self._work.set()
        if self._task is not None:
            await self._task

    async def store(self, account: str, call: Call, events: Sequence[Event]) -> None:
        """Store the events of a call, all or none; returns after COMMIT, within 3 s.

        An event whose event_id is known is stored once and triggers once. Raises Malformed when
        a value cannot be stored at all. Raises Unavailable when there is no room or no
        connection, or when those before it take too long for it to come in time. When it takes
        too long itself the events may or may not be stored, and storing them again is harmless.
        """
        assert events, "a call without events leaves no evidence"
        rows, body = rows_of(account, call, events)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(rows, body, loop.create_future())
        self._admit(waiting)
        late = loop.call_later(ANSWER_SECONDS_MAX, _refuse, waiting, "not stored in time")
        try:
            await waiting.committed
        finally:
            late.cancel()

    def _admit(self, waiting: _Waiting) -> None:
        if self._connection is None or self._stopping.is_set():
            raise _unavailable("events cannot be stored now")
        if (
            self._rows_held + len(waiting.rows) > ROWS_HELD_MAX
            or self._bytes_held + waiting.body_bytes > BYTES_HELD_MAX
        ):
            raise _unavailable("too many events are waiting to be stored")
        batches_before = (self._rows_held - self._rows_in_hand) // ROWS_PER_STATEMENT
        if self._rows_in_hand or batches_before:  # whoever comes first finds out how it is
            now = asyncio.get_running_loop().time()
            if self._pace.expected_seconds(batches_before + 1, now) > ANSWER_SECONDS_MAX:
                raise _unavailable("events cannot be stored in time now")
        self._rows_held += len(waiting.rows)
        self._bytes_held += waiting.body_bytes
        self._queue.append(waiting)
        self._work.set()

    def _release(self, batch: Iterable[_Waiting]) -> None:
        for waiting in batch:
            self._rows_held -= len(waiting.rows)
            self._bytes_held -= waiting.body_bytes

    async def _run(self) -> None:
        while self._queue or not self._stopping.is_set():
            if self._connection is None:
                await self._reconnect()
                continue
            batch: list[_Waiting] = []
            try:
                await self._wait_for_work()
                batch = self._take()
                await self._write_timed(batch)
            except psycopg.Error as error:
                await self._hang_up(error, batch)
            finally:
                self._rows_in_hand = 0
                self._release(batch)
        if self._connection is not None:
            await self._connection.close()

    async def _wait_for_work(self) -> None:
        """Return a few turns after there is something to write; while idle, look after the line."""
        while not self._work.is_set():
            try:
                async with asyncio.timeout(IDLE_CHECK_SECONDS):
                    await self._work.wait()
            except TimeoutError:
                await self._execute("select 1")
        for _ in range(TURNS_BETWEEN_COMMITS):
            await asyncio.sleep(0)

    def _take(self) -> list[_Waiting]:
        """Take the calls of the next statement; a call larger than a statement goes alone."""
        batch: list[_Waiting] = []
        rows = 0
        while self._queue and (not batch or rows + len(self._queue[0].rows) <= ROWS_PER_STATEMENT):
            batch.append(self._queue.popleft())
            rows += len(batch[-1].rows)
        self._rows_in_hand = rows
        if not self._queue and not self._stopping.is_set():
            self._work.clear()
        return batch

    async def _write_timed(self, batch: list[_Waiting]) -> None:
        loop, commits = asyncio.get_running_loop(), self.commits
        self._pace.begin(loop.time())
        try:
            await self._write(batch)
        finally:
            self._pace.end(loop.time(), is_stored=self.commits > commits)

    async def _write(self, batch: list[_Waiting]) -> None:
        """Commit a batch. What fails because of one call is narrowed down to that call."""
        try:
            await self._commit(batch)
        except (*_UNSTORABLE, *_HELD_UP) as error:
            # The row that holds us up stays held: short waits bring its neighbours in on time.
            await self._execute("set lock_timeout = '100ms'")
            await self._narrow_down(batch, error)
            await self._execute("set lock_timeout = '1s'")

    async def _narrow_down(self, batch: list[_Waiting], error: Exception) -> None:
        if len(batch) == 1:
            return _blame(batch[0], error)
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            try:
                await self._commit(half)
            except (*_UNSTORABLE, *_HELD_UP) as error_of_half:
                await self._narrow_down(half, error_of_half)
        return None

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Store the calls that somebody still waits for, in one statement and one commit."""
        wanted = [waiting for waiting in batch if not waiting.committed.done()]
        if not wanted:
            return
        values = values_of((waiting.rows, waiting.body) for waiting in wanted)
        await self._execute(STORE, values)
        self.commits += 1
        COMMIT_EVENTS.observe(len(values[0]))
        for waiting in wanted:
            if not waiting.committed.done():
                waiting.committed.set_result(None)

    async def _execute(self, statement: str, values: Sequence[object] | None = None) -> None:
        """Run one statement and commit it; a line that stays silent for 5 s is cut."""
        assert self._connection is not None
        cut = asyncio.get_running_loop().call_later(
            SILENCE_SECONDS_MAX, _cut, self._connection.fileno()
        )
        try:
            await self._connection.execute(statement, values)
        finally:
            cut.cancel()

    async def _hang_up(self, error: psycopg.Error, batch: list[_Waiting]) -> None:
        """Give up the connection and refuse all who wait: nobody knows for how long.

        The batch may have been committed all the same; its callers are told to come again.
        """
        log.warning("event_writer.disconnected", error=type(error).__name__, calls=len(batch))
        for waiting in chain(batch, self._queue):
            _refuse(waiting, "events cannot be stored now")
        self._release(self._queue)
        self._queue.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _reconnect(self) -> None:
        wait_seconds, wait_seconds_max = RECONNECT_SECONDS
        while not self._stopping.is_set() and not await self._try_to_connect():
            try:
                async with asyncio.timeout(wait_seconds * random.uniform(0.5, 1.0)):  # noqa: S311
                    await self._stopping.wait()
            except TimeoutError:
                wait_seconds = min(wait_seconds * 2, wait_seconds_max)

    async def _try_to_connect(self) -> bool:
        """Connect, within 2 s, and return whether that succeeded."""
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._conninfo, autocommit=True, prepare_threshold=0
            )
        except psycopg.OperationalError as error:
            log.warning("event_writer.missed_database", error=type(error).__name__)
            return False
        self._connection = connection
        self._pace = Pace()  # what the line before it was like says nothing of this one
        try:
            await self._execute(SESSION)
        except psycopg.Error as error:
            await self._hang_up(error, [])
            return False
        log.info("event_writer.connected")
        return True


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(detail, retry_after_seconds=RETRY_AFTER_SECONDS)


def _refuse(waiting: _Waiting, detail: str) -> None:
    _fail(waiting, _unavailable(detail))


def _blame(waiting: _Waiting, error: Exception) -> None:
    """Refuse the one call that cannot be stored, now or at all."""
    if isinstance(error, _UNSTORABLE):
        log.error("event.refused", error=type(error).__name__)
        _fail(waiting, Malformed("a value cannot be stored"))
    else:
        log.warning("event.postponed", error=type(error).__name__)
        _refuse(waiting, "events cannot be stored now")


def _fail(waiting: _Waiting, error: SettledError) -> None:
    if not waiting.committed.done():
        waiting.committed.set_exception(error)


def _cut(descriptor: int) -> None:
    """Shut a socket down, so that whoever waits for an answer on it learns that none comes."""
    with socket.socket(fileno=os.dup(descriptor)) as line:
        line.shutdown(socket.SHUT_RDWR)


def _end_process_on_bug(task: asyncio.Task[None]) -> None:
    """A writer that died of a bug would refuse every call for ever: its process starts anew."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("event_writer.died", exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)


# lock_timeout below ANSWER_SECONDS_MAX, and statement_timeout too, so that a call is answered by
# the reason and not by the clock. A database set to wait for replicas keeps doing so.
# Source: RELIABILITY.md, section 3.3.
SESSION = """
select set_config('lock_timeout', '1s', false),
       set_config('statement_timeout', '2s', false),
       set_config('synchronous_commit',
                  case current_setting('synchronous_commit')
                      when 'remote_apply' then 'remote_apply' else 'on' end, false)
"""
