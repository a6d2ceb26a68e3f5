"""How times and ages spread, for the console's histograms: answers of endpoints, what waits."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from service.storage.database import Pool
from service.storage.identifiers import first_id
from service.storage.views.lanes import COUNTED_MAX, TRIES_MAX
from service.storage.views.reading import reading, reading_indexes

# Where the bars of a histogram of answer times begin, in ms. The default time-out is 15 s.
ANSWER_EDGES_MS: Final = (0, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)

# Where the bars of a histogram of ages begin. Source: the retry schedule, CONTRACT.md, section 5.
AGE_EDGES: Final = (
    timedelta(0), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30),
    timedelta(hours=2), timedelta(hours=10), timedelta(days=1), timedelta(days=3),
)  # fmt: skip

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_ANSWERS: Final = """
    with answers as materialized (
        select duration_ms
          from (select * from attempts where at > now() - interval '24 hours'
                 order by at desc limit %(tries)s) as tried,
               lateral (select endpoint from deliveries
                         where (id, notified_at) = (delivery_id, tried.notified_at)
                         limit 1) as delivery
         where endpoint = %(endpoint)s
    )
    select (select percentile_disc(0.5) within group (order by duration_ms) from answers) as p50,
           (select percentile_disc(0.95) within group (order by duration_ms) from answers) as p95,
           (select array_agg(found order by bar)
              from (select bar, count(duration_ms) as found
                      from generate_series(1, %(bars)s) as bar
                      left join answers on width_bucket(duration_ms, %(edges)s::int[]) = bar
                     group by bar) as counted) as found
"""

_WAITING: Final = """
    select found
      from unnest(%(first)s::text[], %(last)s::text[]) with ordinality as age (first, last, bar),
           lateral (select count(*) as found
                      from (select from deliveries
                             where state = 'waiting' and id >= first and id < last
                             limit %(most)s) as bounded) as counted
     order by bar
"""

_GRANTS: Final = """
    select extract(epoch from now() - at)::float8 as age_seconds, calls
      from budgets, unnest(granted_at, granted_calls) as granted (at, calls)
     where credential = %(credential)s and share = 'all'
       and at > now() - make_interval(secs => %(seconds)s)
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """How long answers took: how many in each bar of ANSWER_EDGES_MS; None without one."""

    found: list[int]
    p50_ms: int | None
    p95_ms: int | None


async def spread_of_answers(pool: Pool, endpoint: str) -> Answers:
    """Return the answer times of an endpoint, of the latest TRIES_MAX to all endpoints."""
    values = {
        "endpoint": endpoint,
        "tries": TRIES_MAX,
        "edges": list(ANSWER_EDGES_MS),
        "bars": len(ANSWER_EDGES_MS),
    }
    async with reading(pool) as cursor:
        await cursor.execute(_ANSWERS, values)
        row = await cursor.fetchone()
    assert row is not None, "a select without a table has one row"
    return Answers(row["found"], row["p50"], row["p95"])


async def spread_of_waiting(pool: Pool, *, now: datetime) -> list[int]:
    """Return how many deliveries wait in each bar of AGE_EDGES, each up to COUNTED_MAX.

    By the time in their ids, which is when they were made.
    """
    # Another machine's clock may be ahead of ours.
    times = [now + timedelta(hours=1), *(now - edge for edge in AGE_EDGES[1:]), _EPOCH]
    bounds = [first_id("dlv", at) for at in times]
    values = {"first": bounds[1:], "last": bounds[:-1], "most": COUNTED_MAX}
    async with reading_indexes(pool) as cursor:
        await cursor.execute(_WAITING, values)
        return [row["found"] for row in await cursor.fetchall()]


async def spread_of_calls(pool: Pool, credential: str, *, seconds: float, slices: int) -> list[int]:
    """Return how many calls were granted to a credential in each slice of its window.

    The window are the last seconds, the oldest slice first.
    """
    async with reading(pool) as cursor:
        await cursor.execute(_GRANTS, {"credential": credential, "seconds": seconds})
        rows = await cursor.fetchall()
    return _sliced(
        ((row["age_seconds"], row["calls"]) for row in rows), seconds=seconds, slices=slices
    )


def _sliced(grants: Iterable[tuple[float, int]], *, seconds: float, slices: int) -> list[int]:
    counts = [0] * slices
    for age_seconds, calls in grants:
        place = slices - 1 - int(age_seconds / seconds * slices)
        counts[min(max(place, 0), slices - 1)] += calls
    return counts
