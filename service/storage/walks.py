"""Walks through lists that show statuses: where one stands, and what its pages say."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row

from service.domain.request import Key, Kind, PaymentRequest
from service.providers import Listed
from service.storage.requests import request_of

# Longer than reading one page may take.
LEASE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk that this process goes on with; cursor is where. stretch is its account's."""

    account: str
    number: int
    since: datetime
    cursor: str | None
    stretch: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page says: keys to be read, in its order, and requests that it shows as recorded."""

    news: tuple[Key, ...]
    same: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that waits for its turn, and when it ends or ended."""

    request: PaymentRequest
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class PutOff:
    """A turn that a list makes unnecessary: when to look instead, in a round of how long."""

    key: Key
    wait_seconds: float
    every_seconds: float
    paced_seconds: float


class Walks:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def is_any_due(self, accounts: Sequence[str]) -> bool:
        """Return whether a walk of one of these accounts can be begun or gone on with."""
        cursor = await self._connection.execute(
            """
            select exists (
                select from poll_plans left join walks using (account)
                 where account = any(%b) and walk_every_seconds is not null
                   and case when finished_at is null and started_at is not null
                            then leased_until <= now()
                            else coalesce(started_at, '-infinity')
                                 <= now() - make_interval(secs => walk_every_seconds * stretch)
                       end)
            """,
            [list(accounts)],
        )
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def claim(self, account: str) -> Walk | None:
        """Lease the account's unfinished walk, or begin the next when its plan wants one.

        None when another process is at it, or nothing is to be done yet.
        """
        await self._begin(account)
        async with self._connection.cursor(row_factory=class_row(Walk)) as cursor:
            await cursor.execute(
                """
                update walks set leased_until = now() + make_interval(secs => %s)
                  from poll_plans as plan
                 where walks.account = %s and plan.account = walks.account
                   and walk_every_seconds is not null
                   and finished_at is null and leased_until <= now()
                returning walks.account, number, since, cursor, stretch::float8
                """,
                [LEASE_SECONDS, account],
            )
            return await cursor.fetchone()

    async def _begin(self, account: str) -> None:
        await self._connection.execute(
            """
            insert into walks as last (account, since, started_at, pages_expected, same_expected)
            select account, walk_since, now(), walk_pages, walk_same
              from poll_plans where account = %(account)s and walk_every_seconds is not null
            on conflict (account) do update
               set number = last.number + 1, since = excluded.since, cursor = null,
                   leased_until = '-infinity', started_at = now(), finished_at = null,
                   pages = 0, same = 0, news = 0,
                   pages_expected = excluded.pages_expected, same_expected = excluded.same_expected
             where last.finished_at is not null
               and last.started_at <= now() - (
                   select make_interval(secs => walk_every_seconds * stretch)
                     from poll_plans where account = %(account)s)
            """,
            {"account": account},
        )

    async def advance(self, walk: Walk, *, cursor: str | None, seen: Seen) -> bool:
        """Note a page as looked through; cursor None finishes the walk.

        Return False, with nothing noted, where another process has gone on with it meanwhile.
        """
        noted = await self._connection.execute(
            """
            update walks
               set cursor = %s, pages = pages + 1, same = same + %s, news = news + %s,
                   leased_until = now() + make_interval(secs => %s),
                   finished_at = case when %s then now() end
             where account = %s and number = %s and finished_at is null
               and cursor is not distinct from %s
            """,
            [
                cursor, len(seen.same), len(seen.news), LEASE_SECONDS, cursor is None,
                walk.account, walk.number, walk.cursor,
            ],
        )  # fmt: skip
        return noted.rowcount == 1

    async def release(self, walk: Walk, *, wait_seconds: float) -> None:
        """Give a walk back unfinished, to be gone on with after a while."""
        await self._connection.execute(
            """
            update walks set leased_until = now() + make_interval(secs => %s)
             where account = %s and number = %s and finished_at is null
               and cursor is not distinct from %s
            """,
            [wait_seconds, walk.account, walk.number, walk.cursor],
        )

    async def give_up(self, walk: Walk) -> None:
        """End a walk whose pages cannot be read; the next begins anew in its time."""
        await self._connection.execute(
            "update walks set finished_at = now()"
            " where account = %s and number = %s and cursor is not distinct from %s",
            [walk.account, walk.number, walk.cursor],
        )

    async def see(self, account: str, items: Sequence[Listed]) -> Seen:
        """Compare a page with the record.

        News is what we never heard of, or what the list shows otherwise than the last read did.
        What a list shows of a request that it does not tell all about is neither.
        """
        cursor = await self._connection.execute(
            """
            select coalesce(r.kind, item.kind), coalesce(r.provider_id, item.provider_id),
                   coalesce(r.list_mark = item.mark, false)
              from unnest(%(kinds)b::text[], %(ids)b::text[], %(marks)b::text[])
                   with ordinality as item (kind, provider_id, mark, place)
              left join requests as r on r.account = %(account)s
                                     and r.listed_id = item.provider_id
              left join due on due.account = %(account)s and due.kind = item.kind
                           and due.provider_id = item.provider_id
              left join related on related.account = %(account)s and related.kind = item.kind
                               and related.provider_id = item.provider_id
             where r.id is not null or (due.account is null and related.account is null)
             order by place
            """,
            {
                "account": account,
                "kinds": [str(item.kind) for item in items],
                "ids": [item.provider_id for item in items],
                "marks": [item.mark for item in items],
            },
        )
        rows = [
            (Key(account, Kind(kind), name), same) for kind, name, same in await cursor.fetchall()
        ]
        return Seen(
            news=tuple(key for key, same in rows if not same),
            same=tuple(key for key, same in rows if same),
        )

    async def lock_waiting(self, keys: Sequence[Key]) -> list[Waiting]:
        """Lock and return those of keys that only wait for their turn.

        Not those that are being read, were asked for, failed, or are locked by somebody else.
        """
        ordered = sorted(set(keys))
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                """
                select r.*, due.ends_at
                  from due
                  join unnest(%b::text[], %b::text[], %b::text[])
                       as k (account, kind, provider_id) using (account, kind, provider_id)
                  join requests as r using (account, kind, provider_id)
                 where due.wanted = due.done and due.leased_until <= now()
                   and due.observed_by = 'poll' and due.errors = 0 and due.parked is null
                 order by account, kind, provider_id
                   for update of due skip locked
                """,
                [
                    [key.account for key in ordered],
                    [str(key.kind) for key in ordered],
                    [key.provider_id for key in ordered],
                ],
            )
            return [Waiting(request_of(row), row["ends_at"]) for row in await cursor.fetchall()]

    async def put_off(self, turns: Sequence[PutOff]) -> None:
        """Put turns off, never nearer; the rows must be locked by this transaction."""
        await self._connection.execute(
            """
            update due
               set due_at = greatest(due_at, now() + make_interval(secs => t.wait_seconds)),
                   every_seconds = t.every_seconds, paced_seconds = t.paced_seconds
              from unnest(%b::text[], %b::text[], %b::text[], %s::float8[], %s::real[], %s::real[])
                   as t (account, kind, provider_id, wait_seconds, every_seconds, paced_seconds)
             where (due.account, due.kind, due.provider_id) = (t.account, t.kind, t.provider_id)
            """,
            [
                [turn.key.account for turn in turns],
                [str(turn.key.kind) for turn in turns],
                [turn.key.provider_id for turn in turns],
                [turn.wait_seconds for turn in turns],
                [turn.every_seconds for turn in turns],
                [turn.paced_seconds for turn in turns],
            ],
        )
