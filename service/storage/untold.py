"""What an endpoint never got, and the message that tells it so.

A dead letter steps aside and a superseded delivery is skipped. The next delivery of the same
request or order to that endpoint lists their sequences, fixed at its first claim; once it has
arrived they count as told. Source: CONTRACT.md, section 5.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection


async def supersede(connection: AsyncConnection[Any], endpoint: str) -> int:
    """Close all that waits for an endpoint but the newest of each request and order.

    What is under way is left alone. Return how many were skipped. It looks at everything that
    waits there: about 10 ms for 10,000 deliveries.
    """
    cursor = await connection.execute(
        """
        with newest as materialized (
            select subject_id, max(sequence) as sequence from deliveries_waiting
             where endpoint = %(endpoint)s and state = 'waiting'
             group by subject_id having count(*) > 1
        ), skipped as materialized (
            select d.id from deliveries_waiting as d join newest using (subject_id)
             where d.endpoint = %(endpoint)s and d.state = 'waiting'
               and d.sequence < newest.sequence and d.leased_until <= now()
             order by d.id for update of d
        )
        update deliveries as d set state = 'superseded', closed_at = now()
          from skipped where d.id = skipped.id and d.state = 'waiting'
        """,
        {"endpoint": endpoint},
    )
    return cursor.rowcount


async def list_untold(
    connection: AsyncConnection[Any], delivery_ids: Sequence[str]
) -> dict[str, dict[str, list[int]]]:
    """Fix what deliveries list; return the dead and the superseded sequences of each that does."""
    cursor = await connection.execute(
        """
        update deliveries_waiting as d set dead = missing.dead, superseded = missing.superseded
          from (select mine.id,
                       coalesce(array_agg(other.sequence order by other.sequence)
                                filter (where other.state = 'dead'), '{}') as dead,
                       coalesce(array_agg(other.sequence order by other.sequence)
                                filter (where other.state = 'superseded'), '{}') as superseded
                  from deliveries_waiting as mine
                  join deliveries_closed as other using (endpoint, subject_id)
                 where mine.id = any(%b) and other.sequence < mine.sequence
                   and other.state in ('dead', 'superseded') and not other.is_told
                 group by mine.id) as missing
         where d.id = missing.id
        returning d.id, d.dead, d.superseded
        """,
        [list(delivery_ids)],
    )
    return {
        id_: {"dead": dead, "superseded": superseded}
        for id_, dead, superseded in await cursor.fetchall()
    }


async def mark_told(connection: AsyncConnection[Any], delivery_ids: Sequence[str]) -> None:
    """Note that what these deliveries list need not be listed again: they have arrived."""
    await connection.execute(
        """
        update deliveries_closed as other set is_told = true
          from deliveries_closed as mine
         where mine.id = any(%b) and mine.state = 'delivered'
           and (other.endpoint, other.subject_id) = (mine.endpoint, mine.subject_id)
           and other.state in ('dead', 'superseded') and not other.is_told
           and other.sequence = any(mine.dead || mine.superseded)
        """,
        [list(delivery_ids)],
    )
