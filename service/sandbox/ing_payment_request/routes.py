"""ING's token endpoint and Payment Request API. Source: fact sheet, sections 4, 5 and 6."""

from datetime import datetime, timedelta
from functools import partial
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.faults import ReadFault
from service.sandbox.ing_payment_request.account import IngAccount
from service.sandbox.ing_payment_request.creation import terms_in
from service.sandbox.ing_payment_request.door import admitted, error_answer, refusal, shown_as
from service.sandbox.ing_payment_request.happenings import What
from service.sandbox.ing_payment_request.registrations import (
    CERTIFICATES,
    Registration,
    check_certificates,
    registration_in,
)
from service.sandbox.ing_payment_request.signatures import is_signed
from service.sandbox.ing_payment_request.words import (
    PAY_URL,
    payments_json,
    request_json,
    status_word,
)
from service.sandbox.ledger import PaymentRequest
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
    token = account.new_token(granted, world_of(request).now())
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
    account = await admitted(request, "payment-requests:create", "create")
    if account.registration is None or account.registration.status != "Active":
        raise ProviderError(error_answer(403))
    terms = terms_in(await request.body(), world_of(request).now())
    made = account.create(
        terms, terms.asked, "EUR", reference=terms.purchase_id, at=world_of(request).now()
    )
    shown = {"id": made.id, "paymentInitiationUrl": PAY_URL + made.id}
    return json_answer(shown, 201, {"location": f"/payment-requests/{made.id}"})


async def read(request: Request) -> Response:
    """Answer one payment request."""
    account = await admitted(request, "payment-requests:view", "read")
    fault = await strike(account, "read", partial(refusal, account))
    asked = _asked(account, request)
    entries = account.seen(asked, _moment(request, account, fault))
    shown = request_json(asked, account.terms[asked.id], entries)
    if account.settings.deprecated_transactions:
        shown["transactions"] = payments_json(entries)["payments"]
    if fault is ReadFault.WRONG_RESOURCE:
        shown["id"] = asked.id[::-1]
    if fault is ReadFault.UNKNOWN_WORD:
        shown["status"] = UNKNOWN_WORD
    return shown_as(shown)


async def read_payments(request: Request) -> Response:
    """Answer the payments of a payment request, all in one."""
    account = await admitted(request, "payment-requests:view", "payments")
    fault = await strike(account, "payments", partial(refusal, account))
    asked = _asked(account, request)
    return shown_as(payments_json(account.seen(asked, _moment(request, account, fault))))


async def close(request: Request) -> Response:
    """Close a payment request that is open."""
    account = await admitted(request, "payment-requests:close", "close")
    asked, now = _asked(account, request), world_of(request).now()
    if status_word(account.terms[asked.id], account.seen(asked, now)) != "open":
        raise ProviderError(error_answer(409))
    asked.record(What.CLOSED, at=now)
    return Response(status_code=204)


async def read_registration(request: Request) -> Response:
    """Answer the merchant's registration; the paths carry no id: there is one per client."""
    account = await admitted(request, "payment-requests:register", "registration")
    if account.registration is None:
        raise ProviderError(error_answer(404))
    return shown_as(account.registration.shown())


async def register(request: Request) -> Response:
    """Register the merchant. Creating stays forbidden until the registration is active."""
    account = await admitted(request, "payment-requests:register", "register")
    account.registration = registration_in(await request.body(), world_of(request).now())
    return json_answer(CERTIFICATES, 202)


async def change_registration(request: Request) -> Response:
    """Change some of the registration's fields."""
    account = await admitted(request, "payment-requests:register", "register")
    _registered(account).change(await request.body(), world_of(request).now())
    return Response(status_code=204)


async def generate_certificates(request: Request) -> Response:
    """Make new certificates and signing requests."""
    account = await admitted(request, "payment-requests:register", "register")
    _registered(account)
    return json_answer(CERTIFICATES, 202)


async def upload_certificates(request: Request) -> Response:
    """Take the four certificates of iDEAL 2.0."""
    account = await admitted(request, "payment-requests:register", "register")
    _registered(account)
    check_certificates(await request.body())
    return Response(status_code=204)


ROUTES = [
    Route("/oauth2/token", give_token, methods=["POST"]),
    Route("/payment-requests", create, methods=["POST"]),
    Route("/payment-requests/registrations", read_registration, methods=["GET"]),
    Route("/payment-requests/registrations", register, methods=["POST"]),
    Route("/payment-requests/registrations", change_registration, methods=["PATCH"]),
    Route(
        "/payment-requests/registrations/generate-certificates",
        generate_certificates,
        methods=["POST"],
    ),
    Route("/payment-requests/registrations/certificates", upload_certificates, methods=["PUT"]),
    Route("/payment-requests/{request_id}", read, methods=["GET"]),
    Route("/payment-requests/{request_id}/close", close, methods=["POST"]),
    Route("/payment-requests/{request_id}/payments", read_payments, methods=["GET"]),
]


def _asked(account: IngAccount, request: Request) -> PaymentRequest:
    asked = account.requests.get(request.path_params["request_id"])
    if asked is None:
        raise ProviderError(error_answer(404))
    return asked


def _registered(account: IngAccount) -> Registration:
    """Return the registration. Without one there is nothing to change: 404 is not listed."""
    if account.registration is None:
        raise ProviderError(error_answer(403))
    return account.registration


def _moment(request: Request, account: IngAccount, fault: ReadFault | None) -> datetime:
    """Return the moment whose picture a read shows."""
    now = world_of(request).now()
    if fault is ReadFault.STALE:
        return now - timedelta(milliseconds=account.settings.faults.stale_ms)
    return now


def _key_id(signature: str) -> str:
    """Return the client id that a signature names, which decides whose key checks it."""
    return signature.partition('keyId="')[2].partition('"')[0]
