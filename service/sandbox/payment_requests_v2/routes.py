"""The provider's API. Source: fact sheet payment_requests_v2, sections 1, 2, 5 and 6."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.faults import ReadFault
from service.sandbox.ledger import Json
from service.sandbox.payment_requests_v2.account import USER_ID, PaymentRequestsAccount
from service.sandbox.payment_requests_v2.creation import (
    Invalid,
    NotJson,
    asked_in,
    body_of,
    identifier,
)
from service.sandbox.payment_requests_v2.orders import PaymentOrder
from service.sandbox.payment_requests_v2.words import ENCODER, order_json
from service.sandbox.provider_http import ProviderError, json_answer, strike
from service.sandbox.world import world_of

# A status that stands in no table.
UNKNOWN_WORD = "sent_to_bank"

PER_PAGE, PER_PAGE_MAX = 10, 100
CLIENT_ACCOUNTS_PER_PAGE = 50
NUMBER_DIGITS_MAX = 9

RELATIONS = {
    "transfers.debtor.bank_account": "debtor",
    "transfers.creditor.bank_account": "creditor",
}


async def list_orders(request: Request) -> Response:
    """Answer a page of payment requests, newest first. A fault distorts every one of them."""
    account = _of_client(request, _admitted(request))
    relations = _relations(request)
    fault = await strike(account, "list", partial(_refusal, account))
    if fault is ReadFault.WRONG_RESOURCE:
        # Nobody asked for a certain one.
        fault = None
    page, per_page = _number(request, "page", 1), _number(request, "per_page", PER_PAGE)
    per_page = min(per_page, PER_PAGE_MAX)
    start = (page - 1) * per_page
    orders = islice(reversed(account.requests.values()), start, start + per_page)
    data = []
    for order in orders:
        assert isinstance(order, PaymentOrder)
        data.append(_shown(request, account, order, fault, relations))
    return _page(data, records=len(account.requests), page=page, per_page=per_page)


async def read_order(request: Request) -> Response:
    """Answer one payment request."""
    account = _of_client(request, _admitted(request))
    relations = _relations(request)
    fault = await strike(account, "read", partial(_refusal, account))
    order = account.requests.get(request.path_params["order_id"])
    if order is None:
        raise ProviderError(_error(404))
    assert isinstance(order, PaymentOrder)
    return _single(account, _shown(request, account, order, fault, relations))


async def create_order(request: Request) -> Response:
    """Make a payment request: real money. Sending it twice makes two; the answer is bare."""
    account = _admitted(request)
    account.reads["create"] += 1
    try:
        body = body_of(await request.body())
        if identifier(body.get("client_account_id")) != account.settings.client_account_id:
            raise ProviderError(_error(403))
        asked = asked_in(body)
    except NotJson as error:
        raise ProviderError(_error(400)) from error
    except Invalid as invalid:
        raise _invalid(invalid.errors) from invalid
    order = account.create(
        asked.transfers, asked.payment_type, asked.payment_means, at=world_of(request).now()
    )
    return json_answer(ENCODER.encode(_shown(request, account, order, None, frozenset())), 201)


async def read_user(request: Request) -> Response:
    """Answer whose token it is. Its fields are assumed."""
    account = _admitted(request)
    await strike(account, "user", partial(_refusal, account))
    return _single(account, {"id": USER_ID, "name": "Ola Nordmann", "email": "ola@example.no"})


async def list_client_accounts(request: Request) -> Response:
    """Answer the client accounts that the token may see: one. Its fields are assumed."""
    account = _admitted(request)
    await strike(account, "client_accounts", partial(_refusal, account))
    page = _number(request, "page", 1)
    per_page = min(_number(request, "per_page", CLIENT_ACCOUNTS_PER_PAGE), PER_PAGE_MAX)
    mine: Json = {"id": account.settings.client_account_id, "name": "Eksempel AS"}
    return _page([mine] if page == 1 else [], records=1, page=page, per_page=per_page)


ROUTES = [
    Route("/api/v2/payment-requests", list_orders, methods=["GET"]),
    Route("/api/v2/payment-requests", create_order, methods=["POST"]),
    Route("/api/v2/payment-requests/{order_id}", read_order, methods=["GET"]),
    Route("/api/v2/users/me", read_user, methods=["GET"]),
    Route("/api/v2/client-accounts", list_client_accounts, methods=["GET"]),
]

# Bodies of errors are assumed, as in the sheet's samples.
MESSAGES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    429: "Too many requests",
    500: "Internal error",
}
STATUS_OF = {
    ReadFault.ERROR: 500,
    ReadFault.TOO_MANY: 429,
    ReadFault.UNAUTHORISED: 401,
    ReadFault.NOT_FOUND: 404,
}


def _admitted(request: Request) -> PaymentRequestsAccount:
    """Return the account whose token allows the call. Raises ProviderError 401 and 429."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    account = world_of(request).admit("payment_requests_v2", token)
    if not isinstance(account, PaymentRequestsAccount) or scheme != "Bearer":
        raise ProviderError(_error(401))
    if account.settings.token_expired:
        raise ProviderError(_error(401))
    if not account.limit.take():
        raise ProviderError(_error(429))
    return account


