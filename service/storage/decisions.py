"""What persons decided about orders and requests. Append-only; the database refuses more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from service.storage.identifiers import new_id


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a subject, when and why. who is `api:` and the key's name.

    detail holds what belongs to it: the code acknowledged, the orders left and joined, what is
    expected before and after.
    """

    what: Literal["acknowledgement", "link", "amendment"]
    subject: Literal["request", "order"]
    subject_id: str
    detail: Mapping[str, object]
    who: str
    reason: str | None
    at: datetime


class Decisions:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def append(self, decisions: Sequence[Decision]) -> None:
        """Write decisions down, in the transaction that carries them out."""
        for decision in decisions:
            await self._connection.execute(
                """
                insert into decisions (id, what, subject, subject_id, detail, who, reason, at)
                values (%s, %s, %s, %s, %s, %s, %s, %s)
                """,
                [
                    new_id("dec"),
                    decision.what,
                    decision.subject,
                    decision.subject_id,
                    Jsonb(dict(decision.detail)),
                    decision.who,
                    decision.reason,
                    decision.at,
                ],
            )
