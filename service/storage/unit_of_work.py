"""One transaction and the tables it may touch.

Lock order, everywhere: what a stripped reference means (`OrdersTable.agree_on`), then requests by
key, then orders by reference, then due rows, last and briefly. Isolation is READ COMMITTED.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import PoolTimeout, TooManyRequests

from service.errors import Unavailable
from service.storage.database import Pool
from service.storage.decisions import Decisions
from service.storage.due import DueTable
from service.storage.history import History
from service.storage.notifications import Outbox
from service.storage.orders import OrdersTable
from service.storage.requests import RequestsTable

# What a process finds that stood still inside a transaction: its session was ended meanwhile.
_IdleTooLong = psycopg.errors.IdleInTransactionSessionTimeout


class Work:
    """The tables of one transaction."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self.due = DueTable(connection)
        self.requests = RequestsTable(connection)
        self.orders = OrdersTable(connection)
        self.decisions = Decisions(connection)
        self.history = History(connection)
        self.outbox = Outbox(connection)


@asynccontextmanager
async def connected(pool: Pool) -> AsyncIterator[AsyncConnection[Any]]:
    """Lend a connection; PostgreSQL being away, or giving up, becomes Unavailable."""
    try:
        async with pool.connection() as connection:
            yield connection
    except (PoolTimeout, TooManyRequests, psycopg.OperationalError, _IdleTooLong) as error:
        # Deadlocks, lock time-outs and cancelled statements are OperationalErrors as well: the
        # transaction is rolled back, and the rows stay due.
        raise Unavailable(f"postgresql: {type(error).__name__}", retry_after_seconds=1) from error


@asynccontextmanager
async def unit_of_work(pool: Pool) -> AsyncIterator[Work]:
    """Open a transaction: commits on leaving, rolls back on raising.

    Raises Unavailable when PostgreSQL is away; a commit whose answer was lost is Unavailable
    too, so whatever is written must be safe to write again.
    """
    async with connected(pool) as connection, connection.transaction():
        yield Work(connection)
