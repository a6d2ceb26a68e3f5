"""The feed of /v1/changes: gives notifications their position after commit.

A serial is taken when a row is written, so it says nothing about when the row becomes visible.
Positions are given afterwards, one giver at a time and only to committed rows, so no row ever
appears behind a cursor that was handed out. Within one request, rows are written one after the
other under its lock, so sequence n always gets its position before n+1.
"""

import re
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from service.errors import Gone, Malformed
from service.storage.database import Pool
from service.storage.unit_of_work import plan_once, unit_of_work

# One number for whoever places notifications, so that there is one giver at a time.
PLACING_LOCK = 5_137_022

CHANGES_MAX = 500

# Whether messages are still to be placed, and whether any can lie behind a position. Asked again
# and again by whoever waits, so it reads no old partition: beat places what has waited for longer.
_NEWS = """
    select exists (select from notifications
                    where position is null and created_at > now() - interval '30 days'),
           %s < (select last_value from feed_positions)
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """Bodies of notifications in the order of the feed; next is the cursor behind the last."""

    bodies: list[bytes]
    next: str


async def place(pool: Pool) -> int:
    """Give every committed notification without a position one; return how many."""
    async with unit_of_work(pool) as work:
        await work.connection.execute("select pg_advisory_xact_lock(%s)", [PLACING_LOCK])
        # A statement of its own after the lock: its snapshot sees what the last giver placed.
        cursor = await work.connection.execute(
            """
            with unplaced as materialized (
                select serial, created_at, nextval('feed_positions') as position
                  from (select serial, created_at from notifications where position is null
                         order by serial limit 5000) as waiting
            )
            update notifications as n set position = unplaced.position
              from unplaced
             where (n.serial, n.created_at) = (unplaced.serial, unplaced.created_at)
               and n.position is null
            """
        )
        return cursor.rowcount


async def changes(pool: Pool, *, after: str | None, limit: int) -> Changes:
    """Return up to limit bodies behind the cursor after; None starts at the beginning.

    Raises Malformed for a cursor that we never handed out, and Gone for one behind which changes
    have been dropped.
    """
    position = _position_of(after)
    async with unit_of_work(pool) as work:
        cursor = await work.connection.execute(_NEWS, [position])
        is_waiting, is_behind = await cursor.fetchone() or (False, False)
    if is_waiting:
        await place(pool)
    elif not is_behind:
        return Changes([], f"f{position}")
    async with unit_of_work(pool) as work:
        await plan_once(work.connection)
        cursor = await work.connection.execute(
            "select position, body from notifications where position > %s"
            " order by position limit %s",
            [position, min(limit, CHANGES_MAX)],
        )
        rows = await cursor.fetchall()
        if after is not None:
            await _refuse_gone(work.connection, position)
    last = rows[-1][0] if rows else position
    return Changes([row[1] for row in rows], f"f{last}")


async def _refuse_gone(connection: AsyncConnection[Any], position: int) -> None:
    """Raise Gone where changes behind a position were dropped.

    After the read: what was dropped while it was under way is seen here.
    """
    cursor = await connection.execute("select max(position) from forgotten")
    row = await cursor.fetchone()
    dropped = row and row[0]
    if dropped and position < dropped:
        oldest = f"f{dropped}"
        raise Gone(
            f"changes behind this cursor are no longer kept; begin again with after={oldest}, or"
            " without after for all that is kept, and compare GET /v1/requests with your records",
            oldest=oldest,
        )


def _position_of(cursor: str | None) -> int:
    if cursor is None:
        return 0
    matched = re.fullmatch(r"f([0-9]{1,18})", cursor, flags=re.ASCII)
    if matched is None:
        raise Malformed("after: expected a cursor from `next`", code="bad_cursor")
    return int(matched[1])
