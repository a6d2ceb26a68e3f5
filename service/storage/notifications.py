"""The outbox: one message per transition, and one delivery of it per endpoint that wants it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection

from service.storage.identifiers import new_id


@dataclass(frozen=True, slots=True)
class NotificationRow:
    """A message with the exact bytes that are signed, and the endpoints that get it."""

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


class Outbox:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def add(self, rows: Sequence[NotificationRow]) -> int:
        """Write messages and their deliveries; return how many deliveries there are."""
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                """
                insert into notifications (id, type, subject, subject_id, sequence, account,
                                           reference, body, created_at)
                values (%s, %s, %s, %s, %s, %s, %s, %b, %s)
                """,
                [
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
                    )
                    for row in rows
                ],
            )
            deliveries = [
                (new_id("dlv"), row.id, endpoint, row.type, row.subject_id, row.sequence,
                 row.reference)
                for row in rows
                for endpoint in row.endpoints
            ]  # fmt: skip
            if deliveries:
                await cursor.executemany(
                    """
                    insert into deliveries (id, notification_id, endpoint, type, subject_id,
                                            sequence, reference)
                    values (%s, %s, %s, %s, %s, %s, %s)
                    """,
                    deliveries,
                )
        return len(deliveries)
