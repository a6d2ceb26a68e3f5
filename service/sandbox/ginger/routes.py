"""Ginger's orders API: create, read, list, refunds. Source: fact sheet ginger, sections 2 to 16.

Both the slashed and the unslashed path are served; a redirect could turn a POST into a GET.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.faults import ReadFault
from service.sandbox.ginger import moves
from service.sandbox.ginger.account import GingerAccount
from service.sandbox.ginger.creation import asked_order
from service.sandbox.ginger.door import account_of, bad, not_found, refusal
from service.sandbox.ginger.happenings import What
from service.sandbox.ginger.links import PaymentLink, link_json, seen_until
from service.sandbox.ginger.orders import version
from service.sandbox.ginger.shelf import Listed
from service.sandbox.ledger import Json, PaymentRequest
from service.sandbox.provider_http import json_answer, strike
from service.sandbox.world import World, world_of

# A status that stands in no table.
UNKNOWN_WORD = "under-investigation"

METHOD_OFF = "Payment method is not enabled for this project"

# Those of the sample.
METHODS = {"bank-transfer": ["EUR"], "credit-card": ["EUR", "GBP", "USD"], "ideal": ["EUR"]}


async def create_order(request: Request) -> Response:
    """Create an order with the transactions that the merchant asks for.

    With a method that is not enabled it is created and in error. Source: section 3.1.
    """
    account = account_of(request)
    world = world_of(request)
    asked, as_created = asked_order(await request.body())
    as_created["client"] = {"user_agent": request.headers.get("user-agent", "")}
    order = account.create(asked.amount, asked.currency, as_created, at=world.now())
    for transaction in asked.transactions:
        _offer(account, order, transaction.payment_method, at=world.now())
    world.sender.tell(account, order)
    shown = account.rendered(account.resources[order.id], world.now(), details=False)
    return json_answer(shown, 201)


async def get_order(request: Request) -> Response:
    """Answer one order, with amount_details when `fields[]` asks for them."""
    account = account_of(request)
    fault = await strike(account, "order", partial(refusal, account))
    listed = account.resources.get(request.path_params["order_id"])
    if listed is None:
        raise not_found()
    details = "amount_details" in request.query_params.getlist("fields[]")
    world = world_of(request)
    if fault is None:
        now = world.now()
        tag = {"etag": version(listed.order.seen_at(now))}
        return json_answer(account.rendered(listed, now, details=details), headers=tag)
    return json_answer(_distorted(account, listed, fault, details, world))


async def list_orders(request: Request) -> Response:
    """Answer the orders created in a window, without their transactions, newest first."""
    account = account_of(request)
    await strike(account, "list", partial(refusal, account))
    since, until = (_moment(request, name) for name in ("created_since", "created_until"))
    found = account.shelf.created_between(since, until)
    now = world_of(request).now()
    return json_answer([account.summary(listed, now) for listed in found])


async def list_refunds(request: Request) -> Response:
    """Answer the refund orders of an order."""
    account = account_of(request)
    await strike(account, "refunds", partial(refusal, account))
    listed = account.resources.get(request.path_params["order_id"])
    if listed is None or listed.return_id:
        raise not_found()
    now = world_of(request).now()
    return json_answer([account.refund_row(each, now) for each in account.refunds(listed.order)])


async def list_currencies(request: Request) -> Response:
    """Answer which currencies each enabled payment method takes. Source: section 15."""
    account = account_of(request)
    await strike(account, "currencies", partial(refusal, account))
    off = account.settings.methods_off
    methods = {name: {"currencies": METHODS[name]} for name in METHODS if name not in off}
    return json_answer({"payment_methods": methods})


async def create_link(request: Request) -> Response:
    """Create a payment link."""
    account = account_of(request)
    asked, as_created = asked_order(await request.body())
    if "merchant_order_id" not in as_created:
        raise bad("merchant_order_id is required", "merchant_order_id")
    as_created.setdefault("expiration_period", "P30D")
    now = world_of(request).now()
    link = account.create_link(asked.amount, asked.currency, as_created, at=now)
    return json_answer(link_json(link), 201)


async def get_link(request: Request) -> Response:
    """Answer one payment link with the orders that are its attempts."""
    account = account_of(request)
    fault = await strike(account, "link", partial(refusal, account))
    link = account.requests.get(request.path_params["link_id"])
    if not isinstance(link, PaymentLink):
        raise not_found()
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


TRANSACTION = "/v1/orders/{order_id}/transactions/{transaction_id}"

ROUTES = [
    *_both("/v1/orders/", create_order, "POST"),
    *_both("/v1/orders/", list_orders),
    *_both("/v1/orders/{order_id}/", get_order),
    *_both("/v1/orders/{order_id}/", moves.cancel, "DELETE"),
    *_both("/v1/orders/{order_id}/refunds/", list_refunds),
    *_both("/v1/orders/{order_id}/refunds/", moves.refund, "POST"),
    *_both(f"{TRANSACTION}/captures/", moves.capture_all, "POST"),
    *_both(f"{TRANSACTION}/captures/amount/", moves.release_amount(What.CAPTURED), "POST"),
    *_both(f"{TRANSACTION}/captures/orderlines/", moves.release_line(What.CAPTURED), "POST"),
    *_both(f"{TRANSACTION}/voids/amount/", moves.release_amount(What.VOIDED), "POST"),
    *_both(f"{TRANSACTION}/voids/orderlines/", moves.release_line(What.VOIDED), "POST"),
    *_both("/v1/merchants/self/projects/self/currencies/", list_currencies),
    *_both("/v1/paymentlinks/", create_link, "POST"),
    *_both("/v1/paymentlinks/{link_id}/", get_link),
]


def _offer(account: GingerAccount, order: PaymentRequest, method: str, *, at: datetime) -> None:
    attempt = account.new_id()
    order.record(What.OFFERED, at=at, subject=attempt, amount=order.amount, note=method)
    if method in account.settings.methods_off:
        order.record(What.FAILED, at=at, subject=attempt, note=METHOD_OFF)


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


def _moment(request: Request, name: str) -> datetime:
    """Return a required date-time of the query; a bare + arrives as a space and is refused."""
    try:
        moment = datetime.fromisoformat(request.query_params[name])
    except (KeyError, ValueError) as error:
        raise bad(f"{name} must be a date-time", name) from error
    if moment.tzinfo is None:
        raise bad(f"{name} must have a UTC offset", name)
    return moment
