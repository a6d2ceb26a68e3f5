"""What webhooks claimed of requests lately: it proves nothing, but makes us look again."""

from collections.abc import Iterable
from typing import Any, Final

from psycopg import AsyncConnection

from service.domain.request import Key, Kind

# For how long a claim counts: longer than the last repeat of a read is away, which is 335 s.
# Source: STATUSES.md, section 3, rule 10.
CLAIM_SECONDS: Final = 600.0


class Claims:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def highest(self, keys: Iterable[Key]) -> dict[Key, int]:
        """Return the highest rank that events about each request, or a part of it, spoke of.

        Requests of which nothing was claimed lately are left out. What its provider made before
        yesterday claims nothing, however late it came: no replica lags that far behind.

        Each id is looked up by itself, by what only its own index has: joined, or looked up by
        account and time, a plan made while there are few events goes on to read all of the last
        minutes for every batch.
        """
        listed = list(keys)
        if not listed:
            return {}
        cursor = await self._connection.execute(
            """
            select k.account, k.kind, k.provider_id, claimed.highest
              from unnest(%(accounts)b::text[], %(kinds)b::text[], %(ids)b::text[])
                   as k (account, kind, provider_id)
              join requests as r using (account, kind, provider_id)
             cross join lateral (
                   select max(of_one.claims) as highest
                     from (select r.provider_id
                            union
                           select related.provider_id from related where request_id = r.id
                          ) as named
                    cross join lateral (
                          select max(claims) filter (
                                     where account = k.account
                                       and received_at > now() - make_interval(secs => %(seconds)s)
                                 ) as claims
                            from events
                           where events.provider_id = named.provider_id
                             and day between current_date - 1 and current_date + 1
                             and week_of(day) = any(array[week_of(current_date - 1),
                                                          week_of(current_date + 1)])
                       ) as of_one
                   ) as claimed
             where claimed.highest is not null
            """,
            {
                "accounts": [key.account for key in listed],
                "kinds": [str(key.kind) for key in listed],
                "ids": [key.provider_id for key in listed],
                "seconds": CLAIM_SECONDS,
            },
        )
        return {
            Key(account, Kind(kind), provider_id): rank
            for account, kind, provider_id, rank in await cursor.fetchall()
        }
