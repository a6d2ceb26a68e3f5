"""Indexes laid aside while many rows come in, and made again from them sorted: that is quicker."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

# Unique and primary keys. Those that foreign keys refer to stay: rows come in their order.
_KEYS = """
    select conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
      from pg_constraint as key
     where contype in ('p', 'u') and conparentid = 0
       and connamespace = 'public'::regnamespace and conrelid::regclass::text = any(%s)
       and not exists (select from pg_constraint as other
                        where other.contype = 'f' and other.conindid = key.conindid)
"""
# The other indexes; those of a partition that its table has as well go and come with the table's.
_INDEXES = """
    select indexrelid::regclass::text, pg_get_indexdef(indexrelid)
      from pg_index
     where indrelid::regclass::text = any(%s)
       and not exists (select from pg_inherits where inhrelid = indexrelid)
       and not exists (select from pg_constraint where conindid = indexrelid)
"""


@dataclass(frozen=True)
class LaidAside:
    """What to run so that the indexes are gone, and so that they are there again."""

    drops: Sequence[str]
    makes: Sequence[str]


def shape_of(connection: Connection) -> set[tuple[str, str]]:
    """Return every index by its table, without the name, which PostgreSQL may choose anew."""
    rows = connection.execute(
        "select indrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index"
        " join pg_class on pg_class.oid = indrelid where relnamespace = 'public'::regnamespace"
    ).fetchall()
    return {(table, definition.partition(" ON ")[2]) for table, definition in rows}


@contextmanager
def indexes_laid_aside(url: str, tables: Sequence[str], *, at_once: int) -> Iterator[None]:
    """Drop the indexes of tables, and of their partitions, and make them again after the block."""
    with psycopg.connect(url, autocommit=True) as connection:
        aside = _look(connection, list(tables))
        for statement in aside.drops:
            connection.execute(statement.encode())
    yield
    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(partial(_run, url), aside.makes))


def _look(connection: Connection, tables: list[str]) -> LaidAside:
    keys = connection.execute(_KEYS, [tables]).fetchall()
    indexes = connection.execute(_INDEXES, [tables]).fetchall()
    return LaidAside(
        drops=[f"alter table {table} drop constraint {name}" for table, name, _ in keys]
        + [f"drop index {name}" for name, _ in indexes],
        makes=[f"alter table {table} add constraint {name} {text}" for table, name, text in keys]
        + [text.replace(" ON ONLY ", " ON ") for _, text in indexes],
    )


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
