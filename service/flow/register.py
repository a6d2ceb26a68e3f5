"""What the ERP tells us: an order that it wants paid, a request that it wants watched."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from service.domain.money import Money
from service.domain.request import Key, ObservedBy, PaymentRequest
from service.errors import Conflict
from service.flow.record import Prompt, roll_up_orders
from service.settings import Endpoint
from service.storage.database import Pool
from service.storage.unit_of_work import Work, unit_of_work

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RegisteredOrder:
    """created is False when the same content was registered before."""

    order_id: str
    created: bool


@dataclass(frozen=True, slots=True)
class RegisteredRequest:
    """created is False when the request was registered before, under the same order."""

    request_id: str
    created: bool


async def register_order(
    pool: Pool,
    *,
    reference: str,
    amount: Money,
    requests: Sequence[Key],
    metadata: Mapping[str, object],
    endpoints: Sequence[Endpoint],
    now: datetime,
) -> RegisteredOrder:
    """Write down what the ERP expects, and have its requests read.

    An order known only by discovery is adopted. Raises Conflict when the reference is
    registered with other content, or a request belongs to another registered order.
    """
    content = _fingerprint(reference, amount, requests, metadata)
    async with unit_of_work(pool) as work:
        members = await _make_registered(work, requests)
        order_id = (await work.orders.discover([reference]))[reference]
        orders = await work.orders.lock({order_id, *(r.order_id for r in members if r.order_id)})
        order = next(order for order in orders if order.id == order_id)
        if order.registered:
            if order.registered_as == content:
                return RegisteredOrder(order.id, created=False)
            raise Conflict(f"order {reference!r} is registered with other content")
        elsewhere = {o.id: o.reference for o in orders if o.registered and o.id != order_id}
        _refuse_taken(members, elsewhere)
        await work.orders.register(
            order.id,
            currency=amount.currency,
            amount=amount.minor,
            metadata=metadata,
            registered_as=content,
        )
        left = {request.order_id for request in members if request.order_id}
        await _put_under(work, members, order_id=order_id, reference=reference)
        await roll_up_orders(
            work,
            dict.fromkeys({order_id, *left}, Prompt(ObservedBy.OPERATOR)),
            endpoints=endpoints,
            at=now,
        )
        await _have_read(work, requests)
    log.info("order.registered", order_id=order_id, requests=len(requests))
    return RegisteredOrder(order_id, created=True)


async def register_request(
    pool: Pool,
    *,
    key: Key,
    reference: str | None,
    endpoints: Sequence[Endpoint],
    now: datetime,
) -> RegisteredRequest:
    """Have a request watched, under the order of that reference if one is given.

    Raises Conflict when it belongs to another order that is registered.
    """
    async with unit_of_work(pool) as work:
        known = key in await work.requests.find([key])
        members = await _make_registered(work, [key])
        request = members[0]
        left = request.order_id
        if reference is not None:
            order_id = (await work.orders.discover([reference]))[reference]
            orders = await work.orders.lock({order_id, *([left] if left else [])})
            elsewhere = {o.id: o.reference for o in orders if o.registered and o.id != order_id}
            _refuse_taken(members, elsewhere)
            await _put_under(work, members, order_id=order_id, reference=reference)
            await roll_up_orders(
                work,
                dict.fromkeys({order_id, *([left] if left else [])}, Prompt(ObservedBy.OPERATOR)),
                endpoints=endpoints,
                at=now,
            )
        else:
            await work.requests.save([replace(request, registered=True)])
        await _have_read(work, [key])
    log.info("request.registered", request_id=request.id, account=key.account)
    return RegisteredRequest(request.id, created=not (known and request.registered))


async def _make_registered(work: Work, keys: Sequence[Key]) -> list[PaymentRequest]:
    """Return the requests of keys locked, made where they are missing."""
    await work.requests.make(keys)
    return list((await work.requests.lock(keys)).values())


def _refuse_taken(members: Sequence[PaymentRequest], elsewhere: Mapping[str, str]) -> None:
    for request in members:
        if request.order_id is not None and request.order_id in elsewhere:
            raise Conflict(
                f"request {request.key.provider_id} of account {request.key.account}"
                f" belongs to order {elsewhere[request.order_id]!r}"
            )


async def _put_under(
    work: Work, members: Sequence[PaymentRequest], *, order_id: str, reference: str
) -> None:
    await work.requests.save(
        [
            replace(request, registered=True, order_id=order_id, reference=reference)
            for request in members
        ]
    )


async def _have_read(work: Work, keys: Sequence[Key]) -> None:
    """Make the requests due: nobody has to wait for a webhook that came before them."""
    if keys:
        await work.due.trigger(keys, observed_by=ObservedBy.POLL, known=True)


def _fingerprint(
    reference: str, amount: Money, requests: Sequence[Key], metadata: Mapping[str, object]
) -> bytes:
    """Return the hash of what was registered; the order of requests does not matter."""
    content = {
        "reference": reference,
        "amount": [amount.currency, amount.minor],
        "requests": sorted([key.account, str(key.kind), key.provider_id] for key in requests),
        "metadata": metadata,
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).digest()
