"""What persons did: who, what, when and why. Append-only; the database refuses more."""

from dataclasses import dataclass
from typing import Any, Literal

from psycopg import AsyncConnection

from service.storage.identifiers import new_id

Did = Literal["pause", "resume", "test", "resend", "recover", "stop", "replay", "sync"]


@dataclass(frozen=True, slots=True)
class Intervention:
    """One act of a person.

    who is `api:` or `console:` and the key's name, or `command:` and the user's.
    subject_id is the request or order that it was about, about the delivery, event or recovery.
    """

    did: Did
    who: str
    reason: str | None = None
    endpoint: str | None = None
    subject_id: str | None = None
    about: str | None = None


class Interventions:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def append(self, act: Intervention) -> None:
        """Write down what somebody did, in the transaction that does it."""
        await self._connection.execute(
            """
            insert into interventions (id, did, who, reason, endpoint, subject_id, about)
            values (%s, %s, %s, %s, %s, %s, %s)
            """,
            [
                new_id("ivn"), act.did, act.who, act.reason, act.endpoint, act.subject_id,
                act.about,
            ],
        )  # fmt: skip
