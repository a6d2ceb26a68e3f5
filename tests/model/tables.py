"""The tables of the model's own database: put back as they were in a moment, and read as one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from service.storage.database import conninfo

# Everything that the flow writes here, in an order in which rows can be put back.
TABLES = (
    "accounts", "endpoints", "poll_plans", "orders", "requests", "related", "due", "transitions",
    "notifications", "deliveries", "attempts", "events", "observations", "windows",
    "untold_changes",
)  # fmt: skip

# A commit that makes something due ends its own session while this is set: written, not committed.
KILLER = """
create table if not exists model_killer (armed boolean not null);
create or replace function model_kill() returns trigger language plpgsql as $$
begin
    if exists (select from model_killer where armed) then
        perform pg_terminate_backend(pg_backend_pid()), pg_sleep(5);
    end if;
    return null;
end $$;
drop trigger if exists model_kill on due;
create constraint trigger model_kill after insert or update on due
    deferrable initially deferred for each row execute function model_kill();
"""

PICTURE = """
select json_build_object(
    'due', (select json_agg(json_build_object(
        'key', provider_id, 'wanted', wanted, 'done', done, 'told', told, 'lease_no', lease_no,
        'is_leased', leased_until > now(),
        'wait', case when due_at = 'infinity' then -1 else
            greatest(0, least(9, ceil(extract(epoch from due_at - now()) / 31))) end,
        'urgency', urgency, 'known', known,
        'observed_by', observed_by, 'rereads', rereads, 'hurry', hurry, 'crashes', crashes,
        'errors', errors, 'parked', parked) order by provider_id) from due),
    'requests', (select json_agg(json_build_object(
        'id', id, 'key', provider_id, 'status', status, 'received', received,
        'refunded', refunded, 'taken_back', taken_back, 'version', version,
        'lease_no', lease_no, 'sequence', sequence, 'attention', attention,
        'chain', encode(chain, 'hex')) order by provider_id) from requests),
    'orders', (select json_agg(json_build_object(
        'id', id, 'status', status, 'received', received, 'refunded', refunded,
        'sequence', sequence, 'attention', attention, 'chain', encode(chain, 'hex'))
        order by reference) from orders),
    'transitions', (select json_agg(json_build_object(
        'subject', subject_id, 'sequence', sequence, 'after', after,
        'from', encode(chained_from, 'hex'), 'hash', encode(hash, 'hex'))
        order by subject_id, sequence) from transitions),
    'notifications', (select json_agg(json_build_object(
        'id', id, 'subject', subject_id, 'sequence', sequence,
        'body', convert_from(body, 'utf8')) order by subject_id, sequence) from notifications),
    'deliveries', (select json_agg(json_build_object(
        'notification', notification_id, 'subject', subject_id, 'sequence', sequence,
        'state', state, 'tries', tries, 'is_leased', leased_until > now()) order by id)
        from deliveries),
    'windows', (select json_agg(json_build_object(
        'is_finished', finished_at is not null, 'is_leased', leased_until > now(),
        'cursor', cursor is not null) order by id) from windows where finished_at is null))
"""

# The model owns the database's clock, so that nothing happens because a machine was slow: now()
# stands still between two steps, and clock_timestamp() goes on from there. Columns that default to
# now() keep the server's own time, which the model's is an hour ahead of.
CLOCK = """
create schema clock;
create table clock.time (at timestamptz not null, set_at timestamptz not null);
insert into clock.time values (now() + interval '1 hour', now());
create function clock.now() returns timestamptz language sql stable as
    'select at from clock.time';
create function clock.clock_timestamp() returns timestamptz language sql volatile as
    'select at + (pg_catalog.clock_timestamp() - set_at) from clock.time';
do $$ begin
    execute format('alter database %I set search_path = clock, pg_catalog, public',
                   current_database());
end $$;
set search_path = clock, pg_catalog, public;
"""

Picture = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Tables:
    """A session that runs no triggers, so that it can put history back."""

    connection: psycopg.AsyncConnection[Any]

    async def prepare(self) -> None:
        """Make the model's clock and its killer; connections opened from now on go by them."""
        await self._run(KILLER)
        await self._run(CLOCK)
        await self._run("create schema start")
        await self.remember()

    async def remember(self) -> None:
        """Keep what the tables hold now; restore comes back to it."""
        for name in TABLES:
            await self._run(f"drop table if exists start.{name}")
            await self._run(f"create table start.{name} as select * from {name}")

        await self._run("drop table if exists start.time")
        await self._run("create table start.time as select at from clock.time")

    async def restore(self) -> datetime:
        """Put the remembered rows back, and the clock with them; return the time."""
        gone = "; ".join(f"delete from {name}" for name in reversed(TABLES))
        back = "; ".join(
            f"insert into {name} overriding system value select * from start.{name}"
            for name in TABLES
        )
        clock = "update clock.time set at = start.time.at from start.time"
        await self._run(f"begin; {gone}; delete from model_killer; {back}; {clock}; commit")
        return await self.advance(0)

    async def arm(self) -> None:
        await self._run("insert into model_killer values (true)")

    async def disarm(self) -> None:
        await self._run("delete from model_killer")

    async def picture(self) -> Picture:
        cursor = await self.connection.execute(PICTURE)
        row = await cursor.fetchone()
        assert row is not None
        return {name: rows or [] for name, rows in row[0].items()}

    async def advance(self, seconds: float) -> datetime:
        """Put the clock forward, and return the time."""
        cursor = await self.connection.execute(
            "update clock.time set at = at + make_interval(secs => %s),"
            " set_at = pg_catalog.clock_timestamp() returning at",
            [seconds],
        )
        row = await cursor.fetchone()
        assert row is not None
        at: datetime = row[0]
        return at

    async def end_waits(self) -> None:
        """Bring on what was asked for and waits its turn: a burst's wait, a failure's, a retry's.

        What nobody asked for stays where it is: no poll may hide a change that was lost.
        """
        await self._run(
            "update due set not_before = '-infinity', due_at = least(due_at, now())"
            " where done < wanted and due_at < 'infinity';"
            "update deliveries set due_at = least(due_at, now()) where state = 'waiting';"
            "update endpoints set probe_at = least(probe_at, now()),"
            " draining_since = draining_since - interval '1 hour'"
        )

    async def turn_polls(self) -> None:
        """Bring on the time of the next look at everything."""
        await self._run(
            "update due set not_before = '-infinity', due_at = least(due_at, now())"
            " where due_at < 'infinity'"
        )

    async def _run(self, statements: str) -> None:
        await self.connection.execute(statements.encode())


@asynccontextmanager
async def tables_of(url: str) -> AsyncIterator[Tables]:
    made = conninfo(url, application="model tables")
    async with await psycopg.AsyncConnection.connect(made, autocommit=True) as connection:
        await connection.execute(
            "select set_config('session_replication_role', 'replica', false),"
            " set_config('synchronous_commit', 'off', false)"
        )
        yield Tables(connection)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until condition holds; fails after 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition belongs to another task
            await asyncio.sleep(0.001)
