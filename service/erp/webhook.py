"""kind = "webhook": signs and posts one notification.

An attempt always comes to an Outcome: what the ERP answered, or why it could not, and what that
means for the delivery and its lane. Source: CONTRACT.md, section 5.
"""

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx

from service.domain.lane import GONE, Result
from service.domain.retry import parse_retry_after
from service.domain.signature import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    Seal,
    content_digest,
    sign,
)
from service.erp.outcome import Outcome, milliseconds_since
from service.errors import AddressRefused, Unavailable
from service.wire import Wire

ANSWER_BYTES_MAX: Final = 64 * 1024
EXCERPT_BYTES_MAX: Final = 2 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out, the same at every try; traceparent is None where nobody traces it."""

    notification_id: str
    body: bytes
    content_type: str = "application/json"
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """Where it goes and how it is signed there.

    seal adds the ed25519 signature, tls shows our certificate; timeout_seconds bounds a call.
    """

    url: httpx.URL | str
    keys: Sequence[bytes]
    timeout_seconds: float
    seal: Seal | None = None
    tls: ssl.SSLContext | None = None


async def post(wire: Wire, message: Message, door: Door, *, at: datetime) -> Outcome:
    """Post a notification once and judge the answer; raises nothing for what the ERP does.

    at is the time of this attempt, which is signed. Of an answer at most 64 KiB are read and
    2 KiB kept.
    """
    request = _signed_request(message, door, at=at)
    started = time.monotonic()
    try:
        answer = await wire.send(
            request,
            total_seconds=door.timeout_seconds,
            body_bytes_max=ANSWER_BYTES_MAX,
            truncate=True,
            tls=door.tls,
        )
    except Unavailable as error:
        return Outcome("retry", error.detail, None, milliseconds_since(started), "", None)
    except AddressRefused as error:
        return Outcome("hold", error.code, None, milliseconds_since(started), "", None)
    return judge(answer, duration_ms=milliseconds_since(started), now=at)


def result_of(status_code: int) -> Result:
    """Return what a status means for the delivery. Source: CONTRACT.md, section 5."""
    match status_code:
        case code if 200 <= code < 300:
            return "delivered"
        case 401 | 403 | 410:
            return "hold"
        case 408 | 425 | 429:
            return "retry"
        case code if 400 <= code < 500:
            return "dead"
        case _:  # 3xx, 5xx and what is no status at all.
            return "retry"


def excerpt_of(content: bytes) -> str:
    """Return the start of an answer as one line of printable text, at most 2 KiB of it."""
    text = content[:EXCERPT_BYTES_MAX].decode("utf-8", errors="replace")
    line = " ".join(text.split())
    return "".join(character for character in line if character.isprintable())


def _signed_request(message: Message, door: Door, *, at: datetime) -> httpx.Request:
    timestamp = int(at.timestamp())
    signature = sign(
        door.keys,
        notification_id=message.notification_id,
        timestamp=timestamp,
        body=message.body,
        seal=door.seal,
    )
    headers = {
        "content-type": message.content_type,
        "content-digest": content_digest(message.body),
        ID_HEADER: message.notification_id,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: signature,
    }
    if message.traceparent is not None:
        headers["traceparent"] = message.traceparent
    return httpx.Request("POST", door.url, headers=headers, content=message.body)


def judge(answer: httpx.Response, *, duration_ms: int, now: datetime) -> Outcome:
    """Return what an ERP's answer means, by its status."""
    return Outcome(
        result=result_of(answer.status_code),
        code=GONE if answer.status_code == 410 else f"http_{answer.status_code}",
        status_code=answer.status_code,
        duration_ms=duration_ms,
        excerpt=excerpt_of(answer.content),
        retry_after_seconds=parse_retry_after(answer.headers.get("retry-after", ""), now=now),
    )
