"""How each endpoint is doing."""

from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.views.reading import Json, reading

# delivered_24h counts deliveries, failed_24h attempts: one delivery may fail many times.
_ENDPOINTS = """
    select name, kind, configured, state, reason, backlog, oldest_at, delivered_24h,
           failed_24h, p95_ms
      from endpoints,
           lateral (select count(*) as backlog, min(created_at) as oldest_at
                      from deliveries where endpoint = name and state = 'waiting') as waiting,
           lateral (select count(*) as delivered_24h
                      from deliveries
                     where endpoint = name and state = 'delivered'
                       and closed_at > now() - interval '24 hours') as delivered,
           lateral (select count(*) filter (
                               where status_code is null or status_code not between 200 and 299
                           ) as failed_24h,
                           percentile_disc(0.95) within group (order by duration_ms) as p95_ms
                      from attempts
                      join deliveries on (deliveries.id, deliveries.notified_at)
                                         = (delivery_id, attempts.notified_at)
                     where endpoint = name and at > now() - interval '24 hours') as tried
     where %(name)s::text is null or name = %(name)s
     order by name
"""


async def find_endpoint(pool: Pool, name: str) -> Json | None:
    """Return the health of one endpoint, or None."""
    found = await _read(pool, name)
    return found[0] if found else None


async def list_endpoints(pool: Pool) -> list[Json]:
    """Return the health of all endpoints, by name; p95_ms is null without an attempt in 24 h."""
    return await _read(pool, None)


async def _read(pool: Pool, name: str | None) -> list[Json]:
    async with reading(pool) as cursor:
        await cursor.execute(_ENDPOINTS, {"name": name})
        return [_show(row) for row in await cursor.fetchall()]


def _show(row: DictRow) -> Json:
    return {**row, "oldest_at": time_text(row["oldest_at"])}
