"""How the lane to each endpoint is doing, from its latest tries: a look that is always quick."""

from typing import Final

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.views.reading import Json, reading

# Counted no further: beyond it a page says "1000+".
COUNTED_MAX: Final = 1000

# Tries that are looked at, of all endpoints together, the newest first and none older than a day.
TRIES_MAX: Final = 2000

# Of what was written before `failed` was, the status says. As the index attempts_failed has it.
IS_FAILED: Final = "coalesce(failed, status_code is null or status_code not between 200 and 299)"

LATEST: Final = f"""
    with latest as materialized (
        select endpoint, duration_ms, {IS_FAILED} as is_failed
          from (select * from attempts where at > now() - interval '24 hours'
                 order by at desc limit %(tries)s) as tried,
               lateral (select endpoint from deliveries
                         where (id, notified_at) = (delivery_id, tried.notified_at)
                         limit 1) as delivered
    )
"""  # noqa: S608 - constants

_LANES: Final = f"""
    {LATEST}
    select name, kind, configured, state, reason, last_success_at, backlog, tries, failed, p95_ms,
           (select created_at from deliveries
             where endpoint = name and state = 'waiting' order by id limit 1) as oldest_at
      from endpoints,
           lateral (select count(*) as backlog
                      from (select from deliveries
                             where endpoint = name and closed_at is null and state = 'waiting'
                             limit %(most)s) as bounded) as waiting,
           lateral (select count(*) as tries, count(*) filter (where is_failed) as failed,
                           percentile_disc(0.95) within group (order by duration_ms) as p95_ms
                      from latest where endpoint = name) as lately
     order by name
"""  # noqa: S608 - constants


async def list_lanes(pool: Pool) -> list[Json]:
    """Return the lanes by name. backlog ends at COUNTED_MAX; p95_ms is null without a try."""
    async with reading(pool) as cursor:
        await cursor.execute(_LANES, {"tries": TRIES_MAX, "most": COUNTED_MAX})
        return [_show(row) for row in await cursor.fetchall()]


def _show(row: Json) -> Json:
    times = ("last_success_at", "oldest_at")
    return {**row, **{name: time_text(row[name]) for name in times}}
