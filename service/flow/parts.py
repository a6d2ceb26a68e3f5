"""A request that turns out to be part of another: it stops counting by itself, and says so.

An attempt of a payment link may be recorded as an order of its own, and told to the ERP, before
a read of its link names it. From that read on its money counts at the link alone. Its history
stays, and ends with a step that takes back what was said of its money.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from service.domain.lifecycle import PERSON_CODES_REQUEST, Transition
from service.domain.request import Key, Kind, Observation, PaymentRequest
from service.domain.status import Status

# Why such a request is cancelled: nobody can pay it, and its money is found at another.
PART_OF_ANOTHER: Final = "part_of_another"


def named_in(owner: Key, seen: Observation) -> list[Key]:
    """Return the keys of the parts that a read of owner names and that could be requests."""
    keys = [Key(owner.account, item.kind, item.provider_id) for item in seen.related]
    return [key for key in keys if key.kind is not Kind.PAYMENT and key != owner]


def heir(request: PaymentRequest, parts: Iterable[PaymentRequest]) -> PaymentRequest:
    """Return the request under the order that the ERP registered one of its parts for, if any.

    What the ERP said of the request itself stands.
    """
    if request.registered:
        return request
    for part in parts:
        if part.registered and part.order_id is not None:
            return replace(
                request,
                registered=True,
                order_id=part.order_id,
                linked_by=part.linked_by,
                reference=part.reference,
            )
    return request


def taken_over(request: PaymentRequest) -> Transition | None:
    """Return the step that ends a request which is a part now, None where no step is needed.

    That is where the ERP heard of no money and of nothing that is still to come. The step is a
    correction if it heard of money: that money is told again, as the other request's.
    """
    facts = request.facts
    if facts is None or (facts.final and not any(facts.money)):
        return None
    after = replace(
        request,
        facts=replace(
            facts,
            status=Status.CANCELLED,
            final=True,
            received=0,
            refunded=0,
            taken_back=0,
            booked=0,
            reason=PART_OF_ANOTHER,
        ),
        sequence=request.sequence + 1,
        parked=None,
        attention=request.attention & PERSON_CODES_REQUEST,
    )
    return Transition(
        request, after, correction=any(facts.money), type=f"payment_request.{Status.CANCELLED}"
    )
