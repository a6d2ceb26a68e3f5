"""How each account is doing, and how much of its time has been looked through."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.domain.request import ObservedBy
from service.settings import Rate
from service.storage.database import Pool
from service.storage.views.reading import Json, reading

# How many sweep windows an account shows: four hours of them at the default pace of PT5M.
WINDOWS_SHOWN = 48

# How far back changes are counted: as far as a month-end closing looks.
CHANGES_COUNTED = timedelta(days=31)

# Complete up to the end of the newest finished window with no unfinished one before it.
COMPLETE_UP_TO = """
    (select max(until) from windows
      where windows.account = name and finished_at is not null
        and until <= coalesce((select min(open.until) from windows as open
                                where open.account = name and open.finished_at is null),
                              'infinity'))
"""

_ACCOUNTS = f"""
    select name, coalesce(state, 'ok') as state, reason, last_read_at,
           (select max(received_at) from events
             where events.account = name
               and day >= coalesce(heard_at, '-infinity')::date - 36) as last_event_at,
           {COMPLETE_UP_TO} as complete_up_to,
           (select count(*) from due where due.account = name
               and parked is not null and parked <> 'part_of_another') as parked,
           (select coalesce(sum(calls), 0)
              from budgets, unnest(granted_at, granted_calls) as granted (at, calls)
             where budgets.credential = chosen.credential and share = 'all'
               and granted.at > now() - make_interval(secs => window_seconds)) as used,
           planned * window_seconds as planned, possible * window_seconds as possible,
           coalesce(stretch, 1)::float8 as stretched
      from unnest(%(names)b::text[], %(credentials)b::text[], %(seconds)s::float8[])
           as chosen (name, credential, window_seconds)
      left join accounts using (name)
      left join poll_plans on poll_plans.account = name and next_at > '-infinity'
     order by name
"""  # noqa: S608 - put together from the constant above

_WINDOWS = """
    select name, since, until, started_at, finished_at, cursor, found, pages
      from unnest(%(names)b::text[]) as chosen (name),
           lateral (select * from windows where account = name
                     order by until desc, id desc limit %(limit)s) as shown
     order by name, until, id
"""

_CHANGES = """
    select account, observed_by, count(*) as found
      from transitions join requests on requests.id = subject_id
     where subject = 'request' and recorded_at > now() - %(counted)s::interval
       and account = any(%(names)s)
     group by account, observed_by
"""

_UNTOLD = """
    select account, count(*) as found
      from untold_changes
     where recorded_at > now() - %(counted)s::interval and account = any(%(names)s)
     group by account
"""

_COMPLETE = f"""
    select name, {COMPLETE_UP_TO} as complete_up_to
      from unnest(%(names)b::text[]) as chosen (name)
"""  # noqa: S608 - put together from the constant above


@dataclass(frozen=True, slots=True)
class Configured:
    """What only the configuration knows of an account.

    budget is the key of the call budget that it draws on, its own name where left empty.
    """

    name: str
    provider: str
    mode: str
    limit: Rate
    budget: str = ""


async def list_accounts(pool: Pool, configured: Iterable[Configured]) -> list[Json]:
    """Return the health of these accounts, by name.

    planned counts the calls that polls, sweeps and walks of the account's credential would make
    in one window of its limit as wished, possible those that their share of it carries; both are
    None before the first plan. stretched is by how much intervals are longer than wished.
    """
    known = {account.name: account for account in configured}
    values = {
        "names": list(known),
        "credentials": [account.budget or account.name for account in known.values()],
        "seconds": [account.limit.seconds for account in known.values()],
    }
    async with reading(pool) as cursor:
        await cursor.execute(_ACCOUNTS, values)
        rows = await cursor.fetchall()
    return [_show(row, known[row["name"]]) for row in rows]


async def list_coverage(pool: Pool, names: Iterable[str]) -> list[Json]:
    """Return the sweep windows of accounts, and what made us find their changes lately.

    A window without finished_at is still under way or failed half way; cursor is where it goes on.
    untold counts the changes that polls and sweeps found at accounts that send webhooks.
    """
    chosen = sorted(names)
    values = {"names": chosen, "limit": WINDOWS_SHOWN, "counted": CHANGES_COUNTED}
    coverage = {name: _nothing_covered(name) for name in chosen}
    async with reading(pool) as cursor:
        await cursor.execute(_COMPLETE, values)
        for row in await cursor.fetchall():
            coverage[row["name"]]["complete_up_to"] = time_text(row["complete_up_to"])
        await cursor.execute(_WINDOWS, values)
        for row in await cursor.fetchall():
            coverage[row["name"]]["windows"].append(_window(row))
        await cursor.execute(_CHANGES, values)
        for row in await cursor.fetchall():
            coverage[row["account"]]["changes"][row["observed_by"]] = row["found"]
        await cursor.execute(_UNTOLD, values)
        for row in await cursor.fetchall():
            coverage[row["account"]]["untold"] = row["found"]
    return list(coverage.values())


def _show(row: DictRow, account: Configured) -> Json:
    limit = account.limit
    return {
        "name": account.name,
        "provider": account.provider,
        "mode": account.mode,
        "state": row["state"],
        "reason": row["reason"],
        "last_event_at": time_text(row["last_event_at"]),
        "last_read_at": time_text(row["last_read_at"]),
        "budget": {
            "limit": limit.count,
            "seconds": limit.seconds,
            "used": row["used"],
            "planned": _rounded(row["planned"]),
            "possible": _rounded(row["possible"]),
        },
        "stretched": _rounded(row["stretched"]),
        "complete_up_to": time_text(row["complete_up_to"]),
        "parked": row["parked"],
    }


def _rounded(calls: float | None) -> float | None:
    return None if calls is None else round(calls, 2)


def _nothing_covered(name: str) -> Json:
    return {
        "account": name,
        "complete_up_to": None,
        "windows": [],
        "changes": {str(observed_by): 0 for observed_by in ObservedBy},
        "untold": 0,
    }


def _window(row: DictRow) -> Json:
    return {
        "from": time_text(row["since"]),
        "to": time_text(row["until"]),
        "started_at": time_text(row["started_at"]),
        "finished_at": time_text(row["finished_at"]),
        "cursor": row["cursor"],
        "found": row["found"],
        "pages": row["pages"],
    }
