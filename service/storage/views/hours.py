"""What happened in each of the last 24 hours, for the console's charts.

Each hour is counted in an index and no further than a bound, so that a busy day costs no more.
"""

from collections.abc import Mapping
from typing import Final, LiteralString

from service.storage.database import Pool
from service.storage.views.lanes import IS_FAILED
from service.storage.views.reading import Json, reading_indexes

HOURS: Final = 24

# Counted no further in one hour of one account or endpoint: beyond it a page says "5000+".
HOUR_COUNTED_MAX: Final = 5000

# Failed attempts are looked at no further: each has to be led back to its endpoint.
FAILURES_MAX: Final = 2000

# Whole hours, the last one being the one under way.
_HOURS: Final = """
    with hours as (
        select begins, begins + interval '1 hour' as ends
          from generate_series(date_bin('1 hour', now(), 'epoch') - interval '23 hours',
                               date_bin('1 hour', now(), 'epoch'), interval '1 hour')
               as each (begins)
    )
"""

_WEBHOOKS: Final = """
    select begins, sum(found)::bigint as found
      from hours left join unnest(%(accounts)s::text[]) as chosen (name) on true,
           lateral (select count(*) as found
                      from (select from events
                             where account = name
                               and received_at >= begins and received_at < ends
                             limit %(most)s) as bounded) as counted
     group by begins order by begins
"""

_CHANGES: Final = """
    select begins, found
      from hours,
           lateral (select count(*) as found
                      from (select from transitions
                             where recorded_at >= begins and recorded_at < ends
                             limit %(most)s) as bounded) as counted
     order by begins
"""

_CLOSED: Final = """
    select begins, sum(delivered)::bigint as delivered, sum(dead)::bigint as dead
      from hours
           left join endpoints on %(endpoint)s::text is null or name = %(endpoint)s,
           lateral (select count(*) filter (where state = 'delivered') as delivered,
                           count(*) filter (where state = 'dead') as dead
                      from (select state from deliveries
                             where endpoint = name and state in ('delivered', 'dead')
                               and closed_at >= begins and closed_at < ends
                             limit %(most)s) as bounded) as counted
     group by begins order by begins
"""

_FAILURES: Final = f"""
    select begins, found
      from hours,
           lateral (select count(*) as found
                      from (select from attempts
                             where {IS_FAILED} and at >= begins and at < ends
                             limit %(most)s) as bounded) as counted
     order by begins
"""  # noqa: S608 - put together from a constant

_FAILURES_AT: Final = f"""
    , failures as materialized (
        select at from (select at, delivery_id, notified_at from attempts
                         where {IS_FAILED} and at >= (select min(begins) from hours)
                         order by at desc limit %(failures)s) as failed,
               lateral (select endpoint from deliveries
                         where (id, deliveries.notified_at)
                               = (delivery_id, failed.notified_at)
                         limit 1) as delivery
         where endpoint = %(endpoint)s
    )
    select begins, count(at) as found
      from hours left join failures on at >= begins and at < ends
     group by begins order by begins
"""  # noqa: S608 - put together from a constant


async def hours_of_all(pool: Pool) -> Mapping[str, list[int]]:
    """Return what each of the last 24 hours saw, oldest first, over all accounts and endpoints.

    webhooks received, changes recorded, notifications delivered, attempts that failed, and
    deliveries that became dead letters. Raises Unavailable.
    """
    return await _read(
        pool,
        {"webhooks": _WEBHOOKS, "changes": _CHANGES, "delivered": _CLOSED, "failed": _FAILURES},
    )


async def hours_of_endpoint(pool: Pool, name: str) -> Mapping[str, list[int]]:
    """Return what each hour saw delivered to an endpoint, becoming dead, and failing.

    Of failures the newest FAILURES_MAX to all endpoints are looked at. Raises Unavailable.
    """
    return await _read(pool, {"delivered": _CLOSED, "failed": _FAILURES_AT}, endpoint=name)


async def hours_of_account(pool: Pool, name: str) -> Mapping[str, list[int]]:
    """Return how many webhooks of an account each hour saw. Raises Unavailable."""
    return await _read(pool, {"webhooks": _WEBHOOKS}, account=name)


async def _read(
    pool: Pool,
    questions: Mapping[str, LiteralString],
    *,
    endpoint: str | None = None,
    account: str | None = None,
) -> Mapping[str, list[int]]:
    """Ask each question; a row's column found is told under the name of its question."""
    counts: dict[str, list[int]] = {}
    async with reading_indexes(pool) as cursor:
        await cursor.execute("select name from accounts")
        names = [row["name"] for row in await cursor.fetchall()] if account is None else [account]
        values = {
            "accounts": names,
            "endpoint": endpoint,
            "most": HOUR_COUNTED_MAX,
            "failures": FAILURES_MAX,
        }
        for question, query in questions.items():
            await cursor.execute(_HOURS + query, values)
            for row in await cursor.fetchall():
                _tell(counts, question, row)
    return counts


def _tell(counts: dict[str, list[int]], question: str, row: Json) -> None:
    for column, number in row.items():
        if column != "begins":
            counts.setdefault(question if column == "found" else column, []).append(number)
