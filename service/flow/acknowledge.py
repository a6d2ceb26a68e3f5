"""A person has seen to what an attention code asks for: the code goes, and who said so stays.

What raised it is remembered at the order or request, so that only something new raises it again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from service.domain.lifecycle import PERSON_CODES_ORDER, PERSON_CODES_REQUEST
from service.domain.request import ObservedBy, PaymentRequest
from service.errors import Conflict, NotFound
from service.flow.amend import locked_order
from service.flow.roll_up import roll_up_orders
from service.settings import Endpoint
from service.storage.database import Pool
from service.storage.decisions import Decision
from service.storage.unit_of_work import Work, unit_of_work

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Which code somebody has seen to, and why it may go."""

    code: str
    reason: str
    who: str
    at: datetime

    def of_order(self, order_id: str) -> Decision:
        detail = {"code": self.code}
        return Decision(
            "acknowledgement", "order", order_id, detail, self.who, self.reason, self.at
        )

    def of_request(self, request_id: str) -> Decision:
        return replace(self.of_order(request_id), subject="request")


async def acknowledge_order(
    pool: Pool,
    *,
    reference: str,
    acknowledgement: Acknowledgement,
    versions: frozenset[int] | None,
    endpoints: Sequence[Endpoint],
) -> None:
    """Take a code from an order, and write down who has seen to it.

    The order is added up first: what goes is what these very sums raised. versions are those that
    the caller may have seen, None for any. Raises NotFound, Stale, and Conflict where the order
    has no such code.
    """
    async with unit_of_work(pool) as work:
        found = await locked_order(work, reference, versions)
        await roll_up_orders(
            work, {found.id: ObservedBy.OPERATOR}, endpoints=endpoints, at=acknowledgement.at
        )
        (order,) = await work.orders.lock([found.id])
        if acknowledgement.code not in order.attention:
            raise Conflict(_not_there("the order", order.attention), code="no_such_code")
        await work.orders.acknowledge(order.id, acknowledgement.code)
        await work.decisions.append([acknowledgement.of_order(order.id)])
    log.info("attention.acknowledged", order_id=order.id, code=acknowledgement.code)


async def acknowledge_request(
    pool: Pool, *, request_id: str, acknowledgement: Acknowledgement
) -> None:
    """Take a code from a request, and write down who has seen to it.

    Raises NotFound, and Conflict for a code that it does not have, that its order raised, or that
    describes a condition and goes with it.
    """
    async with unit_of_work(pool) as work:
        request = await work.requests.lock_by_id(request_id)
        if request is None:
            raise NotFound("no such request")
        code = acknowledgement.code
        if code not in request.attention & PERSON_CODES_REQUEST:
            raise await _refusal(work, request, code)
        await work.requests.save([replace(request, attention=request.attention - {code})])
        await work.decisions.append([acknowledgement.of_request(request.id)])
    log.info("attention.acknowledged", request_id=request.id, code=acknowledgement.code)


async def _refusal(work: Work, request: PaymentRequest, code: str) -> Conflict:
    if code in request.attention:
        return Conflict(
            f"{code} describes a condition: it goes by itself when the condition does, and cannot"
            " be acknowledged before",
            code="condition_lasts",
        )
    orders = await work.orders.lock([request.order_id] if request.order_id else [])
    at_order = {each for order in orders for each in order.attention} & PERSON_CODES_ORDER
    if code in at_order:
        return Conflict(
            f"{code} was raised at the order of this request; acknowledge it at"
            " POST /v1/orders/{reference}/acknowledge",
            code="raised_at_order",
        )
    return Conflict(_not_there("the request", request.attention | at_order), code="no_such_code")


def _not_there(subject: str, codes: Iterable[str]) -> str:
    shown = ", ".join(sorted(codes))
    return f"{subject} has no such attention code; it has {shown or 'none'}"
