"""What the ERP and persons do to orders and requests of a world, in one line each."""

from collections.abc import Sequence

from service.domain.money import Money
from service.domain.request import Key
from service.flow.acknowledge import Acknowledgement, acknowledge_order, acknowledge_request
from service.flow.amend import Amendment, amend_order
from service.flow.link import link_request
from service.flow.look import SyncParts
from service.flow.reference import stripping
from service.flow.register import RegisteredOrder, register_order, register_request
from service.storage.unit_of_work import unit_of_work

WHO = "api:ops"


async def register(
    parts: SyncParts,
    reference: str,
    minor: int,
    *keys: Key,
    currency: str = "EUR",
) -> RegisteredOrder:
    return await register_order(
        parts.pool,
        reference=reference,
        amount=Money(minor, currency),
        requests=keys,
        metadata={},
        endpoints=parts.endpoints,
        now=parts.now(),
        stripping=stripping(parts.accounts),
    )


async def track(parts: SyncParts, key: Key, reference: str | None = None) -> str:
    registered = await register_request(
        parts.pool, key=key, reference=reference, endpoints=parts.endpoints, now=parts.now()
    )
    return registered.request_id


async def credit(parts: SyncParts, reference: str, minor: int) -> bool:
    return await _amend(parts, reference, Amendment(amount=Money(minor, "EUR")))


async def withdraw(parts: SyncParts, reference: str) -> bool:
    return await _amend(parts, reference, Amendment(withdrawn=True))


async def _amend(parts: SyncParts, reference: str, amendment: Amendment) -> bool:
    return await amend_order(
        parts.pool,
        reference=reference,
        amendment=amendment,
        versions=None,
        who=WHO,
        endpoints=parts.endpoints,
        now=parts.now(),
    )


async def see_to(parts: SyncParts, code: str, *, reference: str) -> None:
    """Somebody acknowledges a code of an order."""
    await acknowledge_order(
        parts.pool,
        reference=reference,
        acknowledgement=Acknowledgement(code, "looked into", WHO, parts.now()),
        versions=None,
        endpoints=parts.endpoints,
    )


async def see_to_request(parts: SyncParts, code: str, *, key: Key) -> None:
    """Somebody acknowledges a code of a request."""
    await acknowledge_request(
        parts.pool,
        request_id=await id_of(parts, key),
        acknowledgement=Acknowledgement(code, "looked into", WHO, parts.now()),
    )


async def link(parts: SyncParts, key: Key, reference: str) -> bool:
    """Somebody puts a request under the order of a reference."""
    return await link_request(
        parts.pool,
        request_id=await id_of(parts, key),
        reference=reference,
        reason="the payer mistyped it",
        who=WHO,
        endpoints=parts.endpoints,
        now=parts.now(),
    )


async def id_of(parts: SyncParts, key: Key) -> str:
    async with unit_of_work(parts.pool) as work:
        return (await work.requests.find([key]))[key].id


async def members_of(parts: SyncParts, reference: str) -> Sequence[str]:
    """The provider ids of the requests that count for an order."""
    async with unit_of_work(parts.pool) as work:
        order_id = await work.orders.find(reference)
        assert order_id is not None, "the order is there"
        members = (await work.orders.members([order_id])).get(order_id, [])
    return sorted(member.key.provider_id for member in members)
