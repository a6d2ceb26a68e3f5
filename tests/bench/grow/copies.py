"""Copies the two moulds into as many requests as asked, with all that belongs to each.

Every column of a copy is that of its mould but for ids, references, hashes and times. Which those
are is seen from the moulds' values, so that a new column needs nothing here. What is equal in a
mould, such as an id and what refers to it, is equal in a copy.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from types import MappingProxyType
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from service.settings import Privacy
from tests.bench.grow.indexes import indexes_laid_aside, side_by_side
from tests.bench.grow.mould import RECORDED, reference_of
from tests.bench.report import say
from tests.flow.world import order_id

Connection = psycopg.Connection[tuple[Any, ...]]

# Of all requests so many are still open, the newest.
OPEN_SHARE: Final = 0.02

AT_ONCE: Final = 2

# A row of a table that leaves room in its pages takes so many hundredths of a page's room more when
# all has been recorded than when it came. Filled without them, each old page would take one more
# row, which none does in life.
GROWN_LATER: Final = 5


@dataclass(frozen=True)
class Table:
    """A table, which of its rows belong to a mould, and the columns that are made otherwise.

    lasting is False where rows leave with the raw bodies.
    """

    name: str
    of_mould: str
    otherwise: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    lasting: bool = True


SHA256_BYTES: Final = 32

OUR_ID: Final = re.compile("[a-z]{3}_[0-9a-z]{26}", re.ASCII)

# What may stand in texts: names of a request, of its order and of the row itself.
Names = Mapping[str, str]

_OF_SUBJECT: Final = "one.subject_id in (mould.request_id, mould.order_id)"

# A place in the feed, behind those of the moulds.
_PLACE: Final = "1000 + seed.n * one.places + one.place"

# What is watched is looked at again long after any measurement, so that none meets it.
_NEXT_LOOK: Final = """
    case when one.due_at = 'infinity' then 'infinity'
         else now() + interval '2 years' + random() * interval '30 days' end
"""

# The largest first: what is begun last must not be what all wait for.
TABLES: Final = (
    Table("notifications", _OF_SUBJECT, {"serial": _PLACE, "position": _PLACE}),
    Table("transitions", _OF_SUBJECT),
    Table("events", "one.provider_id = mould.provider_id"),
    Table("deliveries_closed", _OF_SUBJECT),
    Table("requests", "one.id = mould.request_id"),
    Table("orders", "one.id = mould.order_id"),
    Table("due", "one.provider_id = mould.provider_id", {"due_at": _NEXT_LOOK}),
    Table(
        "attempts",
        f"one.delivery_id in (select one.id from deliveries_closed as one where {_OF_SUBJECT})",
    ),
    Table(
        "event_bodies",
        "position(convert_to(mould.provider_id, 'UTF8') in one.body) > 0",
        lasting=False,
    ),
    Table("observations", "one.request_id = mould.request_id", lasting=False),
)

_MOULDS: Final = """
    create table grown.mould as
    select number, requests.id as request_id, order_id, requests.provider_id,
           requests.reference, first_seen_at as at
      from unnest(%(numbers)s::integer[], %(ids)s::text[], %(references)s::text[])
           as m (number, provider_id, reference)
      join requests using (provider_id)
"""

# The time in an id of ours, as service.storage.identifiers writes it: ten digits of five bits.
_DIGITS: Final = "||".join(
    f"substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + (ms >> {shift} & 31)::integer, 1)"
    for shift in range(45, -1, -5)
)

# One row for each copy, in the order of time. Business grows evenly: the newest of forty quarters
# holds a twentieth of all.
_SEEDS: Final = f"""
    create unlogged table grown.seed as
    select n, mould.number as mould, t.at, t.at - mould.at as shift,
           {_DIGITS} || substr(md5(random()::text), 1, 12) as core,
           gen_random_uuid()::text as provider_id, 'INV-' || n as reference,
           int8send(n) as salt
      from generate_series(1, %(requests)s) as n,
           lateral (select now() - %(kept)s + (%(kept)s - interval '1 hour')
                           * sqrt(n::float8 / %(requests)s) as at) as t,
           lateral (select (extract(epoch from t.at) * 1000)::bigint as ms) as clock,
           grown.mould
     where mould.number = (n > %(requests)s * (1 - %(open)s::float8))::integer
"""

_COLUMNS: Final = """
    select attname as name, atttypid::regtype::text as type from pg_attribute
     where attrelid = %s::regclass and attnum > 0 and not attisdropped
"""

# A column of such a type in a copy.
_TIMES: Final = {
    "timestamp with time zone": "one.{} + seed.shift",
    "date": "(seed.at at time zone 'utc')::date",
}


def _id_of(column: str) -> str:
    """Return one of our ids with the copy's time and chance; the end tells rows of one apart."""
    return f"substr({column}, 1, 4) || seed.core || substr({column}, 27)"


# By what names a mould, or the row itself, in a text: what does so in a copy.
_COPIES: Final = {
    "mould.provider_id": "seed.provider_id",
    "mould.reference": "seed.reference",
    "mould.request_id": _id_of("mould.request_id"),
    "mould.order_id": _id_of("mould.order_id"),
    "one.id": _id_of("one.id"),
}


