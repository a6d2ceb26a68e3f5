"""Sessions of the console that somebody signed out of, until their cookies end by themselves."""

from datetime import datetime

from service.storage.database import Pool
from service.storage.unit_of_work import connected


async def end_session(pool: Pool, session: bytes, *, ends_at: datetime) -> None:
    """Refuse a session from now on, and forget those whose cookies have ended.

    Raises Unavailable: then it is not ended.
    """
    async with connected(pool) as connection, connection.transaction():
        await connection.execute("delete from signed_out where ends_at < now()")
        await connection.execute(
            "insert into signed_out (session, ends_at) values (%s, %s) on conflict do nothing",
            [session, ends_at],
        )


async def is_ended(pool: Pool, session: bytes) -> bool:
    """Return whether somebody has signed out of a session. Raises Unavailable."""
    async with connected(pool) as connection:
        cursor = await connection.execute("select from signed_out where session = %s", [session])
        return cursor.rowcount > 0
