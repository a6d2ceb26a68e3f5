"""Tries whether an endpoint can be reached, without a word about any payment.

A webhook or the API of a recipe gets one HEAD without a signature, over the same road as messages:
name, address, connection and certificate are tried, and any answer will do. A folder is looked at,
the server of a stream gets a PING.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from service.errors import AddressRefused, Rejected, Unavailable
from service.flow.diagnose import Diagnosis, away, good, wrong
from service.settings import Endpoint
from service.wire import Wire

# A person waits for the answer; messages themselves have the endpoint's own time-out.
HEAD_SECONDS_MAX: Final = 10.0

_SEE_URL: Final = "see that `url` is right, and that firewalls let this machine out"
_REMEDIES: Final[Mapping[str, str]] = {
    "name_not_resolved": "see that `url` is right, and that this machine can look names up (DNS)",
    "tls_failed": "see to the certificate of the ERP, to ours if it asks for one, and to the clock",
    "timeout": "see whether the ERP is busy, and to the network between us",
}


@dataclass(frozen=True, slots=True)
class ReachParts:
    """What a try touches: wires by allow_private, certificates by endpoint, PING for a Redis.

    redis_url is our own Redis, None while nobody knows where it is.
    """

    wires: Mapping[bool, Wire]
    tls: Mapping[str, ssl.SSLContext]
    answers: Callable[[str], bool]
    redis_url: str | None


async def reach(endpoint: Endpoint, *, parts: ReachParts) -> Diagnosis:
    """Try one endpoint; what stands in the way is the finding. Nothing is raised or sent."""
    part = f"endpoint {endpoint.name}"
    match endpoint.kind:
        case "webhook" | "recipe":
            assert endpoint.url is not None, "the settings checked it"
            return await _knock(part, endpoint, endpoint.url, parts)
        case "file":
            assert endpoint.folder is not None, "the settings checked it"
            return await asyncio.to_thread(_look_at, part, endpoint.folder)
        case "stream":
            url = endpoint.redis_url.reveal() if endpoint.redis_url else parts.redis_url
            return await asyncio.to_thread(_ping, part, url, parts.answers)


async def _knock(part: str, endpoint: Endpoint, url: str, parts: ReachParts) -> Diagnosis:
    started = time.monotonic()
    try:
        answer = await parts.wires[endpoint.allow_private].send(
            httpx.Request("HEAD", url),
            total_seconds=min(endpoint.timeout.total_seconds(), HEAD_SECONDS_MAX),
            body_bytes_max=0,
            truncate=True,
            tls=parts.tls.get(endpoint.name),
        )
    except AddressRefused as error:
        remedy = "name the ERP's public address, or set allow_private for one in your own network"
        return wrong(part, "reachable", f"never connected to: {error.detail}", remedy)
    except (Unavailable, Rejected) as error:
        return away(part, f"HEAD: {error.detail}", _REMEDIES.get(error.detail, _SEE_URL))
    took = (time.monotonic() - started) * 1000
    said = f"HEAD answered {answer.status_code} in {took:.0f} ms; no message was sent"
    return good(part, "reachable", said)


def _look_at(part: str, folder: Path) -> Diagnosis:
    if not folder.is_dir():
        return wrong(part, "reachable", f"{folder} is no folder", "make it, or mount it")
    if not os.access(folder, os.W_OK | os.X_OK):
        remedy = "let the user that runs settled write there"
        return wrong(part, "reachable", f"{folder} cannot be written", remedy)
    return good(part, "reachable", f"{folder} can be written; no file was")


def _ping(part: str, url: str | None, answers: Callable[[str], bool]) -> Diagnosis:
    if url is not None and answers(url):
        return good(part, "reachable", "PING answered; no entry was added")
    return away(part, "its Redis does not answer a PING", "see that it runs, and to `redis_url`")