def fill(url: str, requests: int, *, kept: timedelta) -> None:
    """Copy the moulds of a database into so many requests; report each step.

    The copies are spread over the time for which facts are kept. Triggers are not asked: nothing
    here is judged. Keys and indexes are made when all rows are there.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        _make_seeds(connection, requests, kept)
        copyings = {table.name: _copying(connection, table) for table in TABLES}
    names = _with_partitions(url, list(copyings))
    with indexes_laid_aside(url, names, at_once=AT_ONCE):
        side_by_side(lambda name: _run(url, name, copyings[name]), list(copyings), at_once=AT_ONCE)
    with psycopg.connect(url, autocommit=True) as connection:
        for sequence, column in (
            ("notification_serials", "serial"),
            ("feed_positions", "position"),
        ):
            connection.execute(
                f"select setval('{sequence}', (select max({column}) from notifications))".encode()
            )
        connection.execute(
            "update due set due_at = 'infinity' from grown.mould"
            " where due.provider_id = mould.provider_id"
        )
        connection.execute("drop schema grown cascade")


def _make_seeds(connection: Connection, requests: int, kept: timedelta) -> None:
    numbers = range(len(RECORDED))
    connection.execute("create schema grown")
    cursor = psycopg.ClientCursor(connection)  # such statements take no values from PostgreSQL
    cursor.execute(
        _MOULDS.encode(),
        {
            "numbers": list(numbers),
            "ids": [order_id(number) for number in numbers],
            "references": [reference_of(number) for number in numbers],
        },
    )
    cursor.execute(_SEEDS.encode(), {"requests": requests, "kept": kept, "open": OPEN_SHARE})
    connection.execute("analyze grown.seed")


def _copying(connection: Connection, table: Table) -> list[str]:
    """Return the statements that put the moulds' rows of a table, and their copies, into it.

    It is emptied in the same transaction: what such a table is given need not be logged.
    """
    connection.execute(
        f"""
        create table grown.{table.name} as
        select mould.number as mould, count(*) over (partition by mould.number) as places,
               row_number() over (partition by mould.number) - 1 as place, one.*
          from {table.name} as one join grown.mould on {table.of_mould}
        """.encode()
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        columns = {row["name"]: row["type"] for row in cursor.execute(_COLUMNS, [table.name])}
        told = ", ".join(name for name, of_type in columns.items() if of_type not in _TIMES)
        rows = cursor.execute(f"select mould, {told} from grown.{table.name}".encode()).fetchall()
        moulds = cursor.execute("select * from grown.mould").fetchall()
    # A message names itself as well.
    names = [{f"mould.{name}": str(name_of) for name, name_of in row.items()} for row in moulds]
    names += [{"one.id": row["id"]} for row in rows if "id" in row]
    if table.lasting:
        assert {row["mould"] for row in rows} == {row["number"] for row in moulds}, table.name
    made = {
        name: table.otherwise.get(name)
        or _TIMES.get(of_type, "").format(name)
        or _copied(name, [row[name] for row in rows], names)
        for name, of_type in columns.items()
    }
    bodies_since = f"where seed.at > now() - interval '{Privacy().raw_bodies.days} days'"
    columns_told = ", ".join(made)
    return [
        f"truncate {table.name}",
        f"insert into {table.name} ({columns_told}) select {columns_told} from grown.{table.name}",
        f"""
        insert into {table.name} ({columns_told})
        select {", ".join(made.values())}
          from grown.seed join grown.{table.name} as one using (mould)
          join grown.mould on mould.number = mould {"" if table.lasting else bodies_since}
        """,
    ]


def _copied(name: str, values: Sequence[Any], names: Sequence[Names]) -> str:
    """Return the expression for a column of a copy, seen from what the moulds have there."""
    column = f"one.{name}"
    match next((value for value in values if value is not None), None):
        case str() if all(value is None or OUR_ID.fullmatch(value) for value in values):
            return _id_of(column)
        case str():
            return _renamed(column, "".join(filter(None, values)).encode(), names)
        case bytes() if any(len(value) == SHA256_BYTES for value in values if value):
            return f"case when {column} = '' then {column} else sha256({column} || seed.salt) end"
        case bytes():
            text = f"convert_from({column}, 'UTF8')"
            renamed = _renamed(text, b"".join(filter(None, values)), names)
            return column if renamed == text else f"convert_to({renamed}, 'UTF8')"
        case _:
            return column


def _renamed(text: str, found: bytes, names: Sequence[Names]) -> str:
    """Return a text in which what names a mould names its copy, where found has such a name."""
    for name, copy in _COPIES.items():
        if any(each[name].encode() in found for each in names if name in each):
            text = f"replace({text}, {name}, {copy})"
    return text


def _with_partitions(url: str, tables: Sequence[str]) -> list[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "select distinct relid::text from unnest(%s::text[]) as name,"
            " lateral (select name::regclass as relid"
            "          union select relid from pg_partition_tree(name::regclass)) as tree",
            [list(tables)],
        ).fetchall()
    return [row[0] for row in rows]


def _run(url: str, name: str, copying: Sequence[str]) -> None:
    """Fill a table, with its pages as full as rows make them that grow a little after they came."""
    began = monotonic()
    with psycopg.connect(url, options="-c session_replication_role=replica") as connection:
        row = connection.execute(_FILLFACTOR, [name]).fetchone()
        if row:
            connection.execute(
                f"alter table {name} set (fillfactor = {row[0] + GROWN_LATER})".encode()
            )
        for statement in copying:
            count = connection.execute(statement.encode()).rowcount
        if row:
            connection.execute(f"alter table {name} set (fillfactor = {row[0]})".encode())
    say(f"  {name}: {count:,} rows in {monotonic() - began:,.0f} s")


# How full the pages of a table are made, for one that leaves room for rows that change.
_FILLFACTOR: Final = """
    select option_value::integer
      from pg_class, pg_options_to_table(reloptions)
     where oid = %s::regclass and option_name = 'fillfactor'
"""
