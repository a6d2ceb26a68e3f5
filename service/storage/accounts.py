"""Accounts: what the configuration cannot know, such as a pause; and the shared call budgets."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import class_row

# A pause without a time of its own starts here and doubles up to half an hour.
PAUSE_SECONDS_FIRST = 60.0
PAUSE_SECONDS_MAX = 1800.0

Share = Literal["all", "discovery"]

# What a pause that ends leaves: a channel that was silent before it, or fell silent in it, is.
_RESUMED = """
    pauses = 0, reason = silence, state = case when silence is null then 'ok' else 'silent' end
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the budget gave: granted calls, or the wait until the next one fits.

    paused says that the account is on probation after a pause: one call at a time.
    """

    granted: int
    used: int
    wait_seconds: float
    paused: bool


async def ensure_accounts(
    connection: AsyncConnection[Any], accounts: Iterable[tuple[str, str]], *, end_pauses: bool
) -> None:
    """Make rows for configured accounts, given as (name, provider).

    end_pauses is for a start by a person, who may just have mended the credentials.
    """
    ordered = sorted(accounts)
    names = [name for name, _ in ordered]
    await connection.execute(
        """
        insert into accounts (name, provider)
        select * from unnest(%b::text[], %b::text[]) as a (name, provider) order by name
        on conflict (name) do update set provider = excluded.provider
         where accounts.provider <> excluded.provider
        """,
        [names, [provider for _, provider in ordered]],
    )
    if end_pauses:
        await connection.execute(
            f"update accounts set {_RESUMED}, paused_until = '-infinity'"  # noqa: S608 - a constant
            " where state = 'paused' and name = any(%b)",
            [names],
        )


async def pause_accounts(
    connection: AsyncConnection[Any], names: Iterable[str], *, reason: str, seconds: float | None
) -> float:
    """Stop all calls of accounts for a while, for every worker; return for how long.

    names are the accounts of one credential. seconds None means a pause that doubles from 1 to
    30 minutes with each pause in a row; reads that were under way when it began belong to it. A
    pause under way is not made shorter.
    """
    cursor = await connection.execute(
        """
        with paused as materialized (
            select name from accounts where name = any(%(names)b) order by name for update
        )
        update accounts
           set state = 'paused', reason = %(reason)s,
               pauses = case when paused_until < now() then pauses + 1 else pauses end,
               paused_until = greatest(paused_until, now() + make_interval(secs => least(
                   %(most)s,
                   coalesce(%(seconds)s::float8, %(first)s * 2 ^ least(10, greatest(0,
                       case when paused_until < now() then pauses else pauses - 1 end))))))
         where name in (select name from paused)
        returning extract(epoch from paused_until - now())::float8
        """,
        {
            "names": sorted(set(names)),
            "reason": reason,
            "seconds": seconds,
            "first": PAUSE_SECONDS_FIRST,
            "most": PAUSE_SECONDS_MAX,
        },
    )
    return max((row[0] for row in await cursor.fetchall()), default=PAUSE_SECONDS_FIRST)


async def note_read(connection: AsyncConnection[Any], account: str) -> None:
    """Note that the account's provider gave a good answer just now."""
    await connection.execute("update accounts set last_read_at = now() where name = %s", [account])


async def resume_accounts(connection: AsyncConnection[Any], names: Iterable[str]) -> list[str]:
    """End the pause of accounts that answered again; return those that were paused.

    A pause that began after the answer stands.
    """
    cursor = await connection.execute(
        f"""
        with answering as materialized (
            select name from accounts where name = any(%b) order by name for update
        )
        update accounts set {_RESUMED}
         where name in (select name from answering)
           and state = 'paused' and paused_until <= now()
        returning name
        """,  # noqa: S608 - a constant
        [sorted(set(names))],
    )
    return [row[0] for row in await cursor.fetchall()]


async def draw_calls(
    connection: AsyncConnection[Any],
    name: str,
    *,
    credential: str,
    share: Share,
    wanted: int,
    calls_max: int,
    window_seconds: float,
) -> Grant:
    """Draw up to wanted calls; no window of window_seconds ever holds more than calls_max.

    All accounts of one credential draw on the same window; a pause is each account's own.
    """
    async with connection.cursor(row_factory=class_row(Grant)) as cursor:
        await cursor.execute(
            "select granted, used, wait_seconds, coalesce(paused, false) as paused"
            " from draw_calls(%s, %s, %s, %s, %s, %s)",
            [name, credential, share, wanted, calls_max, window_seconds],
        )
        grant = await cursor.fetchone()
    assert grant is not None, "a function with out parameters answers one row"
    return grant
