"""One attempt: what a lane let through is signed and posted, or handed to what takes it there."""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import httpx

from service import erp
from service.domain.envelope import CONTENT_TYPES, body_for
from service.domain.lane import Allowance
from service.domain.signature import key_of
from service.ed25519 import seal_of
from service.settings import Endpoint
from service.storage.database import Pool
from service.storage.deliveries import ClaimedDelivery
from service.wire import Wire


@dataclass(frozen=True)
class DeliverParts:
    """What a delivery touches.

    wires has one for endpoints in private networks and one for others; outlets are of the
    endpoints that are no webhooks. recorded is called after every commit of what attempts came
    to. stopping, once set, has nothing more claimed. tls has what shows our certificate, by the
    name of the endpoint that asks for one.
    """

    pool: Pool
    endpoints: Mapping[str, Endpoint]
    wires: Mapping[bool, Wire]
    now: Callable[[], datetime]
    recorded: Callable[[], None]
    stopping: asyncio.Event
    tls: Mapping[str, ssl.SSLContext] = field(default_factory=dict)
    outlets: Mapping[str, erp.Outlet] = field(default_factory=dict)

    @cached_property
    def doors(self) -> Mapping[str, erp.Door]:
        """The doors of the endpoints that are posted to, made once."""
        return {
            name: _door_of(endpoint, self.tls.get(name))
            for name, endpoint in self.endpoints.items()
            if endpoint.kind == "webhook"
        }


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one lane let through at a time, which is the database's.

    overtaken are the ids of those that are sent again although the endpoint knows a later one.
    """

    claims: Sequence[ClaimedDelivery]
    allowance: Allowance
    at: datetime
    overtaken: frozenset[str] = frozenset()

    def parted(self, endpoint: Endpoint) -> Sequence[Sequence[ClaimedDelivery]]:
        """Return what travels together: all of it into a file, one at a time anywhere else."""
        if endpoint.kind == "file":
            return [self.claims] if self.claims else []
        return [[claim] for claim in self.claims]


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt that came back; is_probe says that it does not count in the schedule."""

    claimed: ClaimedDelivery
    outcome: erp.Outcome
    is_probe: bool
    at: datetime


async def attempt(
    together: Sequence[ClaimedDelivery], endpoint: Endpoint, claimed: Claimed, parts: DeliverParts
) -> list[Attempted]:
    """Make one attempt with what travels together."""
    at = parts.now()
    match endpoint.kind:
        case "webhook":
            outcome = await _post(together[0], endpoint, at, parts)
        case "recipe" if together[0].id in claimed.overtaken:
            outcome = erp.Outcome("delivered", "overtaken", None, 0, "", None)
        case "recipe" | "file" | "stream":
            outcome = await parts.outlets[endpoint.name].take(
                [_notification_of(each) for each in together],
                at=claimed.at,
                timeout_seconds=endpoint.timeout.total_seconds(),
            )
    return [Attempted(claim, outcome, claimed.allowance.is_probe, at) for claim in together]


async def try_once(claim: ClaimedDelivery, endpoint: Endpoint, parts: DeliverParts) -> erp.Outcome:
    """Send one message that no row stands for, beside the feed and whatever its lane's state."""
    claimed = Claimed([claim], Allowance(1), parts.now())
    (attempted,) = await attempt([claim], endpoint, claimed, parts)
    return attempted.outcome


async def _post(
    claim: ClaimedDelivery, endpoint: Endpoint, at: datetime, parts: DeliverParts
) -> erp.Outcome:
    return await erp.post(
        parts.wires[endpoint.allow_private],
        _message_of(claim, endpoint),
        parts.doors[endpoint.name],
        at=at,
    )


def _notification_of(claim: ClaimedDelivery) -> erp.Notification:
    body = body_for("settled", claim.body, dead=claim.dead, superseded=claim.superseded)
    return erp.Notification(claim.notification_id, claim.type, body)


def _message_of(claim: ClaimedDelivery, endpoint: Endpoint) -> erp.Message:
    return erp.Message(
        notification_id=claim.notification_id,
        body=body_for(endpoint.body, claim.body, dead=claim.dead, superseded=claim.superseded),
        content_type=CONTENT_TYPES[endpoint.body],
        traceparent=claim.traceparent,
    )


def _door_of(endpoint: Endpoint, tls: ssl.SSLContext | None) -> erp.Door:
    key = endpoint.signing_key
    return erp.Door(
        httpx.URL(endpoint.url or ""),
        keys=[key_of(secret.reveal()) for secret in endpoint.secrets],
        timeout_seconds=endpoint.timeout.total_seconds(),
        seal=seal_of(key.reveal()) if key else None,
        tls=tls,
    )
