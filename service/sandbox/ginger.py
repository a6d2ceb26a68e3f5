"""Ginger's orders API: create, read, list, refunds. Source: fact sheet ginger, sections 2 to 16.

Both the slashed and the unslashed path are served; a redirect could turn a POST into a GET.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.accounts import Account, Listed
from service.sandbox.faults import ReadFault
from service.sandbox.ginger_transactions import Json
from service.sandbox.ledger import What
from service.sandbox.world import World, world_of

# Source: fact sheet ginger, section 15: 87 codes.
CURRENCY_CODES = (
    "AED AFN ANG ARS AUD AWG AZN BBD BDT BGN BHD BMD BND BOB BRL BSD BZD CAD CHF CLP CNY COP CRC "
    "CZK DKK DOP DZD EGP EUR FJD GBP GTQ GYD HKD HUF IDR ILS INR IQD ISK JMD JOD JPY KES KRW KWD "
    "KYD KZT LBP LKR MAD MDL MOP MXN MYR NGN NOK NPR NZD OMR PEN PHP PKR PLN PYG QAR RON SAR SCR "
    "SEK SGD SRD THB TND TRY TWD TZS UAH UGX USD UYU VND XCD XOF ZAR EEK LTL"
)
CURRENCIES = frozenset(CURRENCY_CODES.split())

# What a read repeats of a creation. Source: fact sheet ginger, sections 3.1 and 4.
REPEATED = (
    "capture_mode",
    "client",
    "customer",
    "description",
    "expiration_period",
    "extra",
    "merchant_order_id",
    "order_lines",
    "payment_methods",
    "return_url",
    "webhook_url",
)


class AskedTransaction(Struct):
    """A payment method to offer."""

    payment_method: str


class AskedOrder(Struct):
    """What we check of a creation. Source: fact sheet ginger, section 3.1."""

    amount: Annotated[int, Meta(ge=1)]
    currency: str
    transactions: list[AskedTransaction] = []
    webhook_url: Annotated[str, Meta(pattern="^https?://")] | None = None


class ProviderError(Exception):
    """An answer other than 2xx, in the documented envelope. Source: section 14."""

    def __init__(
        self,
        status: int,
        type_: str,
        value: str,
        *,
        property_path: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(value)
        self.status = status
        self.headers = headers
        self.error: Json = {"type": type_, "value": value}
        # The documented 401 carries no status.
        if status != 401:
            self.error = {"status": status} | self.error
        if property_path is not None:
            self.error |= {"property_path": property_path, "property_description": property_path}


def answer_provider_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProviderError)
    return _json(msgspec.json.encode({"error": error.error}), error.status, error.headers)


async def create_order(request: Request) -> Response:
    """Create an order with the transactions that the merchant asks for."""
    account = _account_of(request)
    world = world_of(request)
    asked, as_created = _asked_order(await request.body())
    as_created["client"] = {"user_agent": request.headers.get("user-agent", "")}
    order = account.create(asked.amount, asked.currency, as_created, at=world.now())
    for transaction in asked.transactions:
        order.record(
            What.OFFERED,
            at=world.now(),
            subject=str(UUID(int=account.ids.getrandbits(128), version=4)),
            amount=order.amount,
            note=transaction.payment_method,
        )
    world.sender.tell(account, order)
    return _json(account.rendered(account.resources[order.id], details=False), 201)


async def get_order(request: Request) -> Response:
    """Answer one order, with amount_details when `fields[]` asks for them."""
    account = _account_of(request)
    fault = await _pass(account, "order")
    if isinstance(fault, Response):
        return fault
    listed = account.resources.get(request.path_params["order_id"])
    if listed is None:
        raise _not_found()
    details = "amount_details" in request.query_params.getlist("fields[]")
    if fault is None:
        return _json(account.rendered(listed, details=details))
    return _json(
        msgspec.json.encode(_distorted(account, listed, fault, details, world_of(request)))
    )


async def list_orders(request: Request) -> Response:
    """Answer the orders created in a window, without their transactions, newest first."""
    account = _account_of(request)
    fault = await _pass(account, "list")
    if isinstance(fault, Response):
        return fault
    since, until = (_moment(request, name) for name in ("created_since", "created_until"))
    found = account.created_between(since, until)
    return _json(msgspec.json.encode([account.summary(listed) for listed in found]))


async def list_refunds(request: Request) -> Response:
    """Answer the refund orders of an order."""
    account = _account_of(request)
    fault = await _pass(account, "refunds")
    if isinstance(fault, Response):
        return fault
    listed = account.resources.get(request.path_params["order_id"])
    if listed is None or listed.return_id:
        raise _not_found()
    summaries = [account.summary(each) for each in account.family(listed.order)[1:]]
    refunds = [summary for summary in summaries if "refund_of_order_id" in summary]
    return _json(msgspec.json.encode(refunds))


Endpoint = Callable[[Request], Awaitable[Response]]


def _both(path: str, endpoint: Endpoint, method: str = "GET") -> list[Route]:
    return [Route(form, endpoint, methods=[method]) for form in (path, path.rstrip("/"))]


ROUTES = [
    *_both("/v1/orders/", create_order, "POST"),
    *_both("/v1/orders/", list_orders),
    *_both("/v1/orders/{order_id}/", get_order),
    *_both("/v1/orders/{order_id}/refunds/", list_refunds),
]


def _account_of(request: Request) -> Account:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    account = world_of(request).by_credentials.get(credentials)
    if account is None or scheme.lower() != "basic":
        raise _unauthorised()
    return account


async def _pass(account: Account, kind: str) -> Response | ReadFault | None:
    """Count a read and let its fault strike.

    Returns a ready answer, or a fault that distorts the picture, or None. Raises ProviderError.
    """
    account.reads[kind] += 1
    faults = account.settings.faults
    if account.settings.latency_ms:
        await asyncio.sleep(account.settings.latency_ms / 1000)
    fault = account.draws.read_fault(faults)
    match fault:
        case ReadFault.ERROR:
            raise ProviderError(500, "InternalServerError", "Request could not be served")
        case ReadFault.TOO_MANY:
            wait = {"retry-after": str(faults.retry_after_seconds)}
            raise ProviderError(429, "TooManyRequests", "Slow down", headers=wait)
        case ReadFault.UNAUTHORISED:
            raise _unauthorised()
        case ReadFault.NOT_FOUND:
            raise _not_found()
        case ReadFault.HTML:
            page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
            return Response(page, 502, media_type="text/html")
        case ReadFault.SLOW:
            await asyncio.sleep(faults.slow_ms / 1000)
            return None
        case ReadFault.FINE:
            return None
        case _:
            return fault


def _distorted(
    account: Account, listed: Listed, fault: ReadFault, details: bool, world: World
) -> Json:
    """Return a picture with one thing wrong: its age, its id or its status."""
    entries = listed.order.entries
    if fault is ReadFault.STALE:
        age = timedelta(milliseconds=account.settings.faults.stale_ms)
        older = listed.order.entries_until(world.now() - age)
        # A counter order has no picture from before it was opened.
        is_shown = not listed.return_id or any(e.subject == listed.return_id for e in older)
        return account.picture(listed, older if is_shown else entries, details=details)
    shown = account.picture(listed, entries, details=details)
    if fault is ReadFault.WRONG_RESOURCE:
        return shown | {"id": str(UUID(int=account.ids.getrandbits(128), version=4))}
    return shown | {"status": "under-investigation"}


def _asked_order(body: bytes) -> tuple[AskedOrder, Json]:
    """Return a creation, checked, and what reads repeat of it. Raises ProviderError 400."""
    try:
        asked = msgspec.json.decode(body, type=AskedOrder)
        sent = msgspec.json.decode(body, type=dict[str, object])
    except msgspec.DecodeError as error:
        value, _, path = str(error).partition(" - at `$.")
        raise _bad(value, path.rstrip("`")) from error
    if asked.currency not in CURRENCIES:
        raise _bad("currency is not supported", "currency")
    as_created = {key: sent[key] for key in REPEATED if key in sent}
    for key, repeated in as_created.items():
        if repeated is None:
            raise _bad(f"{key} must not be null", key)
    return asked, as_created


def _moment(request: Request, name: str) -> datetime:
    """Return a required date-time of the query; a bare + arrives as a space and is refused."""
    try:
        moment = datetime.fromisoformat(request.query_params[name])
    except (KeyError, ValueError) as error:
        raise _bad(f"{name} must be a date-time", name) from error
    if moment.tzinfo is None:
        raise _bad(f"{name} must have a UTC offset", name)
    return moment


def _bad(value: str, property_path: str) -> ProviderError:
    return ProviderError(400, "BadRequest", value, property_path=property_path)


def _unauthorised() -> ProviderError:
    type_ = "<class 'werkzeug.exceptions.Unauthorized'>"
    return ProviderError(401, type_, "API key missing or not accepted")


def _not_found() -> ProviderError:
    return ProviderError(404, "NotFound", "No order with this identifier")


def _json(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")
