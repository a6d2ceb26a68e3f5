"""Channels: what no webhook announced, and the accounts whose webhooks have fallen silent.

All workers judge by the same rows, and none waits for another: a change of state is made only
where nothing that it was judged by has changed meanwhile, so that it is made, and told, once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from service.domain.channel import Channel, Silence


@dataclass(frozen=True, slots=True)
class Untold:
    """A change that was found without a webhook; occurred_at as the provider says, if it does.

    called_for says that every provider that sends webhooks would have announced it.
    """

    account: str
    request_id: str
    sequence: int
    called_for: bool
    occurred_at: datetime | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of an account's webhooks, and why it counts as silent so far, if it does."""

    channel: Channel
    counts_as: str | None


class Channels:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def append(self, changes: Sequence[Untold]) -> None:
        """Keep changes that were found without a webhook, in the transaction that records them.

        Before the requests are saved: a change cannot have happened before the good read that did
        not show it yet.
        """
        if not changes:
            return
        await self._connection.execute(
            """
            insert into untold_changes (account, request_id, sequence, called_for, happened_at,
                                        recorded_at)
            select change.account, request_id, change.sequence, called_for,
                   case when change.occurred_at is not null or observed_at is not null
                        then least(greatest(change.occurred_at, observed_at), recorded_at) end,
                   recorded_at
              from unnest(%b::text[], %b::text[], %b::bigint[], %b::boolean[], %b::timestamptz[],
                          %b::timestamptz[])
                   as change (account, request_id, sequence, called_for, occurred_at, recorded_at)
              join requests on requests.id = request_id
            """,
            [
                [change.account for change in changes],
                [change.request_id for change in changes],
                [change.sequence for change in changes],
                [change.called_for for change in changes],
                [change.occurred_at for change in changes],
                [change.recorded_at for change in changes],
            ],
        )

    async def hear(self, names: Iterable[str]) -> None:
        """Note the newest webhooks of accounts: they stay known when their events are dropped.

        In a transaction of its own: accounts are not part of the lock order.
        """
        await self._connection.execute(
            """
            with newest as materialized (
                select name, newest.at
                  from accounts,
                       lateral (select max(received_at) as at from events
                                 where events.account = name) as newest
                 where name = any(%b) and newest.at > coalesce(heard_at, '-infinity')
                 order by name for no key update of accounts
            )
            update accounts set heard_at = newest.at
              from newest where accounts.name = newest.name
            """,
            [sorted(set(names))],
        )

    async def watched(self, names: Iterable[str], *, changes_max: int) -> dict[str, Watched]:
        """Return what is known of the webhooks of these accounts.

        changes_max bounds how many untold changes of each are returned, the newest ones.
        """
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                """
                select name, silence, added_at, heard_at,
                       array(select happened_at from untold_changes
                              where account = name and called_for and happened_at is not null
                              order by happened_at desc limit %s) as untold
                  from accounts where name = any(%b)
                """,
                [changes_max, sorted(set(names))],
            )
            return {
                row["name"]: Watched(
                    Channel(row["added_at"], row["heard_at"], row["untold"]), row["silence"]
                )
                for row in await cursor.fetchall()
            }

    async def silent_among(self, names: Iterable[str]) -> list[str]:
        """Return those of these accounts that count as silent."""
        cursor = await self._connection.execute(
            "select name from accounts where name = any(%b) and silence is not null",
            [sorted(set(names))],
        )
        return [row[0] for row in await cursor.fetchall()]

    async def note(self, name: str, watched: Watched, silence: Silence | None) -> bool:
        """Note whether an account is silent; return whether that was still to be noted.

        Another judgement, or a webhook, since the account was looked at stands. A pause goes
        before it: the account shows it when that has ended.
        """
        cursor = await self._connection.execute(
            """
            update accounts
               set silence = %(silence)s,
                   state = case when state = 'paused' then state else %(state)s end,
                   reason = case when state = 'paused' then reason else %(silence)s end
             where name = %(name)s
               and silence is not distinct from %(counts_as)s
               and heard_at is not distinct from %(heard_at)s
            """,
            {
                "name": name,
                "state": "silent" if silence else "ok",
                "silence": silence,
                "counts_as": watched.counts_as,
                "heard_at": watched.channel.heard_at,
            },
        )
        return cursor.rowcount == 1
