"""A Ginger order as a request of ours."""

from datetime import datetime

from service.domain.request import Facts, Observation
from service.domain.status import Status
from service.providers.ginger.given_back import Back
from service.providers.ginger.moments import microseconds_of, moment_of
from service.providers.ginger.shapes import Order
from service.providers.ginger.verdict import Verdict


def observation_of(
    order: Order, verdict: Verdict, back: Back, *, reference: str | None
) -> Observation:
    """Return what an order shows; reference is the ERP's."""
    facts = Facts(
        status=verdict.status,
        final=verdict.final,
        currency=order.currency,
        amount=order.amount,
        received=verdict.received,
        refunded=back.refunded,
        taken_back=back.taken_back,
        booked=0,  # payouts are not part of this API
        provider_status=order.status,
    )
    return Observation(
        facts,
        version=microseconds_of(order.modified),
        reference=reference,
        occurred_at=occurred_at(order, verdict, back),
        related=back.related,
        attention=verdict.attention | back.attention,
    )


def occurred_at(order: Order, verdict: Verdict, back: Back) -> datetime:
    """Return when the newest money moved, else when the order last changed."""
    paid = order.payments if verdict.received else []
    times = [*(one.completed for one in paid if one.completed), *back.completed]
    if not times and verdict.status is not Status.CANCELLED and order.completed:
        times = [order.completed]
    return max(moment_of(time) for time in times or [order.modified])
