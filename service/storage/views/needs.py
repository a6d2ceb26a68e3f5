"""What needs a person's attention, and how far behind the work is: the console's first page.

Each answer comes from an index and stops counting at a bound, however much there is.
"""

from dataclasses import dataclass
from typing import Final, LiteralString

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.views.lanes import COUNTED_MAX, list_lanes
from service.storage.views.reading import Json, reading_indexes

_SET_ASIDE: Final = """
    select account, parked, count(*) as found
      from (select account, parked from due
             where parked is not null and parked <> 'part_of_another' limit %(most)s) as bounded
     group by account, parked order by found desc, account, parked
"""

_ATTENTION: Final = """
    select 'requests' as what, code, count(*) as found
      from (select attention from requests where attention <> '{}' limit %(most)s) as bounded,
           unnest(attention) as code
     group by code
     union all
    select 'orders', code, count(*)
      from (select attention from orders where attention <> '{}' limit %(most)s) as bounded,
           unnest(attention) as code
     group by code
     order by found desc, what, code
"""

_DEAD: Final = """
    select endpoint, count(*) as found
      from (select endpoint from deliveries where state = 'dead' limit %(most)s) as bounded
     group by endpoint order by found desc, endpoint
"""

_ACCOUNTS: Final = """
    select name, state, reason, last_read_at,
           (select max(received_at) from events
             where events.account = name
               and day >= coalesce(heard_at, '-infinity')::date - 36) as last_event_at
      from accounts order by name
"""

_DRIFT: Final = """
    select name as account, newest.id::text as id, finished_at, drift
      from accounts,
           lateral (select id, finished_at, drift from reconciles
                     where account = name and finished_at is not null
                     order by finished_at desc limit 1) as newest
     where exists (select from jsonb_each_text(drift) as each (word, found)
                    where found::int > 0)
     order by name
"""

_LATE: Final = """
    select account, count(*) as found, min(due_at) as oldest_at
      from unnest('{0,1,2}'::smallint[]) as of_urgency (urgency),
           lateral (select account, due_at from due
                     where due.urgency = of_urgency.urgency and due_at <= now()
                       and leased_until <= now() and not_before <= now() and parked is null
                     order by due_at limit %(most)s) as bounded
     group by account order by oldest_at
"""


@dataclass(frozen=True, slots=True)
class Needs:
    """What asks for a person, and the ages of what waits. Counts end at COUNTED_MAX."""

    set_aside: list[Json]
    attention: list[Json]
    dead: list[Json]
    lanes: list[Json]
    accounts: list[Json]
    drift: list[Json]
    late: list[Json]

    @property
    def held(self) -> list[Json]:
        """Return the endpoints to which nothing goes as it should."""
        return [lane for lane in self.lanes if lane["state"] != "open"]

    @property
    def stopped(self) -> list[Json]:
        """Return the accounts that are paused or silent."""
        return [account for account in self.accounts if account["state"] != "ok"]

    @property
    def is_quiet(self) -> bool:
        found = (self.set_aside, self.attention, self.dead, self.held, self.stopped, self.drift)
        return not any(found)


async def read_needs(pool: Pool) -> Needs:
    """Return what needs attention now. Raises Unavailable."""

    async def rows(query: LiteralString) -> list[Json]:
        await cursor.execute(query, {"most": COUNTED_MAX})
        return [_show(row) for row in await cursor.fetchall()]

    lanes = await list_lanes(pool)
    async with reading_indexes(pool) as cursor:
        return Needs(
            set_aside=await rows(_SET_ASIDE),
            attention=await rows(_ATTENTION),
            dead=await rows(_DEAD),
            lanes=lanes,
            accounts=await rows(_ACCOUNTS),
            drift=await rows(_DRIFT),
            late=await rows(_LATE),
        )


def _show(row: Json) -> Json:
    return {
        name: time_text(value) if name.endswith("_at") else value for name, value in row.items()
    }
