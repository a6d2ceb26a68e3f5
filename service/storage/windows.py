"""Windows of list sweeps: what was looked through, from when to when, and how far it got."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from service.domain.request import Key, Kind
from service.providers import Listed

# Longer than reading one page may take.
LEASE_SECONDS = 30.0

# Each window reaches back into the one before: what was made in the last moments of that one
# may not have been in the list yet.
OVERLAP = timedelta(minutes=10)

# How long finished windows are kept, by the row: longer than a year's closing looks back. They are
# few, and what they say is state: up to when all was looked through, which the newest one tells.
KEPT = timedelta(days=400)

# A window whose pages cannot be read is begun anew after this time at the soonest.
ANEW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Window:
    """A window that this process looks through; cursor is where to go on."""

    id: int
    account: str
    since: datetime
    until: datetime
    cursor: str | None

    @property
    def length(self) -> timedelta:
        return self.until - self.since


class Windows:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def claim(
        self,
        account: str,
        *,
        every: timedelta,
        lookback: timedelta,
        length_max: timedelta | None = None,
    ) -> Window | None:
        """Lease the account's unfinished window, or begin the next one when its time has come.

        length_max bounds a window that is begun, None does not: what is far behind is then
        caught up with oldest first, and each part that is done stays done.
        None when another process is at it, or nothing is to be done yet. A window that failed
        half-way is gone on with, never passed over; the next one is begun when it is finished.
        """
        mutex = await self._connection.execute(
            "select from accounts where name = %s for no key update skip locked", [account]
        )
        if await mutex.fetchone() is None:
            return None
        await self._begin(account, every, lookback, length_max)
        async with self._connection.cursor(row_factory=class_row(Window)) as cursor:
            await cursor.execute(
                """
                update windows set leased_until = now() + make_interval(secs => %s)
                 where id = (select id from windows
                              where account = %s and finished_at is null
                              order by id limit 1)
                   and leased_until <= now()
                returning id, account, since, until, cursor
                """,
                [LEASE_SECONDS, account],
            )
            return await cursor.fetchone()

    async def is_any_due(self, accounts: Sequence[str], *, every: timedelta) -> bool:
        """Return whether a window of one of these accounts can be begun or gone on with."""
        cursor = await self._connection.execute(
            """
            select exists (
                select from unnest(%(accounts)b::text[]) as a (name)
                 where exists (select from windows where account = a.name
                                  and finished_at is null and leased_until <= now())
                    or not exists (select from windows where account = a.name
                                      and (finished_at is null or until > now() - %(every)s)))
            """,
            {"accounts": list(accounts), "every": every},
        )
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def _begin(
        self, account: str, every: timedelta, lookback: timedelta, length_max: timedelta | None
    ) -> None:
        await self._connection.execute(
            """
            insert into windows (account, since, until)
            select %(account)s, since, least(since + %(length)s::interval, now())
              from (select max(until) as until from windows where account = %(account)s) as last,
                   coalesce(last.until - %(overlap)s, now() - %(lookback)s) as since
             where not exists (select from windows
                                where account = %(account)s and finished_at is null)
               and (last.until is null or last.until <= now() - %(every)s)
            """,
            {
                "account": account,
                "overlap": OVERLAP,
                "length": length_max,
                "lookback": lookback,
                "every": every,
            },
        )

    async def news(self, account: str, items: Sequence[Listed]) -> list[Key]:
        """Return the listed items that we never heard of, or that changed since we read them.

        They come in the order of the list, each once.
        An id that only a webhook has named so far, or that was not found, is news as well: the
        provider's own list vouches for it, so it need not wait among ids that anybody can send.
        Where the list is one of events, an item is news unless that event reached us, as far as
        events come again: its day is at most 35 ago. A version
        from a time to come orders nothing, here as in `without_future_version`.
        """
        cursor = await self._connection.execute(
            """
            select listed.kind, listed.provider_id
              from unnest(%(kinds)b::text[], %(ids)b::text[], %(versions)b::bigint[],
                          %(events)b::text[]) with ordinality
                   as listed (kind, provider_id, version, event_id, place)
              left join due on due.account = %(account)s and due.kind = listed.kind
                           and due.provider_id = listed.provider_id
              left join requests as r on r.account = %(account)s and r.kind = listed.kind
                           and r.provider_id = listed.provider_id
             where (listed.event_id is not null and not exists (
                       select from events as e
                        where e.account = %(account)s and e.event_id = listed.event_id
                          and e.day >= current_date - 36))
                or (listed.event_id is null and due.account is null)
                or (listed.version > r.version
                    and listed.version <= extract(epoch from now() + interval '1 day') * 1000000)
                or (r.id is null and due.urgency = 2 and due.parked is null)
                or due.parked = 'not_found_at_provider'
             order by place
            """,
            {
                "account": account,
                "kinds": [str(item.kind) for item in items],
                "ids": [item.provider_id for item in items],
                "versions": [item.version for item in items],
                "events": [item.event_id for item in items],
            },
        )
        keys = [Key(account, Kind(kind), name) for kind, name in await cursor.fetchall()]
        return list(dict.fromkeys(keys))

    async def advance(self, window: Window, *, cursor: str | None, found: int) -> bool:
        """Note a page as looked through; cursor None finishes the window.

        Return False, with nothing noted, where another process has gone on with it meanwhile.
        """
        noted = await self._connection.execute(
            """
            update windows
               set cursor = %s, found = found + %s, pages = pages + 1,
                   leased_until = now() + make_interval(secs => %s),
                   finished_at = case when %s then now() end
             where id = %s and finished_at is null and cursor is not distinct from %s
            """,
            [cursor, found, LEASE_SECONDS, cursor is None, window.id, window.cursor],
        )
        return noted.rowcount == 1

    async def release(self, window: Window, *, wait_seconds: float, anew: bool = False) -> None:
        """Give a window back unfinished, to be gone on with after a while.

        anew: from its first page, and not before a minute has passed. A cursor that the provider
        does not know any more would be refused for ever.
        """
        if anew:
            wait_seconds = max(wait_seconds, ANEW_SECONDS)
        await self._connection.execute(
            """
            update windows set leased_until = now() + make_interval(secs => %s),
                               cursor = case when %s then null else cursor end
             where id = %s and finished_at is null and cursor is not distinct from %s
            """,
            [wait_seconds, anew, window.id, window.cursor],
        )


async def forget_windows(connection: AsyncConnection[Any]) -> int:
    """Delete windows finished too long ago, not the newest of an account; return how many."""
    cursor = await connection.execute(
        """
        delete from windows as w
         where finished_at < now() - %s
           and exists (select from windows as later
                        where later.account = w.account and later.until > w.until
                          and later.finished_at is not null)
        """,
        [KEPT],
    )
    return cursor.rowcount
