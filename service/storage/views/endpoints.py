"""How each endpoint is doing."""

from typing import Final

from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.views.lanes import IS_FAILED, LATEST, TRIES_MAX
from service.storage.views.reading import Json, reading

# Deliveries whose tries say how quick an endpoint is that is not among the latest of all.
ARRIVED_MAX: Final = 200

# delivered_24h counts deliveries, failed_24h attempts: one delivery may fail many times.
_ENDPOINTS: Final = f"""
    {LATEST},
    failures as materialized (
        select endpoint, count(*) as failed_24h
          from (select delivery_id, notified_at from attempts
                 where at > now() - interval '24 hours' and {IS_FAILED}) as tried,
               lateral (select endpoint from deliveries
                         where (id, notified_at) = (delivery_id, tried.notified_at)
                         limit 1) as delivered
         group by endpoint
    )
    select name, kind, configured, state, reason,
           (select count(*) from deliveries
             where endpoint = name and closed_at is null and state = 'waiting') as backlog,
           (select created_at from deliveries
             where endpoint = name and state = 'waiting' order by id limit 1) as oldest_at,
           (select count(*) from deliveries
             where endpoint = name and state = 'delivered'
               and closed_at > now() - interval '24 hours') as delivered_24h,
           coalesce((select failed_24h from failures where endpoint = name), 0) as failed_24h,
           coalesce((select percentile_disc(0.95) within group (order by duration_ms)
                       from latest where endpoint = name),
                    (select percentile_disc(0.95) within group (order by duration_ms)
                       from (select id, notified_at from deliveries
                              where endpoint = name and state = 'delivered'
                                and closed_at > now() - interval '24 hours'
                              order by closed_at desc limit %(arrived)s) as arrived
                       join attempts on (delivery_id, attempts.notified_at)
                                        = (arrived.id, arrived.notified_at))) as p95_ms
      from endpoints
     where %(name)s::text is null or name = %(name)s
     order by name
"""  # noqa: S608 - constants


async def find_endpoint(pool: Pool, name: str) -> Json | None:
    """Return the health of one endpoint, or None."""
    found = await _read(pool, name)
    return found[0] if found else None


async def list_endpoints(pool: Pool) -> list[Json]:
    """Return the health of all endpoints, by name.

    p95_ms is that of its tries among the latest of all endpoints, else of its latest arrivals;
    null without any in 24 h.
    """
    return await _read(pool, None)


async def _read(pool: Pool, name: str | None) -> list[Json]:
    values = {"name": name, "tries": TRIES_MAX, "arrived": ARRIVED_MAX}
    async with reading(pool) as cursor:
        await cursor.execute(_ENDPOINTS, values)
        return [_show(row) for row in await cursor.fetchall()]


def _show(row: DictRow) -> Json:
    return {**row, "oldest_at": time_text(row["oldest_at"])}
