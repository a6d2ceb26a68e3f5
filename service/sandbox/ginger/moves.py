"""What a merchant does to an order by API: refund, capture, void, cancel.

Source: fact sheet ginger, sections 3, 9 and 10. The answer is the whole order, for a refund the
refund order.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.ginger.account import GingerAccount
from service.sandbox.ginger.creation import Amount, OrderLine, decode
from service.sandbox.ginger.door import account_of, bad, not_found, outdated
from service.sandbox.ginger.happenings import ENDINGS, What, refundable, reserved
from service.sandbox.ginger.orders import order_word, version
from service.sandbox.ginger.stories import close_return
from service.sandbox.ledger import PaymentRequest
from service.sandbox.provider_http import json_answer
from service.sandbox.story import Story
from service.sandbox.world import world_of

Endpoint = Callable[[Request], Awaitable[Response]]


class LineReference(Struct, frozen=True):
    """Which order line, and how many of it. Source: section 3.2."""

    merchant_order_line_id: str
    quantity: Amount


class AskedRefund(Struct):
    """amount is optional in the reference; without one all that is left is meant."""

    amount: Amount | None = None
    description: str = "Refunded"
    order_lines: Annotated[list[LineReference], Meta(min_length=1)] | None = None


class AskedAmount(Struct):
    amount: Amount


class AskedLine(Struct):
    order_line: LineReference


async def refund(request: Request) -> Response:
    """Open a refund order (201); it completes by itself."""
    account, world = account_of(request), world_of(request)
    order = _order(account, request)
    asked = decode(await request.body() or b"{}", AskedRefund)
    left = refundable(order.entries)
    if order_word(order, order.entries) != "completed" or not left:
        raise bad("only money that was received can be refunded")
    if asked.amount is not None and asked.amount > left:
        raise bad(f"no more than {left} can be refunded", "amount")
    for line in asked.order_lines or ():
        _price(order, line)
    opened = order.record(
        What.REFUND_OPENED,
        at=world.now(),
        subject=account.new_id(),
        amount=asked.amount or left,
        note=asked.description,
    )
    world.sender.tell(account, order)
    world.play(account, order, Story((close_return(What.REFUND_OPENED),)), account.settings.pace)
    return json_answer(account.refund_shown(account.resources[opened.subject]), 201)


async def cancel(request: Request) -> Response:
    """Cancel an order that neither has money nor has ended."""
    account = account_of(request)
    order = _order(account, request)
    word = order_word(order, order.entries)
    if word in {"completed", "see-transactions"} or word in {end.value for end in ENDINGS}:
        raise bad(f"an order that is {word} cannot be cancelled")
    order.record(What.CANCELLED, at=world_of(request).now())
    return _shown(request, account, order, 200)


async def capture_all(request: Request) -> Response:
    """Capture everything that is still reserved."""
    account = account_of(request)
    order = _order(account, request)
    return _release(request, account, order, What.CAPTURED, reserved(order.entries))


def release_amount(what: What) -> Endpoint:
    """Return the endpoint that captures or voids an amount."""

    async def endpoint(request: Request) -> Response:
        account = account_of(request)
        asked = decode(await request.body(), AskedAmount)
        return _release(request, account, _order(account, request), what, asked.amount)

    return endpoint


def release_line(what: What) -> Endpoint:
    """Return the endpoint that captures or voids an order line."""

    async def endpoint(request: Request) -> Response:
        account = account_of(request)
        order = _order(account, request)
        line = decode(await request.body(), AskedLine).order_line
        return _release(request, account, order, what, _price(order, line))

    return endpoint


def _release(
    request: Request, account: GingerAccount, order: PaymentRequest, what: What, amount: int
) -> Response:
    """Capture or void so much of an authorisation, if the version sent is still the latest."""
    attempt = request.path_params["transaction_id"]
    is_authorised = any(
        entry.what is What.AUTHORISED and entry.subject == attempt for entry in order.entries
    )
    if not is_authorised:
        raise not_found()
    if request.headers.get("if-match", version(order.entries)) != version(order.entries):
        raise outdated()
    left = reserved(order.entries)
    if not 0 < amount <= left:
        raise bad(f"{left} is reserved", "amount")
    order.record(what, at=world_of(request).now(), subject=attempt, amount=amount)
    return _shown(request, account, order, 201)


def _order(account: GingerAccount, request: Request) -> PaymentRequest:
    """Return the order of the path; counter orders take no moves."""
    listed = account.resources.get(request.path_params["order_id"])
    if listed is None or listed.return_id:
        raise not_found()
    return listed.order


def _price(order: PaymentRequest, line: LineReference) -> int:
    """Return what so many of an order line cost, in minor units."""
    lines = msgspec.convert(order.as_created.get("order_lines", []), list[OrderLine])
    for known in lines:
        if known.merchant_order_line_id == line.merchant_order_line_id:
            if line.quantity > known.quantity:
                raise bad(f"the order has {known.quantity} of it", "quantity")
            return known.amount * line.quantity
    raise bad("the order has no such line", "merchant_order_line_id")


def _shown(
    request: Request, account: GingerAccount, order: PaymentRequest, status_code: int
) -> Response:
    """Tell what is new, and answer the order."""
    world_of(request).sender.tell(account, order)
    listed = account.resources[order.id]
    return json_answer(account.picture(listed, order.entries, details=False), status_code)
