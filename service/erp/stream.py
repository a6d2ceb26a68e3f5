"""kind = "stream": appends notifications to a Redis stream.

One entry each, with the fields id, type and body; body is the text that would be posted. An entry
may come twice after a crash: whoever reads remembers the ids. The order per request and per
order is kept, because the next one is only sent when the one before is in the stream.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from redis import exceptions
from redis.asyncio import Redis

from service.domain.lane import Result
from service.erp.outcome import Notification, Outcome, outcome

# What a server says when a person must act. ResponseError is any word of its own.
REFUSED: Final = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.ResponseError,
)
# Words of its own that pass by themselves.
PASSING: Final = (
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
)


class StreamOutlet:
    """One stream. max_length, where given, has Redis trim the oldest entries, roughly."""

    def __init__(self, *, url: str, stream: str, max_length: int | None) -> None:
        self._redis = Redis.from_url(
            url, socket_connect_timeout=5.0, retry=None, decode_responses=True
        )
        self._stream = stream
        self._max_length = max_length

    async def take(
        self, notifications: Sequence[Notification], *, at: datetime, timeout_seconds: float
    ) -> Outcome:
        """Append in order. Redis away is tried again, a stream that refuses us holds the lane."""
        started = time.monotonic()
        last: bytes | str = ""
        try:
            async with asyncio.timeout(timeout_seconds):
                for notification in notifications:
                    last = await self._append(notification)
        except TimeoutError:
            return outcome("retry", "timeout", since=started)
        except exceptions.RedisError as error:
            result, code = _meaning(error)
            return outcome(result, code, since=started, excerpt=type(error).__name__)
        return outcome("delivered", "appended", since=started, excerpt=str(last))

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _append(self, notification: Notification) -> bytes | str:
        return await self._redis.xadd(
            self._stream,
            {"id": notification.id, "type": notification.type, "body": notification.body},
            maxlen=self._max_length,
            approximate=True,
        )


def _meaning(error: exceptions.RedisError) -> tuple[Result, str]:
    """Return what an error means for the delivery, and its code; never the server's words."""
    if isinstance(error, REFUSED) and not isinstance(error, PASSING):
        return "hold", "stream_refused"
    return "retry", "redis_away"
