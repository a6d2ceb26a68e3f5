"""History: transitions, and the reads that caused them. Append-only; the database refuses more."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection


@dataclass(frozen=True, slots=True)
class ObservationRow:
    """A read and what it came to; answer is None where it equals the one before."""

    id: str
    request_id: str
    read_at: datetime
    lease_no: int
    version: int | None
    observed_by: str
    verdict: str
    answer_sha256: bytes
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """A change we recorded, linked by hash to the one before it."""

    id: str
    subject: Literal["request", "order"]
    subject_id: str
    sequence: int
    type: str
    before: dict[str, object] | None
    after: dict[str, object]
    correction: bool
    observed_by: str
    observation_id: str | None
    answer_sha256: bytes | None
    lease_no: int | None
    version: int | None
    occurred_at: datetime | None
    recorded_at: datetime
    chained_from: bytes
    hash: bytes


class History:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def append_observations(self, rows: Sequence[ObservationRow]) -> None:
        if not rows:
            return
        columns = [
            (
                row.id,
                row.request_id,
                row.read_at,
                row.lease_no,
                row.version,
                row.observed_by,
                row.verdict,
                row.answer_sha256,
                row.answer,
            )
            for row in rows
        ]
        await self._connection.execute(
            """
            insert into observations (day, id, request_id, read_at, lease_no, version,
                                      observed_by, verdict, answer_sha256, answer)
            select (read_at at time zone 'utc')::date, o.*
              from unnest(%b::text[], %b::text[], %b::timestamptz[], %b::bigint[], %b::bigint[],
                          %b::text[], %b::text[], %b::bytea[], %b::bytea[])
                   as o (id, request_id, read_at, lease_no, version, observed_by, verdict,
                         answer_sha256, answer)
            """,
            [list(column) for column in zip(*columns, strict=True)],
        )

    async def append_transitions(self, rows: Sequence[TransitionRow]) -> None:
        if not rows:
            return
        columns = [
            (
                row.id,
                row.subject,
                row.subject_id,
                row.sequence,
                row.type,
                json.dumps(row.before) if row.before is not None else None,
                json.dumps(row.after),
                row.correction,
                row.observed_by,
                row.observation_id,
                row.answer_sha256,
                row.lease_no,
                row.version,
                row.occurred_at,
                row.recorded_at,
                row.chained_from,
                row.hash,
            )
            for row in rows
        ]
        await self._connection.execute(
            """
            insert into transitions (id, subject, subject_id, sequence, type, before, after,
                                     correction, observed_by, observation_id, answer_sha256,
                                     lease_no, version, occurred_at, recorded_at,
                                     chained_from, hash)
            select * from unnest(
                %b::text[], %b::text[], %b::text[], %b::bigint[], %b::text[], %b::jsonb[],
                %b::jsonb[], %b::boolean[], %b::text[], %b::text[], %b::bytea[], %b::bigint[],
                %b::bigint[], %b::timestamptz[], %b::timestamptz[], %b::bytea[], %b::bytea[])
            """,
            [list(column) for column in zip(*columns, strict=True)],
        )
