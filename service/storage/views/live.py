"""What happens, as it happens: events, transitions, notifications, attempts, acts of persons.

Rows are found by their time, which was taken before they were committed. So each look goes back
by as long as that may take, and leaves out what it has shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, LiteralString

from psycopg.rows import DictRow

from service.domain.notification import time_text
from service.storage.database import Pool
from service.storage.views.reading import Json, reading

# A commit that takes longer than this has failed: statements end after 10 s.
COMMIT_SECONDS: Final = 15.0

# In the order in which one leads to the other; each query walks an index by time.
_SOURCES: Final[dict[str, LiteralString]] = {
    "intervention": """
        select at, id, jsonb_build_object(
                   'id', id, 'did', did, 'who', who, 'reason', reason, 'endpoint', endpoint,
                   'subject_id', subject_id, 'about', about, 'detail', acts.detail) as detail
          from acts where not is_copy and at > %(since)s order by at, id
        """,
    "event": """
        select found.* from accounts, lateral (
            select received_at as at, id, jsonb_build_object(
                       'id', id, 'account', account, 'kind', kind, 'provider_id', provider_id,
                       'verdict', verdict, 'reason', events.reason) as detail
              from events where account = name and received_at > %(since)s) as found
         order by at, id
        """,
    "transition": """
        select recorded_at as at, t.id, jsonb_build_object(
                   'id', t.id, 'subject_id', subject_id, 'sequence', t.sequence, 'type', type,
                   'reference', coalesce(r.reference, o.reference),
                   'before', before ->> 'status', 'after', after ->> 'status',
                   'correction', correction, 'observed_by', observed_by) as detail
          from transitions as t
          left join requests as r on r.id = subject_id
          left join orders as o on o.id = subject_id
         where recorded_at > %(since)s order by recorded_at, t.id
        """,
    "notification": """
        select created_at as at, id, jsonb_build_object(
                   'id', id, 'type', type, 'subject_id', subject_id, 'sequence', sequence,
                   'reference', reference) as detail
          from notifications where created_at > %(since)s order by created_at, id
        """,
    "attempt": """
        select at, delivery_id || ':' || number as id, jsonb_build_object(
                   'delivery_id', delivery_id, 'number', number, 'endpoint', endpoint,
                   'type', type, 'reference', reference, 'subject_id', subject_id,
                   'sequence', sequence, 'notification_id', notification_id,
                   'outcome', outcome, 'status_code', status_code,
                   'duration_ms', duration_ms, 'state', state) as detail
          from attempts join deliveries
            on (deliveries.id, deliveries.notified_at) = (delivery_id, attempts.notified_at)
         where at > %(since)s order by at, delivery_id, number
        """,
}

WHAT: Final = tuple(_SOURCES)


@dataclass(slots=True)
class Source:
    """What was shown of one table: up to when, and which of its last rows."""

    query: LiteralString
    back: timedelta
    until: datetime
    shown: dict[str, datetime] = field(default_factory=dict)

    @property
    def since(self) -> datetime:
        return self.until - self.back

    def news_in(self, rows: Sequence[DictRow]) -> list[DictRow]:
        """Return what was not shown before, and note that it is now."""
        news = [row for row in rows if row["id"] not in self.shown]
        self.until = max([self.until, *(row["at"] for row in news)])
        kept = {row["id"]: row["at"] for row in rows}
        self.shown = {id_: at for id_, at in kept.items() if at > self.since}
        return news


class Live:
    """Follows from now on; begin with `begin`.

    attempt_seconds is how long an attempt may take, since its time is that of its beginning.
    """

    def __init__(self, pool: Pool, what: Sequence[str], *, attempt_seconds: float) -> None:
        self._pool = pool
        self._what = [name for name in WHAT if name in what]
        self._back = {name: timedelta(seconds=COMMIT_SECONDS) for name in self._what}
        if "attempt" in self._back:
            self._back["attempt"] += timedelta(seconds=attempt_seconds)
        self._sources: dict[str, Source] = {}

    async def begin(self) -> None:
        """Take what is there by now as shown. Raises Unavailable."""
        async with reading(self._pool) as cursor:
            await cursor.execute("select clock_timestamp() as now")
            row = await cursor.fetchone()
            assert row is not None, "a select without a table has one row"
            self._sources = {
                name: Source(_SOURCES[name], self._back[name], row["now"]) for name in self._what
            }
        await self.news()

    async def news(self) -> list[Json]:
        """Return what happened since the last look, in time order. Raises Unavailable."""
        found: list[tuple[datetime, int, Json]] = []
        async with reading(self._pool) as cursor:
            for place, (name, source) in enumerate(self._sources.items()):
                await cursor.execute(source.query, {"since": source.since})
                for row in source.news_in(await cursor.fetchall()):
                    shown = {"at": time_text(row["at"]), "what": name, **row["detail"]}
                    found.append((row["at"], place, shown))
        return [shown for _, _, shown in sorted(found, key=lambda entry: entry[:2])]
