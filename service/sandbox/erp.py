"""The fake ERP: a webhook door that checks signatures, remembers everything, and misbehaves.

Source: Standard Webhooks 1.0.0, symmetric signatures (v1).
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.faults import Milliseconds, Rate
from service.sandbox.latency import Latency

TOLERANCE_SECONDS = 300


class Behaviour(Struct, forbid_unknown_fields=True):
    """How the door answers from now on.

    answers is used up first: the status codes of the next calls, in order. Then fail_first calls
    get 503. reset_rate: the call is kept, then the connection is reset without an answer.
    reject_unsigned: a bad signature gets 401.

    Two defects to plant, to see that a check finds them: the next `forget` calls are answered
    and not kept, the next `double` calls are kept a second time under another id.
    """

    status: Annotated[int, Meta(ge=100, le=599)] = 204
    answers: list[Annotated[int, Meta(ge=100, le=599)]] = msgspec.field(default_factory=list)
    fail_first: Annotated[int, Meta(ge=0)] = 0
    error_rate: Rate = 0
    reset_rate: Rate = 0
    slow_rate: Rate = 0
    slow_ms: Milliseconds = 2000
    latency_ms: Milliseconds = 0
    retry_after_seconds: int | None = None
    reject_unsigned: bool = True
    forget: Annotated[int, Meta(ge=0)] = 0
    double: Annotated[int, Meta(ge=0)] = 0
    seed: int = 0


@dataclass(slots=True)
class Notification:
    """One call at the door; status is what we answered, None after a reset or while pending."""

    n: int
    received_at: datetime
    headers: Mapping[str, str]
    body: bytes
    content: object
    signature_valid: bool
    attempt: int
    status: int | None = None

    @property
    def id(self) -> str | None:
        return self.headers.get("webhook-id")

    @property
    def type(self) -> str | None:
        """The type in the body, None when there is none."""
        match self.content:
            case {"type": str(type_)}:
                return type_
            case _:
                return None

    def shown(self) -> dict[str, object]:
        """Return what the control API tells of it."""
        return {
            "n": self.n,
            "received_at": self.received_at,
            "id": self.id,
            "type": self.type,
            "body": self.content,
            "body_sha256": hashlib.sha256(self.body).hexdigest(),
            "headers": self.headers,
            "signature_valid": self.signature_valid,
            "attempt": self.attempt,
            "status": self.status,
        }


class Erp:
    """Takes notifications in; everything that arrived is kept, in order of arrival."""

    def __init__(self, latency: Latency, now: Callable[[], datetime]) -> None:
        self.secrets: list[str] = []
        self.received: list[Notification] = []
        self._latency = latency
        self._now = now
        self._attempts: Counter[str | None] = Counter()
        self.behave(Behaviour())

    def behave(self, behaviour: Behaviour) -> None:
        """Answer like this from now on."""
        self.behaviour = behaviour
        self._random = Random(behaviour.seed)  # noqa: S311 - faults, not secrets

    async def take(self, request: Request) -> Response:
        """Answer a call at the door."""
        behaviour, body = self.behaviour, await request.body()
        if behaviour.forget:
            behaviour.forget -= 1
            return Response(status_code=behaviour.status)
        notification = self._keep(request.headers, body)
        self._latency.arrived(notification.content)
        if behaviour.double:
            behaviour.double -= 1
            self._keep_again(notification)
        slow = behaviour.slow_ms if self._random.random() < behaviour.slow_rate else 0
        if behaviour.latency_ms or slow:
            await asyncio.sleep((behaviour.latency_ms + slow) / 1000)
        if self._random.random() < behaviour.reset_rate:
            return await reset_connection(request)
        notification.status = self._status_for(notification)
        response = Response(status_code=notification.status)
        if notification.status in (429, 503) and behaviour.retry_after_seconds is not None:
            response.headers["retry-after"] = str(behaviour.retry_after_seconds)
        return response

    def summary(self) -> dict[str, object]:
        """Return counts over everything that arrived."""
        return {
            "received": len(self.received),
            "distinct": len(self._attempts),
            "invalid_signatures": sum(not each.signature_valid for each in self.received),
            "by_type": Counter(each.type or "" for each in self.received),
            "by_status": Counter(str(each.status or "none") for each in self.received),
        }

    def _keep(self, headers: Mapping[str, str], body: bytes) -> Notification:
        now = self._now()
        try:
            content = msgspec.json.decode(body)
        except msgspec.DecodeError:
            content = None
        webhook_id = headers.get("webhook-id")
        self._attempts[webhook_id] += 1
        notification = Notification(
            n=len(self.received) + 1,
            received_at=now,
            headers=dict(headers),
            body=body,
            content=content,
            signature_valid=is_signed(body, headers, secrets=self.secrets, now=now.timestamp()),
            attempt=self._attempts[webhook_id],
        )
        self.received.append(notification)
        return notification

    def _keep_again(self, notification: Notification) -> None:
        headers = {**notification.headers, "webhook-id": f"{notification.id}-again"}
        number = len(self.received) + 1
        self.received.append(replace(notification, n=number, headers=headers))

    def _status_for(self, notification: Notification) -> int:
        behaviour = self.behaviour
        if behaviour.answers:
            return behaviour.answers.pop(0)
        if behaviour.fail_first:
            behaviour.fail_first -= 1
            return 503
        if self._random.random() < behaviour.error_rate:
            return 500
        if behaviour.reject_unsigned and not notification.signature_valid:
            return 401
        return behaviour.status


def is_signed(
    body: bytes, headers: Mapping[str, str], *, secrets: Sequence[str], now: float
) -> bool:
    """Return whether one of the secrets signed this body under its id and timestamp.

    now is in seconds since 1970. An id with a full stop is refused: it could move the border
    between id, timestamp and body.
    """
    webhook_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not webhook_id or "." in webhook_id or not re.fullmatch("[0-9]{1,12}", timestamp):
        return False
    if abs(int(now) - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    expected = [
        hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256")
        for secret in secrets
    ]
    offered = _signatures(headers.get("webhook-signature", ""))
    return any(hmac.compare_digest(ours, theirs) for ours in expected for theirs in offered)


def _signatures(header: str) -> list[bytes]:
    """Return the v1 signatures of a header; what does not parse is left out."""
    signatures = []
    for token in header.split(" "):
        version, _, encoded = token.partition(",")
        if version == "v1":
            try:
                signatures.append(base64.b64decode(encoded, validate=True))
            except (binascii.Error, ValueError):
                continue
    return signatures


async def reset_connection(request: Request) -> Response:
    """Break the connection without an answer.

    uvicorn's receive is a method of the request cycle that owns the connection. Without such a
    server in between (in-process calls) the caller gets ConnectionResetError.
    """
    transport = getattr(getattr(request.receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the fake ERP reset the connection")
    linger_never = struct.pack("ii", 1, 0)
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_never)
    transport.abort()
    # The server learns of the loss on the loop's next turns; an answer is then dropped silently.
    await request.receive()
    return Response()
