"""Provider sessions: one per account for all workers, renewed by one of them at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as stored; left_seconds until it ends, opened_seconds since it was opened."""

    number: int
    values: Mapping[str, str]
    left_seconds: float
    opened_seconds: float


async def read_session(connection: AsyncConnection[Any], account: str) -> StoredSession:
    """Return the account's session; number 0, with nothing left, before the first.

    Times are subtracted as numbers: infinite ones cannot be before PostgreSQL 17.
    """
    async with connection.cursor(row_factory=class_row(StoredSession)) as cursor:
        await cursor.execute(
            """
            select number, values,
                   greatest(extract(epoch from expires_at) - extract(epoch from now()), 0)::float8
                       as left_seconds,
                   least(extract(epoch from now()) - extract(epoch from opened_at), 1e9)::float8
                       as opened_seconds
              from sessions where account = %s
            """,
            [account],
        )
        stored = await cursor.fetchone()
    return stored or StoredSession(0, {}, 0.0, 1e9)


async def lease_opening(
    connection: AsyncConnection[Any],
    account: str,
    *,
    spent: int,
    pause_seconds: float,
    lease_seconds: float,
) -> bool:
    """Take the right to open the session after the spent one.

    False when another has it, when the last opening that counted is not pause_seconds ago, or
    when there is a newer session. lease_seconds must cover the longest opening and the pause
    after it, because whoever dies under way may just have opened one.
    """
    await connection.execute(
        "insert into sessions (account) values (%s) on conflict (account) do nothing", [account]
    )
    cursor = await connection.execute(
        """
        update sessions set leased_until = now() + make_interval(secs => %s)
         where account = %s and number = %s and leased_until <= now()
           and opened_at <= now() - make_interval(secs => %s)
        """,
        [lease_seconds, account, spent, pause_seconds],
    )
    return cursor.rowcount == 1


async def keep_session(
    connection: AsyncConnection[Any],
    account: str,
    *,
    spent: int,
    values: Mapping[str, str],
    expires_in_seconds: float,
    counts: bool,
) -> None:
    """Store the session, or the step, that follows the spent one, and give the lease back.

    counts says whether the pause before the next opening begins now.
    """
    await connection.execute(
        """
        update sessions
           set number = number + 1, values = %s,
               opened_at = case when %s then now() else opened_at end,
               expires_at = now() + make_interval(secs => %s), leased_until = '-infinity'
         where account = %s and number = %s
        """,
        [Jsonb(dict(values)), counts, expires_in_seconds, account, spent],
    )


async def give_lease_back(
    connection: AsyncConnection[Any], account: str, *, spent: int, counts: bool
) -> None:
    """Give the lease back without a session.

    counts says whether the pause before the next opening begins now.
    """
    await connection.execute(
        """
        update sessions
           set leased_until = '-infinity',
               opened_at = case when %s then now() else opened_at end
         where account = %s and number = %s
        """,
        [counts, account, spent],
    )
