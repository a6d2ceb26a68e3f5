"""Who is let in at ING, and how it refuses. Source: fact sheet, sections 4 and 9."""

from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.faults import ReadFault
from service.sandbox.ing_payment_request.account import IngAccount, Token
from service.sandbox.ing_payment_request.signatures import is_signed
from service.sandbox.ing_payment_request.words import ENCODER
from service.sandbox.ledger import Json
from service.sandbox.provider_http import ProviderError, json_answer
from service.sandbox.world import World, world_of

# Source: section 9 and its samples; 429 is not listed there.
ERRORS: dict[int, tuple[str, str, str]] = {
    401: ("error", "errUnauthorized", "Access token missing, expired or of the wrong kind"),
    403: ("error", "errForbidden", "Scope or registration does not allow this call"),
    404: ("error", "errNotFound", "No payment request with this identifier"),
    409: ("error", "errConflict", "Only an open payment request can be closed"),
    429: ("error", "errTooMany", "Too many calls"),
    500: ("critical", "errInternal", "Internal failure"),
}
STATUS_OF = {
    ReadFault.ERROR: 500,
    ReadFault.TOO_MANY: 429,
    ReadFault.UNAUTHORISED: 401,
    ReadFault.NOT_FOUND: 404,
}


async def admitted(request: Request, scope: str, kind: str) -> IngAccount:
    """Return the account whose token, signature and scope allow the call. Raises ProviderError."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    found = _holder(world_of(request), text)
    if found is None or scheme != "Bearer":
        raise ProviderError(error_answer(401))
    account, token = found
    if account.signing_key is not None:
        signature = request.headers.get("signature", "")
        is_ours = "x-ing-reqid" in request.headers and is_signed(
            request,
            await request.body(),
            signature=signature,
            client_id=account.settings.client_id,
            key=account.signing_key,
        )
        if not is_ours:
            raise ProviderError(error_answer(401))
    if scope not in token.scopes.intersection(account.settings.scopes):
        raise ProviderError(error_answer(403))
    if kind not in ("read", "payments"):
        account.reads[kind] += 1
    return account


def refusal(account: IngAccount, fault: ReadFault) -> Response:
    """Return the answer for a fault that ends a read."""
    headers = {}
    if fault is ReadFault.TOO_MANY:
        headers["retry-after"] = str(account.settings.faults.retry_after_seconds)
    return error_answer(STATUS_OF[fault], headers)


def error_answer(status: int, headers: dict[str, str] | None = None) -> Response:
    """Return an error in the documented envelope."""
    severity, code, message = ERRORS[status]
    error = {"severity": severity, "code": code, "message": message}
    return json_answer({"error": error}, status, headers)


def shown_as(shown: Json) -> Response:
    """Return JSON in which amounts are numbers."""
    return json_answer(ENCODER.encode(shown))


def _holder(world: World, text: str) -> tuple[IngAccount, Token] | None:
    for account in world.accounts.values():
        if isinstance(account, IngAccount):
            token = account.token(text, world.now())
            if token is not None:
                return account, token
    return None
