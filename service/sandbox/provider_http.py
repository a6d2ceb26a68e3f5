"""What all fake providers' HTTP doors have in common: errors, and the faults of reads."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.accounts import Account
from service.sandbox.faults import ReadFault

HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"


class ProviderError(Exception):
    """An answer other than 2xx, ready to be given."""

    def __init__(self, answer: Response) -> None:
        super().__init__(str(answer.status_code))
        self.answer = answer


def answer_provider_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProviderError)
    return error.answer


def json_answer(
    content: object, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return content as JSON; bytes are JSON already."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(body, status_code, headers, media_type="application/json")


# Returns a provider's own answer for a fault: ERROR, TOO_MANY, UNAUTHORISED or NOT_FOUND.
Refusal = Callable[[ReadFault], Response]


async def strike(account: Account[Any], kind: str, refusal: Refusal) -> ReadFault | None:
    """Count a read of some kind and let its fault strike.

    Return a fault that distorts the picture (STALE, WRONG_RESOURCE, UNKNOWN_WORD), None where
    there is none. Raises ProviderError for all that end the call.
    """
    account.reads[kind] += 1
    faults = account.settings.faults
    if account.settings.latency_ms:
        await asyncio.sleep(account.settings.latency_ms / 1000)
    fault = account.draws.read_fault(faults)
    match fault:
        case ReadFault.ERROR | ReadFault.TOO_MANY | ReadFault.UNAUTHORISED | ReadFault.NOT_FOUND:
            raise ProviderError(refusal(fault))
        case ReadFault.HTML:
            raise ProviderError(Response(HTML, 502, media_type="text/html"))
        case ReadFault.SLOW:
            await asyncio.sleep(faults.slow_ms / 1000)
            return None
        case ReadFault.FINE:
            return None
        case _:
            return fault
