"""A PostgreSQL whose data later runs find again, and the databases in it.

{folder}/postgres     its data: one database for each size, filled once
{folder}/marker.json  what it was filled with; another size fills it anew, a migration does not
"""

import asyncio
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg

from service import embedded
from service.errors import Misconfigured
from service.runtime import utc_now
from service.settings import Privacy
from service.storage.database import migrations, upgrade
from service.storage.partitions import SHELVES, keep_partitions
from service.storage.periods import Period
from tests.bench.grow import copies, mould
from tests.bench.grow.indexes import side_by_side
from tests.bench.report import say

# What a request takes with all that belongs to it, indexes and a tenth to spare included, as
# measured; the free space has to hold twice as much as is built.
BYTES_PER_REQUEST: Final = 9_500
SHARE_OF_DISK: Final = 0.5

# To be raised with every change of what is copied or how, so that folders are filled anew.
ROWS: Final = 2

MIDDLE, TOP = 1_000_000, 10_000_000
MARKER: Final = "marker.json"

EMPTY: Final = "grow_empty"


class Filling(embedded.Postgres):
    """The same server in haste: what a crash would lose is built again. Never measured."""

    SETTINGS = (
        *embedded.Postgres.SETTINGS,
        "fsync=off",
        "full_page_writes=off",
        "synchronous_commit=off",
        "wal_level=minimal",
        "max_wal_senders=0",
        "max_wal_size=8GB",
        "checkpoint_timeout=1h",
        "autovacuum=off",
        "shared_buffers=1GB",
        "maintenance_work_mem=1GB",
        "max_parallel_maintenance_workers=0",
        "max_parallel_workers_per_gather=0",
    )


@dataclass(frozen=True)
class Built:
    """What the folder holds: sizes in requests, largest last, and how long that took to build.

    rows is the ROWS and migrations the hashes of those that it was filled under. asked are the
    sizes it was to hold if the disk had had room. Without sizes it is not filled yet.
    """

    rows: int
    migrations: tuple[str, ...]
    asked: tuple[int, ...]
    sizes: tuple[int, ...]
    seconds: float


@contextmanager
def served(folder: Path, server_of: type[embedded.Postgres] = embedded.Postgres) -> Iterator[str]:
    """Run PostgreSQL on the folder for as long as the block lasts; gives its URL."""
    server = server_of(folder)
    with embedded.locked(folder), ExitStack() as cleanup:
        cleanup.callback(embedded.forget, folder)
        cleanup.callback(server.stop, embedded.start(server))
        yield server.url
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("checkpoint")  # so that it can stop in time


def database_of(size: int) -> str:
    return f"grow_{size}"