def _of_client(request: Request, account: PaymentRequestsAccount) -> PaymentRequestsAccount:
    """Return the account; 403 unless the call names its client account."""
    if request.query_params.get("client_account_id") != str(account.settings.client_account_id):
        raise ProviderError(_error(403))
    return account


def _relations(request: Request) -> frozenset[str]:
    """Return the sides whose bank accounts are asked for; relations that do not exist are 422."""
    asked = [name for name in request.query_params.get("with", "").split(",") if name]
    if not RELATIONS.keys() >= set(asked):
        raise _invalid({"with": ["is invalid"]})
    return frozenset(RELATIONS[name] for name in asked)


def _number(request: Request, name: str, default: int) -> int:
    """Return a whole number from 1 up out of the query."""
    text = request.query_params.get(name, str(default))
    is_number = text.isascii() and text.isdecimal() and len(text) <= NUMBER_DIGITS_MAX
    if not is_number or int(text) < 1:
        raise _invalid({name: ["is invalid"]})
    return int(text)


def _shown(
    request: Request,
    account: PaymentRequestsAccount,
    order: PaymentOrder,
    fault: ReadFault | None,
    relations: frozenset[str],
) -> Json:
    """Return an order as it is seen now, with one thing wrong where there is a fault."""
    now = world_of(request).now()
    if fault is ReadFault.STALE:
        age = timedelta(milliseconds=account.settings.faults.stale_ms)
        entries = order.entries_until(now - age)
    else:
        entries = order.seen_at(now)
    shown = order_json(
        order,
        entries,
        style=account.settings.words,
        client_account_id=account.settings.client_account_id,
        relations=relations,
    )
    if fault is ReadFault.WRONG_RESOURCE:
        shown["id"] = int(order.id) + 1_000_000
    if fault is ReadFault.UNKNOWN_WORD:
        transfers = shown["transfers"]
        assert isinstance(transfers, list)
        for each in (shown, *transfers):
            each["payment_status"] = UNKNOWN_WORD
    return shown


def _single(account: PaymentRequestsAccount, shown: Json) -> Response:
    return json_answer(ENCODER.encode({"data": shown} if account.settings.wrapped else shown))


def _page(data: Sequence[Json], *, records: int, page: int, per_page: int) -> Response:
    """Return a page in its envelope; one beyond the last is empty. Source: section 5."""
    meta = {
        "records": records,
        "per_page": per_page,
        "page": page,
        "pages": -(-records // per_page),
    }
    return json_answer(ENCODER.encode({"meta": meta, "data": data}))


def _refusal(account: PaymentRequestsAccount, fault: ReadFault) -> Response:
    headers = {}
    if fault is ReadFault.TOO_MANY:
        headers["retry-after"] = str(account.settings.faults.retry_after_seconds)
    return _error(STATUS_OF[fault], headers)


def _error(status: int, headers: dict[str, str] | None = None) -> Response:
    return json_answer({"message": MESSAGES[status]}, status, headers)


def _invalid(errors: dict[str, list[str]]) -> ProviderError:
    """Return a 422 that names the fields."""
    return ProviderError(json_answer({"message": "Validation failed", "errors": errors}, 422))
