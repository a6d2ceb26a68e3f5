"""How the whole service stands at one moment, for whoever asks whether all is well."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import sql

from service.storage.database import DURABLE, Pool
from service.storage.views.reading import Json, reading
from service.storage.workers import STUCK_SECONDS


@dataclass(frozen=True, slots=True)
class Server:
    """What PostgreSQL says of itself; settings are those of DURABLE, now is its clock."""

    version: str
    settings: Mapping[str, str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """Work that could be done now: how much, and how long the oldest has been due."""

    count: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What runs, what waits, and what waits for a person.

    workers have shown a sign of life lately; connected counts sessions by role, and is 0 for a
    role of which no process runs. Counts of attention are by code; a dead letter is untold until
    a later message that arrived listed it. strayed names default partitions that hold rows.
    """

    workers: int
    connected: Mapping[str, int]
    due: Waiting
    deliveries: Waiting
    parked: int
    requests_attention: Mapping[str, int]
    orders_attention: Mapping[str, int]
    dead: int
    dead_untold: int
    delivered_at: datetime | None
    strayed: tuple[str, ...]


_SERVER: Final = """
    select current_setting('server_version') as version, clock_timestamp() as now,
           (select jsonb_object_agg(name, current_setting(name))
              from unnest(%(names)s::text[]) as asked (name)) as settings
"""

_RUNNING: Final = """
    select (select count(*) from workers
             where seen_at > now() - make_interval(secs => %(stuck)s)) as workers,
           (select coalesce(jsonb_object_agg(role, sessions), '{}')
              from (select substr(application_name, 9) as role, count(*) as sessions
                      from pg_stat_activity
                     where datname = current_database()
                       and application_name in ('settled web', 'settled worker', 'settled beat')
                     group by role) as counted) as connected
"""

# What an account that is paused, or a lane that is not open, keeps is not late: it is held.
_WAITING: Final = """
    select count(*) as due, coalesce(extract(epoch from now() - min(due_at)), 0)::float8
               as due_seconds,
           (select count(*) from deliveries where state = 'waiting') as deliveries,
           (select coalesce(extract(epoch from now() - min(due_at)), 0)::float8
              from deliveries join endpoints on endpoints.name = endpoint
             where deliveries.state = 'waiting' and endpoints.state = 'open'
               and due_at <= now() and leased_until <= now()) as deliveries_seconds
      from due join accounts on accounts.name = account
     where urgency in (0, 1, 2) and due_at <= now() and leased_until <= now()
       and not_before <= now() and parked is null and accounts.state <> 'paused'
"""

_ASIDE: Final = """
    select (select count(*) from due
             where parked is not null and parked <> 'part_of_another') as parked,
           (select coalesce(jsonb_object_agg(code, subjects), '{}')
              from (select code, count(*) as subjects from requests, unnest(attention) as code
                     where attention <> '{}' group by code) as counted) as requests,
           (select coalesce(jsonb_object_agg(code, subjects), '{}')
              from (select code, count(*) as subjects from orders, unnest(attention) as code
                     where attention <> '{}' group by code) as counted) as orders,
           (select count(*) from deliveries where state = 'dead') as dead,
           (select count(*) from deliveries where state = 'dead' and not is_told) as untold,
           (select at from attempts
              join deliveries on (deliveries.id, deliveries.notified_at)
                                 = (delivery_id, attempts.notified_at)
             where state = 'delivered' order by at desc limit 1) as delivered_at
"""

_DEFAULTS: Final = """
    select relname as name
      from pg_partitioned_table join pg_class on pg_class.oid = partdefid
     where relnamespace = current_schema()::regnamespace
     order by relname
"""


async def read_server(pool: Pool) -> Server:
    """Ask PostgreSQL for its settings and its clock. Raises Unavailable."""
    async with reading(pool) as cursor:
        await cursor.execute(_SERVER, {"names": list(DURABLE)})
        row = await cursor.fetchone()
    assert row is not None, "a select without a table has one row"
    return Server(row["version"], row["settings"], row["now"])


async def read_standing(pool: Pool) -> Standing:
    """Return how the service stands, of a database that is migrated. Raises Unavailable."""
    async with reading(pool) as cursor:
        found: Json = {}
        for query in (_RUNNING, _WAITING, _ASIDE):
            await cursor.execute(query, {"stuck": STUCK_SECONDS})
            found |= await cursor.fetchone() or {}
        await cursor.execute(_DEFAULTS)
        names = [row["name"] for row in await cursor.fetchall()]
        strayed = []
        for name in names:
            await cursor.execute(sql.SQL("select from {} limit 1").format(sql.Identifier(name)))
            if cursor.rowcount:
                strayed.append(name)
    return Standing(
        workers=found["workers"],
        connected={role: found["connected"].get(role, 0) for role in ("web", "worker", "beat")},
        due=Waiting(found["due"], found["due_seconds"]),
        deliveries=Waiting(found["deliveries"], found["deliveries_seconds"]),
        parked=found["parked"],
        requests_attention=found["requests"],
        orders_attention=found["orders"],
        dead=found["dead"],
        dead_untold=found["untold"],
        delivered_at=found["delivered_at"],
        strayed=tuple(strayed),
    )
