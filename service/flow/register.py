"""What the ERP tells us: an order that it wants paid, a request that it wants watched."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from service.domain.money import Money
from service.domain.reference import stripped
from service.domain.request import Key, LinkedBy, ObservedBy, PaymentRequest
from service.errors import Conflict
from service.flow.reference import AMBIGUOUS, meant_by
from service.flow.roll_up import roll_up_orders
from service.settings import Endpoint
from service.storage.database import Pool
from service.storage.orders import Named, OrderRow
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
    stripping: Collection[str] = (),
) -> RegisteredOrder:
    """Write down what the ERP expects, and have its requests read.

    An order known only by discovery is adopted, and so are requests at the accounts in stripping
    that came before it and name it in letters and digits alone. The same content again changes
    nothing, also when the order was amended since. Raises Conflict when the reference is
    registered with other content, or a request belongs to another registered order.
    """
    content = _fingerprint(reference, amount, requests, metadata)
    async with unit_of_work(pool) as work:
        locked = await _lock_with_early(work, requests, reference, stripping)
        members = [request for key, request in locked.items() if key in set(requests)]
        order_id = (await work.orders.discover([reference]))[reference]
        left = {request.order_id for request in locked.values() if request.order_id}
        orders = await work.orders.lock({order_id, *left})
        order = next(order for order in orders if order.id == order_id)
        if order.registered:
            return _registered_before(order, content)
        _refuse_taken(members, {o.id: o.reference for o in orders if o.registered})
        await work.orders.register(
            order.id,
            currency=amount.currency,
            amount=amount.minor,
            metadata=metadata,
            registered_as=content,
        )
        await _put_under(work, members, order_id=order_id, reference=reference)
        early = [request for key, request in locked.items() if key not in set(requests)]
        await _adopt(work, early, orders, Named(order_id, reference))
        await roll_up_orders(
            work,
            dict.fromkeys({order_id, *left}, ObservedBy.OPERATOR),
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
                dict.fromkeys({order_id, *([left] if left else [])}, ObservedBy.OPERATOR),
                endpoints=endpoints,
                at=now,
            )
        else:
            await work.requests.save([replace(request, registered=True)])
        await _have_read(work, [key])
    log.info("request.registered", request_id=request.id, account=key.account)
    return RegisteredRequest(request.id, created=not (known and request.registered))


def _registered_before(order: OrderRow, content: bytes) -> RegisteredOrder:
    """Return the order if that very content was registered. Raises Conflict."""
    if order.registered_as == content:
        return RegisteredOrder(order.id, created=False)
    raise Conflict(
        f"order {order.reference!r} is registered with other content; PATCH it to change what is"
        " expected of it"
    )


async def _lock_with_early(
    work: Work, keys: Sequence[Key], reference: str, stripping: Collection[str]
) -> dict[Key, PaymentRequest]:
    """Lock the requests of keys, made where they are missing, and those that wait for the order."""
    short = stripped(reference) if stripping else ""
    await work.orders.agree_on([short] if short else [])
    early = await work.requests.naming(short, accounts=stripping) if short else []
    await work.requests.make(keys)
    return await work.requests.lock([*keys, *early])


async def _adopt(
    work: Work, early: Sequence[PaymentRequest], orders: Sequence[OrderRow], order: Named
) -> None:
    """Put requests under an order that came after them, if it alone can be meant.

    Not those that the ERP or a person put where they are, or that are under a registered order.
    """
    short = stripped(order.reference)
    meant = meant_by(short, (await work.orders.reading([short])).get(short, [])) if early else None
    if meant != order:
        return
    taken = {row.id for row in orders if row.registered}
    await work.requests.save(
        [
            replace(
                request,
                order_id=order.id,
                linked_by=LinkedBy.REFERENCE,
                reference=order.reference,
                attention=request.attention - {AMBIGUOUS},
            )
            for request in early
            if request.linked_by in (None, LinkedBy.REFERENCE)
            and request.order_id not in taken
            and request.reference == short
        ]
    )


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
            replace(
                request,
                registered=True,
                order_id=order_id,
                linked_by=LinkedBy.ERP,
                reference=reference,
                attention=request.attention - {AMBIGUOUS},
            )
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
