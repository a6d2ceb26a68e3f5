"""A person puts a request under another order, and there it stays, whatever later reads say."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from service.domain.request import LinkedBy, ObservedBy, PaymentRequest
from service.errors import Conflict, NotFound
from service.flow.reference import AMBIGUOUS
from service.flow.roll_up import roll_up_orders
from service.settings import Endpoint
from service.storage.database import Pool
from service.storage.decisions import Decision
from service.storage.unit_of_work import Work, unit_of_work

log = structlog.get_logger()


async def link_request(
    pool: Pool,
    *,
    request_id: str,
    reference: str,
    reason: str | None,
    who: str,
    endpoints: Sequence[Endpoint],
    now: datetime,
) -> bool:
    """Put a request under the order of a reference; return whether a person had not done so before.

    The order that it leaves, a registered one too, and the one that it joins are added up again
    and told. Raises NotFound for no such request or order, and Conflict for a request that is
    part of another.
    """
    async with unit_of_work(pool) as work:
        request = await _locked(work, request_id)
        order_id = await work.orders.find(reference)
        if order_id is None:
            raise NotFound("no order with this reference; register it first with POST /v1/orders")
        if request.order_id == order_id and request.linked_by is LinkedBy.OPERATOR:
            return False
        left = request.order_id
        concerned = {order_id, *([left] if left else [])}
        references = {order.id: order.reference for order in await work.orders.lock(concerned)}
        await work.requests.save(
            [
                replace(
                    request,
                    registered=True,
                    order_id=order_id,
                    linked_by=LinkedBy.OPERATOR,
                    reference=reference,
                    attention=request.attention - {AMBIGUOUS},
                )
            ]
        )
        await roll_up_orders(
            work, dict.fromkeys(concerned, ObservedBy.OPERATOR), endpoints=endpoints, at=now
        )
        moved = {
            "request_id": request.id,
            "from": references[left] if left else None,
            "to": reference,
        }
        await work.decisions.append(
            [
                Decision("link", "request", request.id, moved, who, reason, now),
                *(Decision("link", "order", each, moved, who, reason, now) for each in concerned),
            ]
        )
        # What it asks for may follow from what is expected of its order.
        await work.due.trigger([request.key], observed_by=ObservedBy.OPERATOR, known=True)
    log.info("request.linked", request_id=request.id, account=request.key.account)
    return True


async def _locked(work: Work, request_id: str) -> PaymentRequest:
    """Lock a request that counts by itself. Raises NotFound and Conflict."""
    request = await work.requests.lock_by_id(request_id)
    if request is None:
        raise NotFound("no such request")
    owner = (await work.requests.owners([request.key])).get(request.key)
    if owner is not None:
        raise Conflict(
            f"this is part of the {owner.kind} {owner.provider_id} of account {owner.account} and"
            " goes where that goes; link that",
            code="part_of_another",
        )
    return request
