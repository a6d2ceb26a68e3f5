"""What persons did and decided, as the API shows it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from psycopg import sql
from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.interventions import Did as Intervened
from service.storage.views.reading import (
    Json,
    Page,
    Position,
    beyond,
    narrowed,
    page_of,
    reading,
)

Did = Literal[Intervened, "acknowledge", "link", "amend"]

DID: tuple[Did, ...] = get_args(Did)


@dataclass(frozen=True, slots=True)
class InterventionFilter:
    """Which acts a list shows; None does not narrow it."""

    did: str | None = None
    endpoint: str | None = None
    since: datetime | None = None


async def list_interventions(
    pool: Pool, chosen: InterventionFilter, *, after: Position | None, limit: int
) -> Page:
    """Return a page of what persons did, newest first. detail is what a decision was about."""
    where, values = narrowed(
        ("is_copy = %s", False),
        ("did = %s", chosen.did),
        ("endpoint = %s", chosen.endpoint),
        ("at >= %s", chosen.since),
        beyond("(at, id) < (%s, %s)", after),
    )
    query = sql.SQL(
        """
        select id, at, did, who, reason, endpoint, subject_id, about, detail
          from acts {where} order by at desc, id desc limit %s
        """
    ).format(where=where)
    async with reading(pool) as cursor:
        await cursor.execute(query, [*values, limit + 1])
        rows = await cursor.fetchall()
    return page_of(rows, limit, ordered_by="at", show=_show)


def _show(row: DictRow) -> Json:
    return {**row, "at": time_text(row["at"])}
