"""How many requests are at each status, counted up to a bound."""

from collections.abc import Mapping
from typing import Final

from service.domain.status import Status
from service.storage.database import Pool
from service.storage.views.lanes import COUNTED_MAX
from service.storage.views.reading import reading_indexes

_COUNTS: Final = """
    select chosen.status, found
      from unnest(%(statuses)s::text[]) as chosen (status),
           lateral (select count(*) as found
                      from (select from requests where requests.status = chosen.status
                             limit %(most)s) as bounded) as counted
"""


async def count_by_status(pool: Pool) -> Mapping[Status, int]:
    """Return how many requests are at each status; COUNTED_MAX means as many or more."""
    values = {"statuses": [str(status) for status in Status], "most": COUNTED_MAX}
    async with reading_indexes(pool) as cursor:
        await cursor.execute(_COUNTS, values)
        return {Status(row["status"]): row["found"] for row in await cursor.fetchall()}
