"""The outbox: one message per transition, and one delivery of it per endpoint that wants it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection

from service.storage.identifiers import new_id, new_traceparent


@dataclass(frozen=True, slots=True)
class NotificationRow:
    """A message with the exact bytes that are signed, and the endpoints that get it.

    traceparent goes out with it: that of the webhook behind it, else of a trace of its own.
    due_at names those that are not to get it at once.
    """

    id: str
    type: str
    subject: Literal["request", "order"]
    subject_id: str
    sequence: int
    account: str | None
    reference: str | None
    body: bytes
    created_at: datetime
    endpoints: tuple[str, ...]
    traceparent: str = field(default_factory=new_traceparent)
    due_at: Mapping[str, datetime] = field(default_factory=dict)


class Outbox:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def add(self, rows: Sequence[NotificationRow]) -> int:
        """Write messages and their deliveries; return how many deliveries there are."""
        if not rows:
            return 0
        messages = [
            (
                row.id,
                row.type,
                row.subject,
                row.subject_id,
                row.sequence,
                row.account,
                row.reference,
                row.body,
                row.created_at,
                row.traceparent,
            )
            for row in rows
        ]
        await self._connection.execute(
            """
            insert into notifications (id, type, subject, subject_id, sequence, account,
                                       reference, body, created_at, traceparent)
            select * from unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[],
                                 %b::text[], %b::text[], %b::bytea[], %b::timestamptz[],
                                 %b::text[])
            """,
            [list(column) for column in zip(*messages, strict=True)],
        )
        return await self._add_deliveries(rows)

    async def add_late(self, rows: Sequence[NotificationRow]) -> int:
        """Write deliveries of messages that are there, to endpoints that never had them."""
        return await self._add_deliveries(rows)

    async def _add_deliveries(self, rows: Sequence[NotificationRow]) -> int:
        deliveries = [
            (
                new_id("dlv"),
                row.id,
                endpoint,
                row.type,
                row.subject_id,
                row.sequence,
                row.reference,
                row.created_at,
                row.due_at.get(endpoint),
            )
            for row in rows
            for endpoint in row.endpoints
        ]
        if deliveries:
            await self._connection.execute(
                """
                insert into deliveries (id, notification_id, endpoint, type, subject_id,
                                        sequence, reference, notified_at, due_at)
                select id, notification_id, endpoint, type, subject_id, sequence, reference,
                       notified_at, coalesce(due_at, now())
                  from unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
                              %b::bigint[], %b::text[], %b::timestamptz[], %b::timestamptz[])
                    as d (id, notification_id, endpoint, type, subject_id, sequence, reference,
                          notified_at, due_at)
                """,
                [list(column) for column in zip(*deliveries, strict=True)],
            )
        return len(deliveries)
