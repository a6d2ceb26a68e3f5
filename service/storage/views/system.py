"""What runs: worker processes, the database with its migrations, partitions of history."""

from dataclasses import dataclass
from typing import Final

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.views.reading import Json, reading
from service.storage.workers import STUCK_SECONDS

_WORKERS: Final = """
    select host, pid, started_at, seen_at, progressed_at,
           seen_at < now() - make_interval(secs => %(stuck)s) as is_gone
      from workers order by host, pid
"""

_DATABASE: Final = """
    select current_setting('server_version') as version,
           pg_database_size(current_database()) as bytes,
           (select name from migrations order by number desc limit 1) as migration
"""

# bytes includes the indexes; a default partition that fills means that nobody makes new ones.
_PARTITIONS: Final = """
    select parent.relname as parent, count(*) as partitions, min(leaf.relname) as first,
           max(leaf.relname) filter (where leaf.relname not like '%%default') as last,
           sum(pg_total_relation_size(leaf.oid))::bigint as bytes,
           coalesce(sum(leaf.reltuples) filter (
               where leaf.relname like '%%default' and leaf.reltuples > 0), 0)::bigint as unsorted
      from pg_inherits
      join pg_class as parent on parent.oid = inhparent
      join pg_class as leaf on leaf.oid = inhrelid
     where parent.relkind = 'p' and leaf.relkind = 'r'
       and parent.relnamespace = 'public'::regnamespace
     group by parent.relname order by parent.relname
"""


@dataclass(frozen=True, slots=True)
class System:
    """The worker processes with their signs of life, the database, its partitioned tables."""

    workers: list[Json]
    database: Json
    partitions: list[Json]


async def read_system(pool: Pool) -> System:
    """Return what runs now. Raises Unavailable."""
    async with reading(pool) as cursor:
        await cursor.execute(_WORKERS, {"stuck": STUCK_SECONDS})
        workers = [_show(row) for row in await cursor.fetchall()]
        await cursor.execute(_DATABASE)
        database = await cursor.fetchone()
        assert database is not None, "a select without a table has one row"
        await cursor.execute(_PARTITIONS)
        return System(workers, database, await cursor.fetchall())


def _show(row: Json) -> Json:
    return {
        name: time_text(value) if name.endswith("_at") else value for name, value in row.items()
    }
