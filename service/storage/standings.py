"""Standings: how the rows of what is due stand, for who only looks and claims none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from service.domain.request import Key, Kind


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request's row of what is due stands.

    is_pending: a look was asked for, or is under way, that has not brought its answer.
    """

    lease_no: int
    wanted: int
    done: int
    is_pending: bool
    errors: int
    parked: str | None

    @property
    def reads(self) -> tuple[int, int]:
        """What changes whenever a read begins, and when one has brought its answer."""
        return (self.lease_no, self.done)


async def standings_of(
    connection: AsyncConnection[Any], keys: Sequence[Key]
) -> dict[Key, Standing]:
    """Return how the rows of what is due stand, of those keys that have one.

    A read that a webhook caused and that found nothing new is pending until it was repeated.
    """
    cursor = await connection.execute(
        """
        select account, kind, provider_id, lease_no, wanted, done,
               wanted > done or leased_until > now() or observed_by <> 'poll', errors, parked
          from due join unnest(%b::text[], %b::text[], %b::text[])
                        as k (account, kind, provider_id) using (account, kind, provider_id)
        """,
        [
            [key.account for key in keys],
            [str(key.kind) for key in keys],
            [key.provider_id for key in keys],
        ],
    )
    return {
        Key(account, Kind(kind), name): Standing(*standing)
        for account, kind, name, *standing in await cursor.fetchall()
    }
