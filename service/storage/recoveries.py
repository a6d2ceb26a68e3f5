"""Runs of recover: a window of notifications, sent to one endpoint again, each once per run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row

from service.storage.identifiers import new_id
from service.storage.notifications import NotificationRow

# The same words mean another window by then: an older run is not gone on with.
GONE_ON_WITH = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """Which notifications: made from since until before until.

    name is the window in the words of who asked, by which a run is found again.
    """

    name: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Counted:
    """How many notifications of a type, from these accounts, a window holds.

    state is that of their delivery to the endpoint, None where there never was one.
    """

    type: str
    accounts: Sequence[str]
    state: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Run:
    """One recovery and how far it is; the counts are of notifications.

    queued were put on their way so far, of those planned; delivered, dead and superseded tell
    what became of them.
    """

    id: str
    endpoint: str
    asked: str
    since: datetime
    until: datetime
    planned: int
    queued: int
    delivered: int
    dead: int
    superseded: int
    after_serial: int
    last_serial: int
    started_at: datetime
    stopped_at: datetime | None
    finished_at: datetime | None

    @property
    def done(self) -> int:
        return self.delivered + self.dead + self.superseded


@dataclass(frozen=True, slots=True)
class Candidate:
    """A notification of a window, with the accounts that it is about."""

    serial: int
    id: str
    type: str
    accounts: Sequence[str]


class Recoveries:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def lane_of(self, endpoint: str) -> str | None:
        """Return the state of an endpoint's lane, None where there is no such endpoint."""
        cursor = await self._connection.execute(
            "select state from endpoints where name = %s", [endpoint]
        )
        row = await cursor.fetchone()
        return str(row[0]) if row else None

    async def count(self, endpoint: str, window: Window, *, with_accounts: bool) -> list[Counted]:
        """Return what a window holds for an endpoint, by type, accounts and state.

        May take a minute: a window may hold years.
        """
        await self._connection.execute("set local statement_timeout = '1min'")
        async with self._connection.cursor(row_factory=class_row(Counted)) as cursor:
            await cursor.execute(
                f"""
                select n.type, {_accounts(with_accounts)} as accounts, d.state, count(*)
                  from notifications as n
                  left join deliveries as d
                         on d.notification_id = n.id and d.notified_at = n.created_at
                        and d.endpoint = %s
                 where n.created_at >= %s and n.created_at < %s
                 group by n.type, accounts, d.state order by n.type, accounts, d.state
                """,  # noqa: S608 - put together from a constant
                [endpoint, window.since, window.until],
            )
            return await cursor.fetchall()

    async def begin(self, endpoint: str, window: Window, *, planned: int) -> Run:
        """Begin a run."""
        return await self._one(
            f"""
            insert into recoveries
                   (id, endpoint, asked, since, until, planned, after_serial, last_serial)
            select %s, %s, %s, %s, %s, %s, coalesce(min(serial), 1) - 1, coalesce(max(serial), 0)
              from notifications where created_at >= %s and created_at < %s
            returning {_COLUMNS}
            """,  # noqa: S608 - a constant list of columns
            [
                new_id("rcv"), endpoint, window.name, window.since, window.until, planned,
                window.since, window.until,
            ],
        )  # fmt: skip

    async def go_on(self, endpoint: str, window: Window) -> Run | None:
        """Have the newest unfinished run of that name fed again; None where there is none."""
        return await self._one_or_none(
            f"""
            update recoveries set stopped_at = null
             where id = (select id from recoveries
                          where endpoint = %s and asked = %s and finished_at is null
                            and started_at > now() - %s
                          order by id desc limit 1)
            returning {_COLUMNS}
            """,  # noqa: S608 - a constant list of columns
            [endpoint, window.name, GONE_ON_WITH],
        )

    async def stop(self, recovery_id: str) -> Run | None:
        """Feed a run no more until somebody goes on with it; None where there is none."""
        return await self._one_or_none(
            f"""
            update recoveries
               set stopped_at = case when finished_at is null then coalesce(stopped_at, now()) end
             where id = %s returning {_COLUMNS}
            """,  # noqa: S608 - a constant list of columns
            [recovery_id],
        )

    async def open(self, endpoints: Sequence[str]) -> list[tuple[str, str]]:
        """Return endpoint and id of the runs to feed."""
        cursor = await self._connection.execute(
            "select endpoint, id from recoveries where finished_at is null and stopped_at is null"
            " and endpoint = any(%b) order by endpoint, id",
            [list(endpoints)],
        )
        return [(row[0], row[1]) for row in await cursor.fetchall()]

    async def lock(self, recovery_id: str) -> Run | None:
        """Lock a run that is to be fed; None where it is not any more."""
        return await self._one_or_none(
            f"""
            select {_COLUMNS} from recoveries
             where id = %s and finished_at is null and stopped_at is null for update
            """,  # noqa: S608 - a constant list of columns
            [recovery_id],
        )

    async def close_arrived(self, run: Run) -> Mapping[str, int]:
        """Close what is no longer on its way; return how many by the state of their delivery."""
        cursor = await self._connection.execute(
            """
            with arrived as (
                update recovered as r set closed = true from deliveries as d
                 where r.recovery = %s and not r.closed
                   and d.notification_id = r.notification_id and d.endpoint = %s
                   and d.state <> 'waiting'
                returning d.state
            )
            select state, count(*) from arrived group by state
            """,
            [run.id, run.endpoint],
        )
        return {row[0]: row[1] for row in await cursor.fetchall()}

    async def under_way(self, run: Run) -> int:
        """Return how many of a run's notifications are on their way."""
        cursor = await self._connection.execute(
            "select count(*) from recovered where recovery = %s and not closed", [run.id]
        )
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def candidates(self, run: Run, *, limit: int, with_accounts: bool) -> list[Candidate]:
        """Return the next notifications of a run's window, in the order in which they were made."""
        async with self._connection.cursor(row_factory=class_row(Candidate)) as cursor:
            await cursor.execute(
                f"""
                select n.serial, n.id, n.type, {_accounts(with_accounts)} as accounts
                  from notifications as n
                 where n.serial > %s and n.serial <= %s
                   and n.created_at >= %s and n.created_at < %s
                 order by n.serial limit %s
                """,  # noqa: S608 - put together from a constant
                [run.after_serial, run.last_serial, run.since, run.until, limit],
            )
            return await cursor.fetchall()

    async def messages(
        self, notification_ids: Sequence[str], *, endpoint: str
    ) -> list[NotificationRow]:
        """Return messages as they were written, for one endpoint."""
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                """
                select id, type, subject, subject_id, sequence, account, reference, body,
                       created_at
                  from notifications where id = any(%b) order by serial
                """,
                [list(notification_ids)],
            )
            return [
                NotificationRow(**row, endpoints=(endpoint,)) for row in await cursor.fetchall()
            ]

    async def queue(self, run: Run, notification_ids: Sequence[str]) -> None:
        """Write down what a run has put on its way."""
        await self._connection.execute(
            "insert into recovered (recovery, notification_id)"
            " select %s, id from unnest(%b::text[]) as q (id)",
            [run.id, list(notification_ids)],
        )

    async def save(self, run: Run, *, is_finished: bool) -> None:
        """Keep how far a run is; this transaction holds its row."""
        await self._connection.execute(
            """
            update recoveries
               set queued = %s, delivered = %s, dead = %s, superseded = %s, after_serial = %s,
                   finished_at = case when %s then now() end
             where id = %s
            """,
            [
                run.queued, run.delivered, run.dead, run.superseded, run.after_serial,
                is_finished, run.id,
            ],
        )  # fmt: skip

    async def _one(self, statement: str, values: Sequence[object]) -> Run:
        run = await self._one_or_none(statement, values)
        assert run is not None, "an insert returns its row"
        return run

    async def _one_or_none(self, statement: str, values: Sequence[object]) -> Run | None:
        async with self._connection.cursor(row_factory=class_row(Run)) as cursor:
            await cursor.execute(statement.encode(), values)
            return await cursor.fetchone()


_COLUMNS = ", ".join(field.name for field in fields(Run))


def _accounts(wanted: bool) -> LiteralString:
    """Return the expression for the accounts that a message n is about, none unless wanted.

    Those of an order are those of its requests.
    """
    if not wanted:
        return "array[]::text[]"
    return """
        case n.subject
        when 'request' then array[n.account]
        else array(select distinct account from requests
                    where order_id = n.subject_id order by 1) end
    """
