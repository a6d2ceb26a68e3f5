"""An account's payment links that may still be paid, read on suspicion."""

from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

# How often links are read because orders turn up that nobody knows. Source: LAYOUT.md, "From
# webhook to notification", the rules of the table.
SUSPICION_SECONDS = 60.0


class Links:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def is_any_open(self, account: str) -> bool:
        """Return whether an account has a link that may still be paid."""
        cursor = await self._connection.execute(
            """
            select exists (select from requests
                            where account = %s and kind = 'payment_link' and not final)
            """,
            [account],
        )
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def suspect(self, account: str, *, again: bool) -> int:
        """Make an account's open links due; return how many were not due soon enough already.

        They are due now, or 60 s after the last time, by all workers together. While that time is
        still to come, only again makes sure that all links are due then: some may have been read
        for another reason, or be new. A link that is parked is left alone, and none overtakes what
        a webhook told. Run it in a transaction of its own: accounts are not part of the lock order.
        """
        at = await self._next_turn(account, again=again)
        if at is None:
            return 0
        cursor = await self._connection.execute(
            """
            with late as materialized (
                select due.account, due.kind, due.provider_id
                  from requests join due using (account, kind, provider_id)
                 where requests.account = %(account)s and requests.kind = 'payment_link'
                   and not requests.final and due.parked is null
                   and (due_at > %(at)s or (leased_until > now() and %(at)s = now()))
                 order by due.account, due.kind, due.provider_id for update of due
            )
            update due
               set wanted = due.wanted + 1,
                   due_at = least(due_at, greatest(%(at)s, not_before)),
                   observed_by = case when observed_by = 'webhook' then observed_by
                                      else 'sweep' end
              from late
             where (due.account, due.kind, due.provider_id)
                   = (late.account, late.kind, late.provider_id)
            """,
            {"account": account, "at": at},
        )
        return cursor.rowcount

    async def _next_turn(self, account: str, *, again: bool) -> datetime | None:
        """Take the next turn; return when it is. None when another one took it and not again."""
        cursor = await self._connection.execute(
            """
            update accounts
               set links_due_at = greatest(now(), links_due_at + make_interval(secs => %s))
             where name = %s and links_due_at <= now()
            returning links_due_at
            """,
            [SUSPICION_SECONDS, account],
        )
        row = await cursor.fetchone()
        if row is None and again:
            cursor = await self._connection.execute(
                "select links_due_at from accounts where name = %s", [account]
            )
            row = await cursor.fetchone()
        return row[0] if row else None
