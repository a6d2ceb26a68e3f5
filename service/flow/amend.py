"""What the ERP expects of an order changes: a credit note, a withdrawal, other metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from service.domain.history import canonical
from service.domain.money import Money
from service.domain.request import ObservedBy
from service.errors import Conflict, NotFound, Stale
from service.flow.roll_up import roll_up_orders
from service.settings import Endpoint
from service.storage.database import Pool
from service.storage.decisions import Decision
from service.storage.orders import Expected, Member, OrderRow
from service.storage.unit_of_work import Work, unit_of_work

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Amendment:
    """What is to be expected from now on; None leaves it as it is. metadata replaces all of it."""

    amount: Money | None = None
    withdrawn: bool | None = None
    metadata: Mapping[str, object] | None = None


async def amend_order(
    pool: Pool,
    *,
    reference: str,
    amendment: Amendment,
    versions: frozenset[int] | None,
    who: str,
    endpoints: Sequence[Endpoint],
    now: datetime,
) -> bool:
    """Expect something else of an order, add it up again and tell; return whether it changed.

    What is expected already changes nothing and tells nobody. versions are those that the caller
    may have seen, None for any. Raises NotFound, Stale, and Conflict for an order that nobody
    registered, or another currency where there is money.
    """
    async with unit_of_work(pool) as work:
        order = await locked_order(work, reference, versions)
        if not order.registered:
            raise Conflict(
                "nobody registered this order; say what is expected of it with POST /v1/orders",
                code="not_registered",
            )
        before, after = Expected.of(order), _amended(order, amendment)
        changed = _changes(before, after)
        if not changed:
            return False
        members = (await work.orders.members([order.id])).get(order.id, [])
        _refuse_exchange(order, after, members)
        await work.orders.expect(order.id, after)
        await roll_up_orders(
            work,
            {order.id: ObservedBy.OPERATOR},
            endpoints=endpoints,
            at=now,
            before={order.id: order},
        )
        detail = _detail(changed, before, after)
        await work.decisions.append(
            [Decision("amendment", "order", order.id, detail, who, None, now)]
        )
        if "amount" in changed and len(members) == 1:
            # One that leaves the amount to the payer is measured by what is expected.
            await work.due.trigger([members[0].key], observed_by=ObservedBy.OPERATOR, known=True)
    log.info("order.amended", order_id=order.id, changed=changed)
    return True


async def locked_order(
    work: Work, reference: str, versions: frozenset[int] | None = None
) -> OrderRow:
    """Lock the order of a reference. Raises NotFound, and Stale where it is at none of versions."""
    order_id = await work.orders.find(reference)
    if order_id is None:
        raise NotFound("no order with this reference")
    (order,) = await work.orders.lock([order_id])
    if versions is not None and order.version not in versions:
        raise Stale(f"the order is at version {order.version} now; read it again, then decide")
    return order


def _amended(order: OrderRow, amendment: Amendment) -> Expected:
    now = Expected.of(order)
    return Expected(
        amount=now.amount if amendment.amount is None else amendment.amount,
        withdrawn=now.withdrawn if amendment.withdrawn is None else amendment.withdrawn,
        metadata=now.metadata if amendment.metadata is None else amendment.metadata,
    )


def _refuse_exchange(order: OrderRow, after: Expected, members: Sequence[Member]) -> None:
    """Raise Conflict for another currency once a request of the order has money in any."""
    has_money = any(m.sibling.facts and any(m.sibling.facts.money) for m in members)
    if has_money and after.amount.currency != order.currency:
        raise Conflict(
            f"there is money on this order, so its currency stays {order.currency}; withdraw it"
            " and register another order for the other currency",
            code="currency_fixed",
        )


def _changes(before: Expected, after: Expected) -> list[str]:
    """Return the names of what is expected otherwise now; metadata is compared as JSON."""
    is_other = {
        "amount": before.amount != after.amount,
        "withdrawn": before.withdrawn != after.withdrawn,
        "metadata": canonical(before.metadata) != canonical(after.metadata),
    }
    return [name for name, differs in is_other.items() if differs]


def _detail(changed: Sequence[str], before: Expected, after: Expected) -> dict[str, object]:
    """Return what changed, with the values before and after; of metadata only that it did."""
    return {
        "changed": list(changed),
        "before": {"amount": before.amount.as_json(), "withdrawn": before.withdrawn},
        "after": {"amount": after.amount.as_json(), "withdrawn": after.withdrawn},
    }
