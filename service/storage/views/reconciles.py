"""Runs of reconcile as the API shows them: how far each is and what it found."""

from psycopg import sql
from psycopg.rows import DictRow

from service.domain.drift import DriftClass
from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.reconciles import GONE_ON_WITH
from service.storage.views.reading import Json, Page, Position, beyond, narrowed, page_of, reading

# waiting: workers have yet to begin, or to go on. stopped: whoever began it may go on with it.
# abandoned: nobody does any more.
STATES = ("waiting", "under_way", "stopped", "abandoned", "finished")

_RUNS = """
    select * from (
        select id, id::text as name, account, dry_run, asked_by, since, until, compared, expected,
               unread, drift, started_at, finished_at,
               case when finished_at is not null then 'finished'
                    when leased_until > now() then 'under_way'
                    when started_at <= now() - %s then 'abandoned'
                    when asked_by is not null then 'waiting'
                    else 'stopped' end as state
          from reconciles
    ) as runs
"""


async def list_reconciles(
    pool: Pool, *, account: str | None, state: str | None, after: Position | None, limit: int
) -> Page:
    """Return a page of runs, those that began last, or were asked for last, first."""
    where, values = narrowed(
        ("account = %s", account),
        ("state = %s", state),
        beyond("(started_at, name) < (%s, %s)", after),
    )
    query = sql.SQL("{runs} {where} order by started_at desc, name desc limit %s").format(
        runs=sql.SQL(_RUNS), where=where
    )
    async with reading(pool) as cursor:
        await cursor.execute(query, [GONE_ON_WITH, *values, limit + 1])
        rows = await cursor.fetchall()
    return page_of(rows, limit, ordered_by="started_at", show=_show)


async def find_reconciles(pool: Pool, ids: list[int]) -> list[Json]:
    """Return these runs, as many as there are, by id."""
    async with reading(pool) as cursor:
        query = f"{_RUNS} where id = any(%s) order by id"
        await cursor.execute(query.encode(), [GONE_ON_WITH, ids])
        return [_show(row) for row in await cursor.fetchall()]


def _show(row: DictRow) -> Json:
    return {
        "id": row["name"],
        "account": row["account"],
        "state": row["state"],
        "dry_run": row["dry_run"],
        "asked_by": row["asked_by"],
        "from": time_text(row["since"]),
        "to": time_text(row["until"]),
        "compared": row["compared"],
        "expected": row["expected"],
        "unread": row["unread"],
        "drift": {str(each): row["drift"].get(str(each), 0) for each in DriftClass},
        "started_at": time_text(row["started_at"]),
        "finished_at": time_text(row["finished_at"]),
    }
