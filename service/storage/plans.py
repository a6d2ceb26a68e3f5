"""Poll plans: what looking at each account's requests costs, and by how much intervals stretch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection

from service.domain.pace import Alike, Believed, Plan

# Between two plans, at least; counting a million requests takes well under a second.
PLAN_SECONDS = 60.0

# Requests that we know for between two of these are planned together: a walk goes back as far as
# the oldest of such a group.
AGES = (timedelta(days=7), timedelta(days=1), timedelta(hours=6), timedelta(hours=1))

# Windows whose pages tell what a sweep costs: an hour of them at the default pace.
WINDOWS_COUNTED = 12

# How long the next plans believe a walk.
BELIEVED = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Kept:
    """A plan as kept: calls a second of the account's whole credential, and the stretch."""

    plan: Plan
    planned: float
    possible: float
    stretch: float


class Plans:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def are_due(self, accounts: Sequence[str]) -> bool:
        """Return whether plans of these accounts are to be made."""
        cursor = await self._connection.execute(
            """
            select exists (select from unnest(%b::text[]) as a (account)
                             left join poll_plans using (account)
                            where next_at is null or next_at <= now())
            """,
            [list(accounts)],
        )
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def claim(self, accounts: Sequence[str]) -> bool:
        """Return whether it is for this process to make the plans now; others then need not."""
        await self._connection.execute(
            """
            insert into poll_plans (account)
            select name from accounts where name = any(%b) order by name
            on conflict (account) do nothing
            """,
            [list(accounts)],
        )
        cursor = await self._connection.execute(
            """
            update poll_plans set next_at = now() + make_interval(secs => %s)
             where account in (select account from poll_plans
                                where account = any(%b) and next_at <= now()
                                order by account for update skip locked)
            """,
            [PLAN_SECONDS, list(accounts)],
        )
        return cursor.rowcount > 0

    async def groups(
        self, accounts: Sequence[str], *, max_age: timedelta
    ) -> Mapping[str, list[Alike]]:
        """Return what each account's requests add up to, by interval, listing and age.

        Reads the whole table of due rows once.
        """
        found: dict[str, list[Alike]] = {account: [] for account in accounts}
        cursor = await self._connection.execute(
            """
            select account, count(*), sum(calls), every_seconds::float8, listed,
                   extract(epoch from now() - min(min(first_due_at))
                                                  over (partition by account, band))::float8
              from (select account, calls, every_seconds, listed, first_due_at,
                           width_bucket(first_due_at, edges) as band
                      from due, (select array_agg(now() - age order by age desc) as edges
                                   from unnest(%(ages)s::interval[]) as a (age)) as a
                     where account = any(%(accounts)b)
                       and first_due_at > now() - %(max_age)s::interval) as aged
             group by account, every_seconds, listed, band
            """,
            {"accounts": list(accounts), "ages": list(AGES), "max_age": max_age},
        )
        for account, *values in await cursor.fetchall():
            found[account].append(Alike(*values))
        return found

    async def pages_a_sweep(self, accounts: Sequence[str]) -> Mapping[str, float]:
        """Return how many pages a sweep of each account took lately, 1 where none is known."""
        cursor = await self._connection.execute(
            """
            select account, coalesce(avg(greatest(pages, 1)), 1)::float8
              from unnest(%(accounts)b::text[]) as a (account)
              left join lateral (select pages from windows
                                  where windows.account = a.account and finished_at is not null
                                  order by until desc limit %(counted)s) as latest on true
             group by account
            """,
            {"accounts": list(accounts), "counted": WINDOWS_COUNTED},
        )
        return dict(await cursor.fetchall())

    async def believed(self, accounts: Sequence[str]) -> Mapping[str, Believed]:
        """Return how the last walk of each account went, for those that walked lately."""
        cursor = await self._connection.execute(
            """
            select account, greatest(1, pages::float8 / pages_expected),
                   least(1, same::float8 / same_expected)
              from walks
             where account = any(%b) and finished_at > now() - %s
               and pages_expected > 0 and same_expected > 0
            """,
            [list(accounts), BELIEVED],
        )
        return {account: Believed(pages, same) for account, pages, same in await cursor.fetchall()}

    async def keep(self, plans: Mapping[str, Kept]) -> None:
        """Write plans over the last ones, for all workers."""
        ordered = sorted(plans.items())
        walks = [kept.plan.walk for _, kept in ordered]
        await self._connection.execute(
            """
            update poll_plans
               set planned = k.planned, possible = k.possible, stretch = k.stretch,
                   walk_every_seconds = k.every,
                   walk_since = now() - make_interval(secs => k.since),
                   walk_pages = k.pages, walk_same = k.same
              from unnest(%b::text[], %s::float8[], %s::float8[], %s::real[], %s::float8[],
                          %s::float8[], %b::integer[], %b::integer[])
                   as k (account, planned, possible, stretch, every, since, pages, same)
             where poll_plans.account = k.account
            """,
            [
                [account for account, _ in ordered],
                [kept.planned for _, kept in ordered],
                [kept.possible for _, kept in ordered],
                [kept.stretch for _, kept in ordered],
                [walk and walk.every_seconds for walk in walks],
                [walk and walk.since_seconds for walk in walks],
                [walk and walk.pages for walk in walks],
                [walk and walk.same for walk in walks],
            ],
        )
