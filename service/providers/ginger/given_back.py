"""What was given or taken back of an order: each time by an order with a status of its own.

Source: fact sheet ginger, sections 7 and 9.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from service.domain.request import Facts, Kind, Related, RelatedAs
from service.errors import Unreadable
from service.providers.ginger.shapes import Order


@dataclass(frozen=True, slots=True)
class Back:
    """What was given or taken back, in minor units, and the orders that did it.

    is_complete says that each of those orders was read; is_guess, that some were not and that no
    total stands in for them. completed holds the times when they were completed.
    """

    refunded: int
    taken_back: int
    related: tuple[Related, ...]
    completed: tuple[str, ...]
    is_complete: bool
    is_guess: bool

    @property
    def attention(self) -> frozenset[str]:
        return frozenset({"refund_unreadable"}) if self.is_guess else frozenset()


def add_up(
    order: Order,
    found: Mapping[str, Order],
    linked: Mapping[str, RelatedAs],
    *,
    is_complete: bool,
) -> Back:
    """Count what is completed; where some cannot be read, no less than the order's own total."""
    given = {order_id: child for order_id, child in found.items() if _is_done(child, order)}
    taken = [child for order_id, child in given.items() if linked[order_id] != "refund"]
    refunded = sum(child.amount for child in given.values())
    if not is_complete or "refund" not in linked.values():
        refunded = max(refunded, order.refunded_total or 0)
    return Back(
        refunded,
        taken_back=sum(child.amount for child in taken),
        related=tuple(Related(Kind.ORDER, order_id, as_) for order_id, as_ in linked.items()),
        completed=tuple(child.completed for child in given.values() if child.completed),
        is_complete=is_complete,
        is_guess=not is_complete and order.refunded_total is None,
    )


def total(backs: Sequence[Back], *, is_complete: bool) -> Back:
    """Add up what was given or taken back of several orders.

    is_complete is false where one of the orders could not be read. Raises Unreadable where one
    movement is named at two orders: it would count twice.
    """
    related = tuple(chain.from_iterable(back.related for back in backs))
    if len({one.provider_id for one in related}) < len(related):
        raise Unreadable("named at two orders")
    return Back(
        refunded=sum(back.refunded for back in backs),
        taken_back=sum(back.taken_back for back in backs),
        related=related,
        completed=tuple(chain.from_iterable(back.completed for back in backs)),
        is_complete=is_complete and all(back.is_complete for back in backs),
        is_guess=not is_complete or any(back.is_guess for back in backs),
    )


def no_less_than_known(back: Back, known: Facts | None) -> Back:
    """Return back, but where some cannot be read, no less than we saw before."""
    if back.is_complete or known is None:
        return back
    taken_back = max(back.taken_back, known.taken_back)
    refunded = max(back.refunded, taken_back, known.refunded if back.is_guess else 0)
    return replace(back, refunded=refunded, taken_back=taken_back)


def _is_done(child: Order, order: Order) -> bool:
    """Return whether a refund, charge-back or reversal is completed itself."""
    if child.original_id not in (None, order.checked_id) or child.checked_id == order.checked_id:
        raise Unreadable("named at an order that it does not belong to")
    if child.currency != order.currency:
        raise Unreadable("given back in another currency")
    return child.status == "completed"
