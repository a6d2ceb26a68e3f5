"""Runs of reconcile: one per account at a time, gone on with where the last one stopped."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from service.domain.request import Key, Kind
from service.errors import Conflict

# Renewed while a run lives, so this is how long one that was killed keeps the next one out.
LEASE_SECONDS = 30.0

# A run that stopped longer ago is not gone on with: what it compared first is old news by now.
GONE_ON_WITH: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants compared. name is the window in their words, by which it is found again.

    once: not again after a run of that name has finished.
    """

    name: str
    since: datetime
    until: datetime
    dry_run: bool
    once: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A run that this process goes on with, and how far it is.

    compared counts requests, of those expected; unread those that could not be read. listed_until
    is up to where the provider's list was looked through, None before that begins.
    """

    id: int
    account: str
    dry_run: bool
    since: datetime
    until: datetime
    lease_no: int
    after_kind: str = ""
    after_id: str = ""
    is_listing: bool = False
    listed_until: datetime | None = None
    page: str | None = None
    compared: int = 0
    expected: int = 0
    unread: int = 0
    drift: Mapping[str, int] = field(default_factory=dict)
    is_finished: bool = False

    @property
    def drifted(self) -> int:
        return sum(self.drift.values())

    def drift_with(self, classes: Sequence[str]) -> dict[str, int]:
        """Return the counts with some more of these classes."""
        return dict(Counter(self.drift) + Counter(classes))


class Reconciles:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def claim(self, account: str, ask: Ask) -> Run | None:
        """Lease the run of that name that stopped, or begin one; the account's row must be there.

        None while another run of the account is under way, whatever it compares, or where one
        that is wanted once is done.
        """
        await self._lock([account])
        busy = await self._connection.execute(
            """
            select from reconciles
             where account = %s
               and ((finished_at is null and leased_until > now())
                 or (%s and asked = %s and finished_at is not null))
             limit 1
            """,
            [account, ask.once, ask.name],
        )
        if busy.rowcount:
            return None
        run = await self._go_on(account, ask)
        if run is None:
            await self._insert([account], ask, by=None)
            run = await self._go_on(account, ask)
        return run

    async def ask(self, accounts: Sequence[str], ask: Ask, *, by: str) -> list[int]:
        """Have workers work off a run of each of these accounts; return the runs' ids, by account.

        by is who asks. Raises Conflict, with nothing asked for, where an account has a run already
        that workers were asked for and have not finished. The accounts' rows must be there.
        """
        await self._lock(accounts)
        cursor = await self._connection.execute(
            """
            select account, id from reconciles
             where account = any(%b) and asked_by is not null
               and finished_at is null and started_at > now() - %s
             order by account limit 1
            """,
            [list(accounts), GONE_ON_WITH],
        )
        if (unfinished := await cursor.fetchone()) is not None:
            raise Conflict(
                f"{unfinished[0]}: reconcile {unfinished[1]} was asked for and is not finished;"
                " wait for its end",
                code="reconcile_unfinished",
            )
        return await self._insert(accounts, ask, by=by)

    async def left_to_workers(self, accounts: Sequence[str]) -> list[tuple[str, Ask]]:
        """Return the accounts, and what workers were asked for there and nobody has in hand.

        The oldest first. Left out are accounts with another run under way.
        """
        cursor = await self._connection.execute(
            """
            select account, asked, since, until, dry_run from reconciles as mine
             where account = any(%b) and asked_by is not null
               and finished_at is null and started_at > now() - %s
               and not exists (select from reconciles as other
                                where other.account = mine.account
                                  and other.finished_at is null and other.leased_until > now())
             order by id
            """,
            [list(accounts), GONE_ON_WITH],
        )
        return [
            (account, Ask(name, since, until, dry_run, once=True))
            for account, name, since, until, dry_run in await cursor.fetchall()
        ]

    async def _lock(self, accounts: Sequence[str]) -> None:
        await self._connection.execute(
            "select from accounts where name = any(%b) order by name for no key update",
            [list(accounts)],
        )

    async def wanting(self, accounts: Sequence[str], ask: Ask, *, may_begin: bool) -> list[str]:
        """Return the accounts whose run of that name is nobody's now and not finished.

        may_begin: also those that have none yet.
        """
        cursor = await self._connection.execute(
            """
            select a.name from unnest(%b::text[]) as a (name)
             where not exists (select from reconciles
                                where account = a.name and asked = %s
                                  and (finished_at is not null or leased_until > now()))
               and (%s or exists (select from reconciles where account = a.name and asked = %s))
             order by a.name
            """,
            [list(accounts), ask.name, may_begin, ask.name],
        )
        return [str(name) for (name,) in await cursor.fetchall()]

    async def _go_on(self, account: str, ask: Ask) -> Run | None:
        async with self._connection.cursor(row_factory=class_row(Run)) as cursor:
            await cursor.execute(
                f"""
                update reconciles
                   set lease_no = lease_no + 1, leased_until = now() + make_interval(secs => %s)
                 where id = (select id from reconciles
                              where account = %s and asked = %s and dry_run = %s
                                and finished_at is null and started_at > now() - %s
                              order by id desc limit 1)
                returning {_COLUMNS}
                """,  # noqa: S608 - a constant list of columns
                [LEASE_SECONDS, account, ask.name, ask.dry_run, GONE_ON_WITH],
            )
            return await cursor.fetchone()

    async def _insert(self, accounts: Sequence[str], ask: Ask, *, by: str | None) -> list[int]:
        """Make a run of each account that nobody has in hand yet; return their ids, by account."""
        cursor = await self._connection.execute(
            """
            insert into reconciles (account, asked, asked_by, dry_run, since, until, expected)
            select name, %(asked)s, %(by)s, %(dry_run)s, %(since)s, %(until)s,
                   (select count(*) from requests
                     where account = name
                       and updated_at >= %(since)s and first_seen_at < %(until)s)
              from unnest(%(accounts)b::text[]) as chosen (name) order by name
            returning id
            """,
            {
                "accounts": list(accounts), "asked": ask.name, "by": by, "dry_run": ask.dry_run,
                "since": ask.since, "until": ask.until,
            },
        )  # fmt: skip
        return [int(run_id) for (run_id,) in await cursor.fetchall()]

    async def renew(self, run: Run) -> None:
        """Keep others out for another while."""
        await self._connection.execute(
            """
            update reconciles set leased_until = now() + make_interval(secs => %s)
             where id = %s and lease_no = %s and finished_at is null
            """,
            [LEASE_SECONDS, run.id, run.lease_no],
        )

    async def note(self, run: Run) -> bool:
        """Keep how far a run is. Return False, with nothing kept, where another took it over."""
        noted = await self._connection.execute(
            """
            update reconciles
               set after_kind = %s, after_id = %s, is_listing = %s, listed_until = %s, page = %s,
                   compared = %s, expected = %s, unread = %s, drift = %s,
                   leased_until = now() + make_interval(secs => %s),
                   finished_at = case when %s then now() end
             where id = %s and lease_no = %s and finished_at is null
            """,
            [
                run.after_kind, run.after_id, run.is_listing, run.listed_until, run.page,
                run.compared, run.expected, run.unread, Jsonb(dict(run.drift)), LEASE_SECONDS,
                run.is_finished, run.id, run.lease_no,
            ],
        )  # fmt: skip
        return noted.rowcount == 1

    async def release(self, run: Run) -> None:
        """Let the next one go on at once, where this run is not finished."""
        await self._connection.execute(
            "update reconciles set leased_until = '-infinity'"
            " where id = %s and lease_no = %s and finished_at is null",
            [run.id, run.lease_no],
        )

    async def known(self, run: Run, *, limit: int) -> list[Key]:
        """Return the next requests that were there, and changed, in the run's window."""
        cursor = await self._connection.execute(
            """
            select kind, provider_id from requests
             where account = %s and (kind, provider_id) > (%s, %s)
               and updated_at >= %s and first_seen_at < %s
             order by kind, provider_id limit %s
            """,
            [run.account, run.after_kind, run.after_id, run.since, run.until, limit],
        )
        return [Key(run.account, Kind(kind), name) for kind, name in await cursor.fetchall()]

    async def beyond(self, run: Run, keys: Sequence[Key]) -> list[Key]:
        """Return those of keys that `known` does not bring, in their order."""
        cursor = await self._connection.execute(
            """
            select account, kind, provider_id
              from requests join unnest(%b::text[], %b::text[], %b::text[])
                                 as k (account, kind, provider_id)
                            using (account, kind, provider_id)
             where updated_at >= %s and first_seen_at < %s
            """,
            [*_columns(keys), run.since, run.until],
        )
        known = {Key(account, Kind(kind), name) for account, kind, name in await cursor.fetchall()}
        return [key for key in keys if key not in known]


def _columns(keys: Sequence[Key]) -> list[list[str]]:
    return [
        [key.account for key in keys],
        [str(key.kind) for key in keys],
        [key.provider_id for key in keys],
    ]


_COLUMNS = """
    id, account, dry_run, since, until, lease_no, after_kind, after_id, is_listing, listed_until,
    page, compared, expected, unread, drift
"""
