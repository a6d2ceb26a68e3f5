"""Who may come in at bunq: headers, tokens, request ids, rate limits, whose path it is.

Source: fact sheet bunq, sections 1, 3, 7, 8 and 9.
"""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.bunq.account import BunqAccount
from service.sandbox.bunq.answers import (
    BROKEN,
    FORBIDDEN,
    NOT_FOUND,
    UNAUTHORISED,
    USED_BEFORE,
    error,
    refused,
)
from service.sandbox.bunq.desk import Desk, Installation, Session
from service.sandbox.bunq.keys import is_signed, sign
from service.sandbox.faults import ReadFault
from service.sandbox.provider_http import ProviderError
from service.sandbox.world import world_of

TOKEN = "x-bunq-client-authentication"  # noqa: S105 - the name of a header
SIGNATURE = "x-bunq-client-signature"
REQUEST_ID = "x-bunq-client-request-id"

Endpoint = Callable[[Request], Awaitable[Response]]

REFUSALS = {
    ReadFault.UNAUTHORISED: (401, UNAUTHORISED),
    ReadFault.NOT_FOUND: (404, NOT_FOUND),
    # No Retry-After is documented.
    ReadFault.TOO_MANY: (
        429,
        "Too many requests. You can do a maximum of 3 calls per 3 second to this endpoint.",
    ),
}


def at_bunq(work: Endpoint) -> Endpoint:
    """Check a call's headers, and give its answer bunq's: ids, and a signature on a good one."""

    async def endpoint(request: Request) -> Response:
        try:
            _check_headers(request)
            answer = await work(request)
        except ProviderError as refusal:
            answer = refusal.answer
        if answer.media_type == "application/json":
            answer.headers["x-bunq-client-response-id"] = str(uuid4())
            if REQUEST_ID in request.headers:
                answer.headers[REQUEST_ID] = request.headers[REQUEST_ID]
            if answer.status_code == 200:
                answer.headers["x-bunq-server-signature"] = sign(bytes(answer.body))
        return answer

    return endpoint


def desk_of(request: Request) -> Desk:
    return world_of(request).shared(Desk)


def installation_of(request: Request) -> Installation:
    """Return the installation whose token a call shows. Raises ProviderError 401."""
    installation = desk_of(request).installation(request.headers.get(TOKEN, ""))
    if installation is None:
        raise refused(401, UNAUTHORISED)
    return installation


def account_with(request: Request, secret: str) -> BunqAccount | None:
    """Return the account that an API key belongs to now."""
    account = world_of(request).admit("bunq", secret)
    assert account is None or isinstance(account, BunqAccount)
    return account


async def admitted(request: Request, endpoint: str) -> tuple[BunqAccount, Session]:
    """Return whose session a call shows.

    Raises ProviderError: 401 for a token or a signature that is not good, 400 and 429 as
    check_count does, 403 for somebody else's path, 404 for an account that the user lacks.
    """
    session = desk_of(request).session(request.headers.get(TOKEN, ""), world_of(request).now())
    account = account_with(request, session.secret) if session else None
    if session is None or account is None:
        raise refused(401, UNAUTHORISED)
    check_count(request, account, endpoint)
    if SIGNATURE in request.headers:
        await check_signature(request, session.installation)
    settings, path = account.settings, request.path_params
    if path.get("user_id", settings.user_id) != settings.user_id:
        raise refused(403, FORBIDDEN)
    if path.get("account_id", settings.monetary_account_id) != settings.monetary_account_id:
        raise refused(404, NOT_FOUND)
    return account, session


def check_count(request: Request, account: BunqAccount, endpoint: str) -> None:
    """Raise ProviderError: 429 for one call too many, 400 for a request id that came before."""
    refusal = account.rates.refusal(request.method, endpoint)
    if refusal is not None:
        raise refused(429, refusal)
    request_id = request.headers.get(REQUEST_ID)
    if request_id is None:
        return
    if request_id in account.request_ids:
        raise refused(400, USED_BEFORE)
    account.request_ids.add(request_id)


async def check_signature(request: Request, installation: Installation) -> None:
    """Raise ProviderError 401 unless the body is signed by the installation's key."""
    signature = request.headers[SIGNATURE]
    if not is_signed(await request.body(), signature, installation.client_key):
        raise refused(401, UNAUTHORISED)


def refusal_of_read(fault: ReadFault) -> Response:
    """Return bunq's own answer for a fault that strikes a read."""
    return error(*REFUSALS.get(fault, (500, BROKEN)))


def _check_headers(request: Request) -> None:
    if request.headers.get("cache-control") != "no-cache":
        raise refused(400, "Missing or wrong header: Cache-Control must be no-cache.")
    if not request.headers.get("user-agent"):
        raise refused(400, "Missing header: User-Agent.")
