"""Ginger's orders API: create, read, list, refunds. Source: fact sheet ginger, sections 2 to 16.

Both the slashed and the unslashed path are served; a redirect could turn a POST into a GET.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.faults import ReadFault
from service.sandbox.ginger.account import GingerAccount, Listed
from service.sandbox.ginger.happenings import What
from service.sandbox.ginger.links import PaymentLink, link_json, seen_until
from service.sandbox.ledger import Json
from service.sandbox.provider_http import ProviderError, json_answer, strike
from service.sandbox.world import World, world_of

# Source: fact sheet ginger, section 15: 87 codes.
CURRENCY_CODES = (
    "AED AFN ANG ARS AUD AWG AZN BBD BDT BGN BHD BMD BND BOB BRL BSD BZD CAD CHF CLP CNY COP CRC "
    "CZK DKK DOP DZD EGP EUR FJD GBP GTQ GYD HKD HUF IDR ILS INR IQD ISK JMD JOD JPY KES KRW KWD "
    "KYD KZT LBP LKR MAD MDL MOP MXN MYR NGN NOK NPR NZD OMR PEN PHP PKR PLN PYG QAR RON SAR SCR "
    "SEK SGD SRD THB TND TRY TWD TZS UAH UGX USD UYU VND XCD XOF ZAR EEK LTL"
)
CURRENCIES = frozenset(CURRENCY_CODES.split())

# A status that stands in no table.
UNKNOWN_WORD = "under-investigation"

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
            subject=account.new_id(),
            amount=order.amount,
            note=transaction.payment_method,
        )
    world.sender.tell(account, order)
    shown = account.rendered(account.resources[order.id], world.now(), details=False)
    return json_answer(shown, 201)


async def get_order(request: Request) -> Response:
    """Answer one order, with amount_details when `fields[]` asks for them."""
    account = _account_of(request)
    fault = await strike(account, "order", partial(_refusal, account))
    listed = account.resources.get(request.path_params["order_id"])
    if listed is None:
        raise ProviderError(_not_found())
    details = "amount_details" in request.query_params.getlist("fields[]")
    world = world_of(request)
    if fault is None:
        return json_answer(account.rendered(listed, world.now(), details=details))
    return json_answer(_distorted(account, listed, fault, details, world))


async def list_orders(request: Request) -> Response:
    """Answer the orders created in a window, without their transactions, newest first."""
    account = _account_of(request)
    await strike(account, "list", partial(_refusal, account))
    since, until = (_moment(request, name) for name in ("created_since", "created_until"))
    found = account.created_between(since, until)
    now = world_of(request).now()
    return json_answer([account.summary(listed, now) for listed in found])


async def list_refunds(request: Request) -> Response:
    """Answer the refund orders of an order."""
    account = _account_of(request)
    await strike(account, "refunds", partial(_refusal, account))
    listed = account.resources.get(request.path_params["order_id"])
    if listed is None or listed.return_id:
        raise ProviderError(_not_found())
    now = world_of(request).now()
    summaries = [account.summary(each, now) for each in account.family(listed.order)[1:]]
    refunds = [summary for summary in summaries if "refund_of_order_id" in summary]
    return json_answer(refunds)


async def create_link(request: Request) -> Response:
    """Create a payment link."""
    account = _account_of(request)
    asked, as_created = _asked_order(await request.body())
    if "merchant_order_id" not in as_created:
        raise _bad("merchant_order_id is required", "merchant_order_id")
    as_created.setdefault("expiration_period", "P30D")
    now = world_of(request).now()
    link = account.create_link(asked.amount, asked.currency, as_created, at=now)
    return json_answer(link_json(link), 201)


async def get_link(request: Request) -> Response:
    """Answer one payment link with the orders that are its attempts."""
    account = _account_of(request)
    fault = await strike(account, "link", partial(_refusal, account))
    link = account.requests.get(request.path_params["link_id"])
    if not isinstance(link, PaymentLink):
        raise ProviderError(_not_found())
    now = world_of(request).now()
    match fault:
        case ReadFault.STALE:
            age = timedelta(milliseconds=account.settings.faults.stale_ms)
            return json_answer(link_json(link, now - age))
        case ReadFault.WRONG_RESOURCE:
            return json_answer(link_json(link) | {"id": account.new_id()})
        case ReadFault.UNKNOWN_WORD:
            return json_answer(link_json(link) | {"status": UNKNOWN_WORD})
        case _:
            return json_answer(link_json(link, seen_until(link, now)))


Endpoint = Callable[[Request], Awaitable[Response]]


def _both(path: str, endpoint: Endpoint, method: str = "GET") -> list[Route]:
    return [Route(form, endpoint, methods=[method]) for form in (path, path.rstrip("/"))]


ROUTES = [
    *_both("/v1/orders/", create_order, "POST"),
    *_both("/v1/orders/", list_orders),
    *_both("/v1/orders/{order_id}/", get_order),
    *_both("/v1/orders/{order_id}/refunds/", list_refunds),
    *_both("/v1/paymentlinks/", create_link, "POST"),
    *_both("/v1/paymentlinks/{link_id}/", get_link),
]


def _account_of(request: Request) -> GingerAccount:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    account = world_of(request).admit("ginger", credentials)
    if account is None or scheme.lower() != "basic":
        raise ProviderError(_refusal_of_key())
    assert isinstance(account, GingerAccount)
    return account


def _refusal(account: GingerAccount, fault: ReadFault) -> Response:
    match fault:
        case ReadFault.TOO_MANY:
            wait = {"retry-after": str(account.settings.faults.retry_after_seconds)}
            return _error(429, "TooManyRequests", "Slow down", headers=wait)
        case ReadFault.UNAUTHORISED:
            return _refusal_of_key()
        case ReadFault.NOT_FOUND:
            return _not_found()
        case _:
            return _error(500, "InternalServerError", "Request could not be served")


def _distorted(
    account: GingerAccount, listed: Listed, fault: ReadFault, details: bool, world: World
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
        return shown | {"id": account.new_id()}
    return shown | {"status": UNKNOWN_WORD}


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


def _bad(value: str, path: str) -> ProviderError:
    error = _error(400, "BadRequest", value, property_path=path, property_description=path)
    return ProviderError(error)


def _refusal_of_key() -> Response:
    # The documented 401 carries no status.
    error = {
        "type": "<class 'werkzeug.exceptions.Unauthorized'>",
        "value": "API key missing or not accepted",
    }
    return json_answer({"error": error}, 401)


def _not_found() -> Response:
    return _error(404, "NotFound", "No order with this identifier")


def _error(
    status: int, type_: str, value: str, *, headers: Mapping[str, str] | None = None, **more: str
) -> Response:
    """Return an error in the documented envelope. Source: fact sheet ginger, section 14."""
    error = {"status": status, "type": type_, "value": value, **more}
    return json_answer({"error": error}, status, headers)
