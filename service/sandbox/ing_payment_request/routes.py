"""ING's token endpoint and Payment Request API. Source: fact sheet, sections 4, 5 and 9."""

from datetime import timedelta
from functools import partial
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.faults import ReadFault
from service.sandbox.ing_payment_request.account import IngAccount
from service.sandbox.ing_payment_request.creation import Refused, terms_in
from service.sandbox.ing_payment_request.happenings import What
from service.sandbox.ing_payment_request.signatures import is_signed
from service.sandbox.ing_payment_request.words import (
    ENCODER,
    PAY_URL,
    payments_json,
    request_json,
    stamp,
    status_word,
)
from service.sandbox.ledger import Json, PaymentRequest
from service.sandbox.provider_http import ProviderError, json_answer, strike
from service.sandbox.world import world_of

# A status that stands in no table.
UNKNOWN_WORD = "under-review"


async def give_token(request: Request) -> Response:
    """Answer an application token for the client id, in the style of the account."""
    body = await request.body()
    form = {name: values[-1] for name, values in parse_qs(body.decode("latin-1")).items()}
    scheme, _, signature = request.headers.get("authorization", "").partition(" ")
    client_id = form.get("client_id", "") or _key_id(signature)
    account = world_of(request).admit("ing_payment_request", client_id)
    if not isinstance(account, IngAccount):
        raise ProviderError(json_answer({"message": "client_id is unknown"}, 400))
    account.reads["token"] += 1
    if form.get("grant_type") != "client_credentials":
        raise ProviderError(json_answer({"message": "grant_type is missing"}, 400))
    if account.signing_key is not None:
        is_ours = scheme == "Signature" and is_signed(
            request, body, signature=signature, client_id=client_id, key=account.signing_key
        )
        if not is_ours:
            raise ProviderError(json_answer({"message": "signature is not valid"}, 401))
    asked = form.get("scope", " ".join(account.settings.scopes)).split()
    granted = [scope for scope in asked if scope in account.settings.scopes]
    if not granted:
        raise ProviderError(json_answer({"message": "scope is not granted"}, 400))
    token = account.new_token(world_of(request).now())
    return json_answer(
        {
            "access_token": token,
            "expires_in": int(account.settings.token_seconds),
            "scope": " ".join(granted),
            "token_type": "Bearer",
            "client_id": client_id,
        }
    )


async def create(request: Request) -> Response:
    """Create a payment request. Sending it twice creates two."""
    account = await _admitted(request, "payment-requests:create", "create")
    if account.settings.registration != "Active":
        raise ProviderError(_error(403))
    try:
        terms = terms_in(await request.body(), world_of(request).now())
    except Refused as refused:
        raise ProviderError(_bad(refused)) from refused
    made = account.create(
        terms, terms.asked, "EUR", reference=terms.purchase_id, at=world_of(request).now()
    )
    shown = {"id": made.id, "paymentInitiationUrl": PAY_URL + made.id}
    return json_answer(shown, 201, {"location": f"/payment-requests/{made.id}"})


async def read(request: Request) -> Response:
    """Answer one payment request."""
    account = await _admitted(request, "payment-requests:view", "read")
    fault = await strike(account, "read", partial(_refusal, account))
    asked = _asked(account, request)
    now = world_of(request).now()
    if fault is ReadFault.STALE:
        now -= timedelta(milliseconds=account.settings.faults.stale_ms)
    shown = request_json(asked, account.terms[asked.id], account.seen(asked, now))
    if fault is ReadFault.WRONG_RESOURCE:
        shown["id"] = asked.id[::-1]
    if fault is ReadFault.UNKNOWN_WORD:
        shown["status"] = UNKNOWN_WORD
    return _answer(shown)


async def read_payments(request: Request) -> Response:
    """Answer the payments of a payment request, all in one."""
    account = await _admitted(request, "payment-requests:view", "payments")
    await strike(account, "payments", partial(_refusal, account))
    asked = _asked(account, request)
    return _answer(payments_json(account.seen(asked, world_of(request).now())))


async def close(request: Request) -> Response:
    """Close a payment request that is open."""
    account = await _admitted(request, "payment-requests:close", "close")
    asked, now = _asked(account, request), world_of(request).now()
    if status_word(account.terms[asked.id], account.seen(asked, now)) != "open":
        raise ProviderError(_error(409))
    asked.record(What.CLOSED, at=now)
    return Response(status_code=204)


async def read_registration(request: Request) -> Response:
    """Answer the merchant's registration; the paths carry no id: there is one per client."""
    account = await _admitted(request, "payment-requests:register", "registration")
    moment = stamp(world_of(request).now())
    shown: Json = {
        "merchantId": "001234567",
        "merchantSubId": "123456",
        "merchantName": "Company BV",
        "merchantIBAN": "NL26INGB0003275339",
        "dailyReceivableLimit": {"value": 25000, "currency": "EUR"},
        "allowIngAppPayments": "Y",
        "created": moment,
        "lastUpdated": moment,
        "status": account.settings.registration,
    }
    return _answer(shown)


ROUTES = [
    Route("/oauth2/token", give_token, methods=["POST"]),
    Route("/payment-requests", create, methods=["POST"]),
    Route("/payment-requests/registrations", read_registration, methods=["GET"]),
    Route("/payment-requests/{request_id}", read, methods=["GET"]),
    Route("/payment-requests/{request_id}/close", close, methods=["POST"]),
    Route("/payment-requests/{request_id}/payments", read_payments, methods=["GET"]),
]

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


async def _admitted(request: Request, scope: str, kind: str) -> IngAccount:
    """Return the account whose token, signature and scope allow the call. Raises ProviderError."""
    world = world_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    account = next(
        (
            each
            for each in world.accounts.values()
            if isinstance(each, IngAccount) and each.accepts(token, world.now())
        ),
        None,
    )
    if account is None or scheme != "Bearer":
        raise ProviderError(_error(401))
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
            raise ProviderError(_error(401))
    if scope not in account.settings.scopes:
        raise ProviderError(_error(403))
    if kind not in ("read", "payments"):
        account.reads[kind] += 1
    return account


def _asked(account: IngAccount, request: Request) -> PaymentRequest:
    asked = account.requests.get(request.path_params["request_id"])
    if asked is None:
        raise ProviderError(_error(404))
    return asked


def _key_id(signature: str) -> str:
    """Return the client id that a signature names, which decides whose key checks it."""
    return signature.partition('keyId="')[2].partition('"')[0]


def _refusal(account: IngAccount, fault: ReadFault) -> Response:
    headers = {}
    if fault is ReadFault.TOO_MANY:
        headers["retry-after"] = str(account.settings.faults.retry_after_seconds)
    return _error(STATUS_OF[fault], headers)


def _error(status: int, headers: dict[str, str] | None = None) -> Response:
    severity, code, message = ERRORS[status]
    error = {"severity": severity, "code": code, "message": message}
    return json_answer({"error": error}, status, headers)


def _bad(refused: Refused) -> Response:
    """Return the 400 for a body, naming its field."""
    error: Json = {"severity": "error", "code": "errParseFailed", "message": refused.message}
    if refused.target is not None:
        inner = {
            "severity": "error",
            "code": "errPattern",
            "message": refused.message,
            "target": refused.target,
        }
        error |= {
            "code": "errValidation",
            "message": "Request has an invalid field",
            "target": refused.target,
            "innerErrors": [inner],
        }
    else:
        error["source"] = "payment-requests"
    return json_answer({"error": error}, 400)


def _answer(shown: Json) -> Response:
    return json_answer(ENCODER.encode(shown))
