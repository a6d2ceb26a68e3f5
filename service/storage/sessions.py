"""Provider sessions: one per account for all workers, renewed by one of them at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

# Longer than a handshake may take.
LEASE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as stored; left_seconds until it ends, opened_seconds since it was opened."""

    number: int
    values: Mapping[str, str]
    left_seconds: float
    opened_seconds: float


async def read_session(connection: AsyncConnection[Any], account: str) -> StoredSession:
    """Return the account's session; number 0, with nothing left, before the first."""
    async with connection.cursor(row_factory=class_row(StoredSession)) as cursor:
        await cursor.execute(
            """
            select number, values,
                   greatest(extract(epoch from expires_at - now()), 0)::float8 as left_seconds,
                   least(extract(epoch from now() - opened_at), 1e9)::float8 as opened_seconds
              from sessions where account = %s
            """,
            [account],
        )
        stored = await cursor.fetchone()
    return stored or StoredSession(0, {}, 0.0, 1e9)


async def lease_opening(connection: AsyncConnection[Any], account: str, *, spent: int) -> bool:
    """Take the right to open the session after the spent one; False when another has it."""
    await connection.execute(
        "insert into sessions (account) values (%s) on conflict (account) do nothing", [account]
    )
    cursor = await connection.execute(
        """
        update sessions set leased_until = now() + make_interval(secs => %s)
         where account = %s and number = %s and leased_until <= now()
        """,
        [LEASE_SECONDS, account, spent],
    )
    return cursor.rowcount == 1


async def keep_session(
    connection: AsyncConnection[Any],
    account: str,
    *,
    spent: int,
    values: Mapping[str, str],
    expires_in_seconds: float,
) -> None:
    """Store the session that follows the spent one, and give the lease back."""
    await connection.execute(
        """
        update sessions
           set number = number + 1, values = %s, opened_at = now(),
               expires_at = now() + make_interval(secs => %s), leased_until = '-infinity'
         where account = %s and number = %s
        """,
        [Jsonb(dict(values)), expires_in_seconds, account, spent],
    )


async def give_up_opening(connection: AsyncConnection[Any], account: str, *, spent: int) -> None:
    """Give the lease back without a session; the try counts for the time between openings."""
    await connection.execute(
        """
        update sessions set leased_until = '-infinity', opened_at = now()
         where account = %s and number = %s
        """,
        [account, spent],
    )