def url_of(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def fitting(sizes: Sequence[int], free_bytes: int) -> tuple[int, ...]:
    """Return the sizes that half of the free space holds; say when the largest has to be less."""
    room_bytes = int(free_bytes * SHARE_OF_DISK)
    room = room_bytes // BYTES_PER_REQUEST
    *smaller, top = sorted(sizes)
    if sum(sizes) <= room:
        return (*smaller, top)
    kept = [size for size in smaller if size * 3 <= room]
    fits = room - sum(kept)
    say(
        f"{sum(sizes):,} requests need {sum(sizes) * BYTES_PER_REQUEST / 1e9:,.0f} GB and may take"
        f" {room_bytes / 1e9:,.0f} GB, half of what is free: {fits:,} instead of {top:,}"
    )
    return (*kept, fits)


def sizes_up_to(requests: int) -> tuple[int, ...]:
    """Return the sizes to measure beside when the largest is so many requests."""
    return tuple(sorted({min(MIDDLE, requests), requests}))


def ensure(folder: Path, sizes: tuple[int, ...] | None) -> Built:
    """Return what the folder holds, filling it first where it was filled for something else.

    Of sizes None whatever it holds will do. Migrations that came later are applied to it. Raises
    Misconfigured if it holds data of others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = _found(folder)
    if found and _will_do(found, sizes):
        return found if found.migrations == _migrations() else _upgrade(folder, found)
    _clear(folder, is_ours=(folder / MARKER).exists())
    asked = sizes or sizes_up_to(TOP)
    wanted = fitting(asked, shutil.disk_usage(folder).free)
    began = monotonic()
    _mark(folder, Built(ROWS, _migrations(), asked, (), 0.0))
    _build(folder, wanted)
    built = Built(ROWS, _migrations(), asked, wanted, monotonic() - began)
    _mark(folder, built)
    return built


def _will_do(found: Built, sizes: tuple[int, ...] | None) -> bool:
    return (
        found.rows == ROWS
        and set(found.migrations) <= set(_migrations())
        and bool(found.sizes)
        and sizes in (None, found.asked)
    )


def _upgrade(folder: Path, found: Built) -> Built:
    """Bring what an earlier release filled up to date, as an installation would be."""
    say("applying the migrations that are new")
    with served(folder) as url:
        for database in (EMPTY, *map(database_of, found.sizes)):
            upgrade(url_of(url, database))
            vacuum(url_of(url, database))
    upgraded = replace(found, migrations=_migrations())
    _mark(folder, upgraded)
    return upgraded


def _clear(folder: Path, *, is_ours: bool) -> None:
    """Remove what an earlier run filled. Raises Misconfigured for what no run of ours began."""
    data = folder / "postgres"
    if data.exists() and not is_ours:
        raise Misconfigured(
            f"{data} was not made by this benchmark, which would remove it; choose another --folder"
        )
    if data.exists():
        shutil.rmtree(data)


def _mark(folder: Path, built: Built) -> None:
    embedded.replace_file(folder / MARKER, json.dumps(asdict(built)))


def _found(folder: Path) -> Built | None:
    """Return what the marker of a folder tells, None without one or where it tells other things."""
    try:
        stored: dict[str, Any] = json.loads((folder / MARKER).read_text())
        lists = {name: tuple(stored[name]) for name in ("migrations", "asked", "sizes")}
        return Built(**stored | lists)
    except (FileNotFoundError, KeyError, TypeError):
        return None


def _migrations() -> tuple[str, ...]:
    return tuple(migration.sha256 for migration in migrations())


def _build(folder: Path, sizes: Sequence[int]) -> None:
    with served(folder) as url:
        make_empty(url)
        for size in sizes:
            renew(url, database_of(size))
            asyncio.run(mould.make_moulds(url_of(url, database_of(size))))
    with served(folder, Filling) as url:
        for size in sizes:
            say(f"filling {size:,} requests")
            fill(url_of(url, database_of(size)), size)
    os.sync()


def make_empty(url: str) -> None:
    """Make the database that others begin as: migrated, with today's partitions and no row."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database {EMPTY}".encode())
    upgrade(url_of(url, EMPTY))
    asyncio.run(make_partitions(url_of(url, EMPTY)))


def renew(url: str, database: str) -> None:
    """Make a database as an empty one, whatever it held."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"drop database if exists {database} with (force)".encode())
        connection.execute(f"create database {database} template {EMPTY}".encode())


def fill(url: str, size: int) -> None:
    """Fill a database that holds the moulds, with partitions for all that retention keeps."""
    kept = Privacy().facts
    make_past_partitions(url, kept)
    copies.fill(url, size, kept=kept)
    vacuum(url)


def vacuum(url: str) -> None:
    """Vacuum and analyze all tables of a database, the largest first."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = [name for (name,) in connection.execute(_TABLES).fetchall()]

    def vacuum_one(table: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"vacuum (analyze, parallel 0) {table}".encode())

    side_by_side(vacuum_one, tables, at_once=copies.AT_ONCE)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("checkpoint")


_TABLES: Final = """
    select root.oid::regclass::text
      from pg_class as root
           left join lateral pg_partition_tree(root.oid) as tree on relkind = 'p'
     where relkind in ('r', 'p') and not relispartition and not relisshared
     group by root.oid order by sum(pg_relation_size(coalesce(tree.relid, root.oid))) desc
"""


async def make_partitions(url: str) -> None:
    """Make the partitions of today and the time to come, as beat does."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection:
        await keep_partitions(
            connection,
            today=utc_now().date(),
            raw_bodies=Privacy().raw_bodies,
            facts=Privacy().facts,
        )


def make_past_partitions(url: str, facts: timedelta) -> None:
    """Make those that beat would have made as the years went by, each when it was time."""
    today = utc_now().date()
    bodies = Privacy().raw_bodies
    with psycopg.connect(url, autocommit=True) as connection:
        for shelf in SHELVES:
            age = min(facts, bodies) if shelf.periods.back < timedelta(days=2) else facts
            period = shelf.periods.of(today - age)
            while period.begins <= today:
                for table in shelf.tables:
                    _make_partition(connection, table, period)
                period = shelf.periods.of(period.ends)


def _make_partition(connection: copies.Connection, table: str, period: Period) -> None:
    connection.execute(
        "select make_partition(%(table)s, %(leaf)s, %(table)s || '_default', %(bounds)s)"
        " where to_regclass(%(leaf)s) is null",
        {
            "table": table,
            "leaf": period.name_in(table),
            "bounds": f"for values from ('{period.begins}') to ('{period.ends}')",
        },
    )
