"""Recoveries as the API shows them."""

from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.views.reading import Json, Page, Position, page_of, reading

_STATE = """
    case when finished_at is not null then 'finished'
         when stopped_at is not null then 'stopped' else 'running' end
"""

_SELECT = f"""
    select id, endpoint, {_STATE} as state, since, until, planned, queued, delivered, dead,
           superseded, started_at, finished_at,
           (select endpoints.state from endpoints where name = endpoint) as lane
      from recoveries
"""  # noqa: S608 - put together from a constant

STATES = ("running", "stopped", "finished")


async def find_recovery(pool: Pool, recovery_id: str) -> Json | None:
    """Return the recovery with this id, or None."""
    async with reading(pool) as cursor:
        await cursor.execute((_SELECT + "where id = %s").encode(), [recovery_id])
        row = await cursor.fetchone()
    return _show(row) if row else None


async def list_recoveries(pool: Pool, *, after: Position | None, limit: int) -> Page:
    """Return a page of recoveries, newest first: ids grow with time."""
    async with reading(pool) as cursor:
        await cursor.execute(
            (_SELECT + "where %s::text is null or id < %s order by id desc limit %s").encode(),
            [after and after.id, after and after.id, limit + 1],
        )
        rows = await cursor.fetchall()
    return page_of(rows, limit, ordered_by="started_at", show=_show)


def _show(row: DictRow) -> Json:
    times = ("since", "until", "started_at", "finished_at")
    return {**row, **{name: time_text(row[name]) for name in times}}
