"""What every view shares: a cursor of dict rows, conditions and pages."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from psycopg import AsyncCursor, sql
from psycopg.rows import DictRow, dict_row

from service.storage.database import Pool
from service.storage.unit_of_work import connected

Json = dict[str, Any]

# A condition with a %s for each of its values.
Condition = tuple[LiteralString, *tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the time its list is ordered by, and the id for equal times."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list; after is where the next page starts, None when this is the last one."""

    items: list[Json]
    after: Position | None


@dataclass(frozen=True, slots=True)
class Walk:
    """Which way a list runs by its last change, and which rows lie beyond or up to a position."""

    order: sql.SQL
    beyond: LiteralString
    up_to: LiteralString


NEWEST_FIRST = Walk(
    sql.SQL("updated_at desc, id desc"),
    "(updated_at, id) < (%s, %s)",
    "(updated_at, id) >= (%s, %s)",
)
OLDEST_FIRST = Walk(
    sql.SQL("updated_at, id"), "(updated_at, id) > (%s, %s)", "(updated_at, id) <= (%s, %s)"
)


def walk_of(updated_since: datetime | None) -> Walk:
    """Return the newest first, or with updated_since the oldest first.

    Who walks everything since a time meets what changes meanwhile again at the end; the other
    way round it would slip to the front, behind the walker's back.
    """
    return OLDEST_FIRST if updated_since else NEWEST_FIRST


@asynccontextmanager
async def reading(pool: Pool) -> AsyncIterator[AsyncCursor[DictRow]]:
    """Lend a cursor. Raises Unavailable when PostgreSQL is away or takes too long."""
    async with connected(pool) as connection, connection.cursor(row_factory=dict_row) as cursor:
        yield cursor


@asynccontextmanager
async def reading_indexes(pool: Pool) -> AsyncIterator[AsyncCursor[DictRow]]:
    """Lend a cursor as `reading` does, for questions that end at a bound.

    PostgreSQL would read a table from its beginning where it takes what is asked for to be
    frequent, and read all of it where that is only at the end. An index finds either at once.
    """
    async with reading(pool) as cursor, cursor.connection.transaction():
        await cursor.execute("set local enable_seqscan = off")
        yield cursor


def narrowed(*conditions: Condition) -> tuple[sql.SQL, list[object]]:
    """Return a where clause of the conditions whose values are all given, and those values.

    Built per call, not as "is null or equal": the planner sees what is asked, and no more.
    """
    used = [(text, values) for text, *values in conditions if None not in values]
    clause = "where " + " and ".join(text for text, _ in used) if used else ""
    return sql.SQL(clause), [value for _, values in used for value in values]


def beyond(text: LiteralString, position: Position | None) -> Condition:
    """Return a condition of a walk about a position, without a value where there is none."""
    return (text, position.at, position.id) if position else (text, None, None)


def page_of(
    rows: Sequence[DictRow], limit: int, *, ordered_by: str, show: Callable[[DictRow], Json]
) -> Page:
    """Return the page that rows make; one row more than limit says that another page follows."""
    shown = rows[:limit]
    more = len(rows) > limit
    after = Position(shown[-1][ordered_by], shown[-1]["id"]) if more else None
    return Page([show(row) for row in shown], after)
