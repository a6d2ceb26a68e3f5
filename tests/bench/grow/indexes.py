"""Keys and indexes laid aside while many rows come in, and made again when all are there.

That is quicker, and a key that is made again has been checked against every row.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

# Unique, primary and foreign keys; those of a partition that its table has as well go and come with
# the table's. The foreign ones are told apart, because the others must be there before them.
_KEYS = """
    select conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid), contype = 'f'
      from pg_constraint
     where contype in ('p', 'u', 'f') and conparentid = 0
       and connamespace = 'public'::regnamespace
       and (conrelid::regclass::text = any(%(tables)s)
            or confrelid::regclass::text = any(%(tables)s))
     order by 4 desc
"""
# The other indexes, likewise.
_INDEXES = """
    select indexrelid::regclass::text, pg_get_indexdef(indexrelid)
      from pg_index
     where indrelid::regclass::text = any(%(tables)s)
       and not exists (select from pg_inherits where inhrelid = indexrelid)
       and not exists (select from pg_constraint
                        where conindid = indexrelid and contype in ('p', 'u'))
"""


@dataclass(frozen=True)
class LaidAside:
    """What to run so that all are gone, and so that they are there again, foreign keys last."""

    drops: Sequence[str]
    makes: Sequence[str]
    makes_last: Sequence[str]


def shape_of(connection: Connection) -> set[tuple[str, str]]:
    """Return every index and foreign key by its table, without the names, which may be new ones."""
    rows = connection.execute(
        "select indrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index"
        " join pg_class on pg_class.oid = indrelid where relnamespace = 'public'::regnamespace"
        " union all"
        " select conrelid::regclass::text, ' ON ' || pg_get_constraintdef(oid) from pg_constraint"
        "  where contype = 'f' and connamespace = 'public'::regnamespace"
    ).fetchall()
    return {(table, definition.partition(" ON ")[2]) for table, definition in rows}


@contextmanager
def indexes_laid_aside(url: str, tables: Sequence[str], *, at_once: int) -> Iterator[None]:
    """Drop keys and indexes of tables, and of their partitions, and make them after the block.

    So are foreign keys of other tables that refer to these.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        aside = _look(connection, list(tables))
        for statement in aside.drops:
            connection.execute(statement.encode())
    yield
    for makes in (aside.makes, aside.makes_last):
        side_by_side(partial(_run, url), makes, at_once=at_once)


def side_by_side(work: Callable[[str], None], each: Sequence[str], *, at_once: int) -> None:
    """Do work for each, so many at once, begun in their order. Raises what one raised."""
    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(work, each))


def _look(connection: Connection, tables: list[str]) -> LaidAside:
    keys = connection.execute(_KEYS, {"tables": tables}).fetchall()
    indexes = connection.execute(_INDEXES, {"tables": tables}).fetchall()
    makes = {
        is_foreign: [
            f"alter table {table} add constraint {name} {text}"
            for table, name, text, foreign in keys
            if foreign is is_foreign
        ]
        for is_foreign in (False, True)
    }
    return LaidAside(
        drops=[f"alter table {table} drop constraint {name}" for table, name, _, _ in keys]
        + [f"drop index {name}" for name, _ in indexes],
        makes=makes[False] + [text.replace(" ON ONLY ", " ON ") for _, text in indexes],
        makes_last=makes[True],
    )


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
